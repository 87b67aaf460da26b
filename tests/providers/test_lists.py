"""What users see of the experiments that the facility's provider gives them."""

from collections.abc import Callable
from urllib.parse import quote

import pytest
from tests.api.visitors import Visitor
from tests.providers.conftest import (
    PAGE_SIZE,
    Server,
    User,
    asking_api,
    dynamic_settings,
    events_after,
    experiment,
    head_of,
    kinds_after,
    obey,
    session,
)

from calipso.backend import Backend

NUMBERS = [f"P{number}" for number in range(1, 8)]


async def test_an_experiment_with_its_session(user: User) -> None:
    user.given(experiment("P1", session("P1-1", body="two\r\nlines")))
    page = await user.list()
    [found] = page.pop("results")
    assert page == {"next": None, "previous": None, "count": 1, "page_size": PAGE_SIZE}
    link, path = found.pop("id"), found["sessions"][0].pop("data_set_path")
    assert link > 0
    assert path == '{"/datasets/P1-1": {"bind": "/raw", "mode": "ro"}}'
    assert found == {
        "proposal_id": "P1",
        "subject": "Ice P1",
        "body": "Cold.",
        "beam_line": "BL13",
        "sessions": [
            {
                "session_number": "P1-1",
                "start_date": "2026-02-01T08:00:00Z",
                "end_date": "2026-02-03T20:00:00Z",
                "subject": "Visit",
                "body": "two\nlines",
            }
        ],
        "uid": "5001",
        "gid": ".",
        "favorite": False,
    }


async def test_somebody_whom_the_provider_does_not_know(user: User) -> None:
    assert await user.list() == {"next": None, "previous": None, "count": 0, "results": [], "page_size": PAGE_SIZE}


async def test_pages_name_their_neighbours(user: User) -> None:
    user.given(*map(experiment, NUMBERS))
    base = f"{user.api.url}/users/{user.name}/experiments/"
    first, second = await user.list("?ordering="), await user.list("?ordering=&page=2")
    third = await user.list("?ordering=&page=3")
    assert (first["previous"], first["next"]) == (None, f"{base}?ordering=&page=2")
    assert (second["previous"], second["next"]) == (f"{base}?ordering=", f"{base}?ordering=&page=3")
    assert (third["previous"], third["next"]) == (f"{base}?ordering=&page=2", None)
    assert [page["count"] for page in (first, second, third)] == [7] * 3
    found = [each["proposal_id"] for page in (first, second, third) for each in page["results"]]
    assert found == NUMBERS
    assert (await user.get(f"/users/{user.name}/experiments/?page=4")).detail() == (404, "Invalid page.")
    assert (await user.get(f"/users/{user.name}/experiments/?page=none")).detail() == (404, "Invalid page.")


async def test_the_provider_orders_and_searches(user: User) -> None:
    user.given(
        experiment("P1", subject="Fire"),
        experiment("P2", body="of fire"),
        experiment("P3", beam_line="BL99"),
    )
    assert await user.numbers("?ordering=-proposal_id") == ["P3", "P2", "P1"]
    assert await user.numbers("?ordering=beam_line") == ["P1", "P2", "P3"]
    assert await user.numbers("?ordering=subject") == ["P1", "P2", "P3"]
    assert await user.numbers("?ordering=nothing%26page=2") == ["P1", "P2", "P3"]
    assert await user.numbers("?search=fIRE") == ["P1", "P2"]
    assert await user.numbers("?search=bl99&ordering=-subject") == ["P3"]
    assert await user.numbers("?search=no%26such") == []


async def test_a_search_does_not_end_the_other_memberships(user: User) -> None:
    user.given(experiment("P1"), experiment("P2"))
    await user.list()
    head = head_of(user.api)
    assert await user.numbers("?search=P2") == ["P2"]
    assert kinds_after(user.api, head) == []


async def test_favourites_are_ours(user: User) -> None:
    user.given(experiment("P1"), experiment("P2"))
    link = (await user.list())["results"][1]["id"]
    assert (await user.ask("PUT", f"/favorite/{link}/", {"favorite": "1"})).json() == {"id": link, "favorite": True}
    assert [each["favorite"] for each in (await user.list())["results"]] == [False, True]
    user.given(experiment("P1", subject="Fire"), experiment("P2", subject="Fire"))
    head = head_of(user.api)
    found = (await user.list("?calipsouserexperiment__favorite=1"))["results"]
    assert [(each["proposal_id"], each["subject"]) for each in found] == [("P2", "Ice P2")]
    assert await user.numbers("?calipsouserexperiment__favorite=0") == ["P1"]
    assert kinds_after(user.api, head) == []
    assert [each["favorite"] for each in (await user.list())["results"]] == [False, True]


async def test_a_list_is_for_its_user_and_administrators(user: User) -> None:
    user.given(experiment("P1"))
    other, admin = user.api.add_user(), user.api.add_user(admin=True)
    obey(user.api)
    head = head_of(user.api)
    path = f"/users/{user.name}/experiments/"
    assert (await Visitor(api=user.api, name=other).get(path)).status == 403
    assert (await Visitor(api=user.api).get(path)).status == 403
    assert events_after(user.api, head) == []
    found = await Visitor(api=user.api, name=admin).get(path)
    assert [each["proposal_id"] for each in found.json()["results"]] == ["P1"]


async def test_an_experiment_that_is_given_twice_is_shown_once(user: User) -> None:
    user.given(experiment("P1"), experiment("P1"), experiment("P2"))
    assert await user.numbers() == ["P1", "P2"]


@pytest.mark.parametrize("name", ["søren+1@example.org", "_.-"])
async def test_names_are_quoted_in_the_address(user: User, name: str) -> None:
    user.api.add_user(name)
    obey(user.api)
    somebody = User(api=user.api, name=name, provider=user.provider)
    somebody.given(experiment("P1"))
    answer = await Visitor(api=user.api, name=name).get(f"/users/{quote(name, safe='')}/experiments/")
    assert [each["proposal_id"] for each in answer.json()["results"]] == ["P1"]


async def test_the_user_may_be_a_parameter_of_the_address(user: User, make_backend: Callable[..., Backend]) -> None:
    given = dynamic_settings(user.provider.url)
    given["dynamic_experiments_data_retrieval_endpoint"] = f"{user.provider.url}/experiments?user=$USERNAME"
    with asking_api(make_backend, given) as api:
        other = User(api=api, name=api.add_user("ada+1@example.org"), provider=user.provider)
        obey(api)
        other.given(experiment("P1"), experiment("P2"))
        found = await other.get("/users/ada%2B1%40example.org/experiments/?search=P2")
        assert [each["proposal_id"] for each in found.json()["results"]] == ["P2"]


async def test_a_wrong_account_of_ours_is_told(provider: Server, make_backend: Callable[..., Backend]) -> None:
    given = dynamic_settings(provider.url) | {"local_access_password": "wrong"}
    with asking_api(make_backend, given) as api:
        user = User(api=api, name=api.add_user(), provider=provider)
        obey(api)
        answer = await user.get(f"/users/{user.name}/experiments/")
        assert answer.status == 503
        assert "refuses our account" in answer.json()["error"]
        assert "CALIPSO_LOCAL_ACCESS_USERNAME" in answer.json()["error"]
