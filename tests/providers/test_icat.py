"""Experiments from ICAT, by a service account and by the user's own token."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import aiohttp
import pytest
from tests.api.conftest import Api
from tests.api.visitors import Visitor
from tests.hurry import Hurry
from tests.providers.conftest import (
    PASSWORD,
    SETTINGS,
    Given,
    Server,
    User,
    asking_api,
    head_of,
    kinds_after,
    obey,
    running,
)

from calipso.backend import Backend
from calipso.login_tokens import ProviderTokens

MEMBER = 409


def icat_settings(url: str, **changes: object) -> Mapping[str, object]:
    """The settings by which ICAT is asked."""
    account = {"icat_plugin": "db", "icat_username": "calipso", "icat_password": PASSWORD}
    return {**SETTINGS, "enable_icat_data_retrieval": True, "icat_data_retrieval_endpoint": url, **account, **changes}


@pytest.fixture(scope="module")
def icat(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The demo's ICAT."""
    with running("icat", tmp_path_factory.mktemp("icat"), {"tokens": {}, "investigations": []}) as server:
        yield server


@pytest.fixture(scope="module")
def by_account(icat: Server, make_backend: Callable[..., Backend]) -> Iterator[Api]:
    """An API that asks ICAT by its service account."""
    with asking_api(make_backend, icat_settings(icat.url)) as api:
        yield api


@pytest.fixture(scope="module")
def by_token(icat: Server, make_backend: Callable[..., Backend]) -> Iterator[Api]:
    """An API that asks ICAT by the tokens of users, and has no account there."""
    given = icat_settings(icat.url, icat_openid_connect=True, icat_username="", icat_password="")
    with asking_api(make_backend, given) as api:
        yield api


@pytest.fixture
def user(icat: Server, by_account: Api) -> Iterator[User]:
    """Somebody of an ICAT that knows nothing else; afterwards it is out of trouble."""
    icat.write({"tokens": {}, "investigations": []})
    name = by_account.add_user()
    obey(by_account)
    icat.asked()
    yield User(api=by_account, name=name, provider=icat)
    icat.trouble("")


@pytest.fixture
def bearer(icat: Server, by_token: Api) -> Iterator[User]:
    """Somebody of an ICAT that knows nothing else, asked by tokens."""
    icat.write({"tokens": {}, "investigations": []})
    name = by_token.add_user()
    obey(by_token)
    icat.asked()
    yield User(api=by_token, name=name, provider=icat)
    icat.trouble("")


def visit(number: int, name: str, *users: str, **changes: object) -> Given:
    """An investigation as ICAT has it."""
    return {
        "id": number,
        "name": name,
        "title": f"Ice {name}",
        "summary": "Cold.",
        "visitId": "ID11",
        "startDate": "2026-02-01T08:00:00.000+01:00",
        "createTime": "2026-01-01T00:00:00.000Z",
        "endDate": "2026-02-03T20:00:00.000Z",
        "users": dict.fromkeys(users, "Participant"),
        **changes,
    }


def know(icat: Server, *visits: Given, **tokens: str) -> None:
    """Let ICAT know these investigations, and whose tokens there are."""
    icat.write({"tokens": tokens, "investigations": visits})


def fresh() -> str:
    """The name of an investigation that is not there, and that no other holds."""
    return f"HC-{uuid4().hex[:8]}"


@asynccontextmanager
async def signed_in(user: User, token: str) -> AsyncIterator[aiohttp.ClientSession]:
    """A browser with a login for which a provider handed out a token."""
    async with user.api.signed_in(user.name) as session:
        [key] = [cookie.value for cookie in session.cookie_jar if cookie.key == "sessionid"]
        await asyncio.to_thread(
            user.api.backend.login_tokens.put, key, ProviderTokens(id_token="id", access_token=token)
        )
        yield session


async def page_of(session: aiohttp.ClientSession, user: User) -> tuple[int, Any]:
    """Status and body of the user's first page."""
    async with session.get(f"/users/{user.name}/experiments/") as answer:
        return answer.status, await answer.json()


async def test_visits_of_one_name_are_sessions(user: User) -> None:
    name = fresh()
    know(
        user.provider,
        visit(12, name, f"db/{user.name}", visitId="ID15", startDate=None),
        visit(9, name, f"ldap/{user.name.upper()}", summary="Warm."),
    )
    [found] = (await user.list())["results"]
    assert found.pop("id")
    assert found == {
        "proposal_id": name,
        "subject": f"Ice {name}",
        "body": "Warm.",
        "beam_line": "ID11, ID15",
        "sessions": [
            {
                "session_number": number,
                "start_date": start,
                "end_date": "2026-02-03T20:00:00Z",
                "subject": f"Ice {name}",
                "body": body,
                "data_set_path": "{}",
            }
            for number, start, body in (
                ("9", "2026-02-01T07:00:00Z", "Warm."),
                ("12", "2026-01-01T00:00:00Z", "Cold."),
            )
        ],
        "uid": ".",
        "gid": ".",
        "favorite": False,
    }


async def test_one_that_was_brought_in_after_its_end_has_no_start(user: User) -> None:
    know(user.provider, visit(1, fresh(), f"db/{user.name}", startDate=None, createTime="2026-09-01T00:00:00.000Z"))
    [found] = (await user.list())["results"]
    assert [each["start_date"] for each in found["sessions"]] == [None]


async def test_the_account_sees_all_and_gives_each_what_they_take_part_in(user: User) -> None:
    other = User(api=user.api, name=user.api.add_user(), provider=user.provider)
    obey(user.api)
    both, one = fresh(), fresh()
    know(
        user.provider,
        visit(21, both, f"db/{user.name}", title="First"),
        visit(22, both, f"db/{other.name}", title="Second"),
        visit(23, one, f"db/{other.name}"),
        visit(24, fresh()),
    )
    head = head_of(user.api)
    assert await user.numbers() == [both]
    assert sorted(await other.numbers()) == sorted([both, one])
    assert kinds_after(user.api, head).count("ExperimentAdded") == 2
    head = head_of(user.api)
    # what an experiment says of itself does not change with the one who looks
    assert [(await each.list())["results"][0]["subject"] for each in (user, user)] == ["First"] * 2
    await other.list()
    assert kinds_after(user.api, head) == []


async def test_the_order_in_which_icat_answers_changes_nothing(user: User) -> None:
    name = fresh()
    visits = [visit(31, name, f"db/{user.name}", title="One"), visit(32, name, f"db/{user.name}", title="Two")]
    know(user.provider, *visits)
    first = await user.list()
    head = head_of(user.api)
    know(user.provider, *reversed(visits))
    assert await user.list() == first
    assert kinds_after(user.api, head) == []


async def test_pages_order_and_search_are_ours(user: User) -> None:
    names = sorted(fresh() for _ in range(5))
    know(user.provider, *(visit(40 + n, name, f"db/{user.name}", visitId=f"ID{n}") for n, name in enumerate(names)))
    first, second = await user.list(), await user.list("?page=2")
    assert [each["proposal_id"] for page in (first, second) for each in page["results"]] == names
    assert (first["count"], second["count"]) == (5, 5)
    assert first["next"].endswith(f"/users/{user.name}/experiments/?page=2")
    assert await user.numbers("?ordering=-proposal_id") == names[:1:-1]
    assert await user.numbers("?ordering=-beam_line") == names[:1:-1]
    assert await user.numbers("?search=id3") == [names[3]]
    assert (await user.get(f"/users/{user.name}/experiments/?page=3")).detail() == (404, "Invalid page.")


async def test_a_withdrawal_ends_the_membership(user: User) -> None:
    name = fresh()
    know(user.provider, visit(51, name, f"db/{user.name}"))
    await user.list()
    assert (await user.run(f"{name}~51"))[0] == MEMBER
    # the run asks anew, although the list has asked a moment ago
    know(user.provider, visit(51, name, "db/somebody"))
    assert await user.run(f"{name}~51") == (403, f"not a member of experiment {name}")
    assert await user.numbers() == []


async def test_a_session_of_icat_is_kept_and_renewed_once(user: User) -> None:
    know(user.provider, visit(61, fresh(), f"db/{user.name}"))
    await user.list()
    user.provider.asked()
    await user.list()
    assert user.provider.asked() == ["investigation"]
    user.provider.tell("end")
    assert len(await user.numbers()) == 1
    assert user.provider.asked() == ["investigation", "session", "investigation"]
    user.provider.trouble("refuse")
    answer = await user.get(f"/users/{user.name}/experiments/")
    assert answer.status == 503
    assert "ICAT is not available: it refuses our account (CALIPSO_ICAT_PLUGIN" in answer.json()["error"]
    assert user.provider.asked() == ["investigation", "session"]


@pytest.mark.parametrize("trouble", ["hang", "html", "redirect", "huge", "error", "close", "shape"])
async def test_trouble_is_told_and_stores_nothing(user: User, hurry: Hurry, trouble: str) -> None:
    know(user.provider, visit(71, fresh(), f"db/{user.name}"))
    user.provider.trouble(trouble)
    hurry(trouble)
    head = head_of(user.api)
    for path in (f"/users/{user.name}/experiments/", "/experiments/71/users"):
        answer = await user.get(path)
        assert answer.status == 503
        assert answer.json()["error"].startswith("ICAT is not available: ")
        assert PASSWORD.encode() not in answer.body
    assert await user.numbers("?calipsouserexperiment__favorite=1") == []
    assert kinds_after(user.api, head) == []


async def test_a_list_longer_than_a_mebibyte(user: User) -> None:
    name = fresh()
    others = [visit(1000 + each, f"HC-{each}", summary="x" * 4000) for each in range(400)]
    know(user.provider, *others, visit(81, name, f"db/{user.name}", summary="x" * 4000))
    [found] = (await user.list())["results"]
    assert (found["proposal_id"], len(found["body"])) == (name, 2000)


async def test_who_takes_part(user: User) -> None:
    name, admin = fresh(), Visitor(api=user.api, name=user.api.add_user(admin=True))
    stranger = Visitor(api=user.api, name=user.api.add_user())
    obey(user.api)
    know(user.provider, visit(91, name, f"db/{user.name}", "db/bob"))
    answer = await user.get("/experiments/91/users")
    assert answer.status == 200
    assert answer.json() == [
        {
            "fullName": each.title(),
            "investigationId": 91,
            "investigationName": name,
            "name": f"db/{each}",
            "role": "Participant",
        }
        for each in (user.name, "bob")
    ]
    assert [list(each) for each in answer.json()] == [sorted(each) for each in answer.json()]
    assert (await admin.get("/experiments/91/users")).json() == answer.json()
    assert (await stranger.get("/experiments/91/users")).detail() == (404, "Not found.")
    assert (await user.get("/experiments/92/users")).detail() == (404, "Not found.")
    assert (await user.get("/experiments/91%2F..%2F91/users")).status == 404
    assert (await user.get("/experiments/91/users/")).status == 404
    assert (await Visitor(api=user.api).get("/experiments/91/users")).status == 403


async def test_without_icat_there_is_no_such_list(asking: Api) -> None:
    somebody = Visitor(api=asking, name=asking.add_user())
    obey(asking)
    assert (await somebody.get("/experiments/91/users")).detail() == (404, "Not found.")


async def test_a_token_sees_what_its_user_takes_part_in(bearer: User) -> None:
    name, token = fresh(), uuid4().hex
    own, others = visit(101, name, bearer.name), visit(102, fresh(), "somebody")
    know(bearer.provider, own, others, **{token: bearer.name})
    async with signed_in(bearer, token) as session:
        status, page = await page_of(session, bearer)
        assert (status, [each["proposal_id"] for each in page["results"]]) == (200, [name])
        assert bearer.provider.asked() == ["session", "investigation"]
        await page_of(session, bearer)
        assert bearer.provider.asked() == ["investigation"]
        bearer.provider.tell("end")
        assert (await page_of(session, bearer))[0] == 200
        assert bearer.provider.asked() == ["investigation", "session", "investigation"]
        async with session.get("/experiments/101/users") as answer:
            assert [each["name"] for each in await answer.json()] == [bearer.name]
        async with session.get("/experiments/102/users") as answer:
            assert answer.status == 404
        async with session.post(f"/resource/run/{bearer.name}/{name}~101/desktop/") as answer:
            assert answer.status == MEMBER


async def test_a_token_that_is_not_accepted(bearer: User) -> None:
    head = head_of(bearer.api)
    async with signed_in(bearer, "expired") as session:
        status, page = await page_of(session, bearer)
    assert status == 403
    assert page["error"] == "ICAT does not accept your OpenID sign-in (any more): sign in again"
    assert bearer.provider.asked() == ["session"]
    assert set(kinds_after(bearer.api, head)) <= {"UserLoggedIn"}


async def test_without_a_token_nobody_is_signed_in_at_icat(bearer: User) -> None:
    sentence = "experiments come from ICAT by your OpenID sign-in, and you have signed in otherwise"
    path = f"/users/{bearer.name}/experiments/"
    for visitor in (bearer, Visitor(api=bearer.api, name=bearer.api.add_user(admin=True))):
        obey(bearer.api)
        answer = await visitor.get(path)
        assert (answer.status, answer.json()["error"]) == (403, sentence)
    assert (await bearer.get("/experiments/1/users")).status == 403
    assert await bearer.run("HC-1~1") == (403, sentence)
    assert (await bearer.get(f"{path}?calipsouserexperiment__favorite=1")).status == 200
    assert bearer.provider.asked() == []


async def test_without_a_token_the_account_is_used_if_there_is_one(
    icat: Server, make_backend: Callable[..., Backend]
) -> None:
    with asking_api(make_backend, icat_settings(icat.url, icat_openid_connect=True)) as api:
        somebody, name = User(api=api, name=api.add_user(), provider=icat), fresh()
        obey(api)
        know(icat, visit(111, name, f"db/{somebody.name}"), visit(112, fresh(), "db/bob"))
        assert await somebody.numbers() == [name]
