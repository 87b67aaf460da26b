"""Signing in by the User Office: who gets in, who does not, and what happens when it is in trouble."""

import asyncio
from functools import partial
from typing import Any
from uuid import uuid4

import aiohttp
import pytest
from tests.api.conftest import PASSWORD, Api
from tests.hurry import Hurry
from tests.outside.conftest import OFFICE_PASSWORD, Office

from calipso.commands.handling import IDENTITY, USER, USER_NAME
from calipso.commands.image import AddImage
from calipso.commands.user import GrantRole, RegisterUser
from calipso.events.user import Role, User
from calipso.events.values import ImageSpec, Protocol, Resources, Runtime


async def sign_in(api: Api, name: str, password: str = OFFICE_PASSWORD) -> tuple[int, Any]:
    """Status and body of a sign-in."""
    async with (
        api.anonymous() as session,
        session.post("/login/", json={"username": name, "password": password}) as answer,
    ):
        return answer.status, await answer.json(content_type=None)


def account(api: Api, name: str) -> User | None:
    """The account of a name, if there is one."""
    found = api.backend.dispatcher.state(USER_NAME, api.backend.installation.naming.user_name(name))
    return api.backend.dispatcher.state(USER, found) if found else None


def announce(api: Api, name: str, *, roles: frozenset[Role] = frozenset()) -> None:
    """Open an account without a password, as an import does."""
    name_id = api.backend.installation.naming.user_name(name)
    api.obey(RegisterUser(user_id=uuid4(), name_id=name_id, name=name, roles=roles))


async def test_the_first_sign_in_opens_an_account(asking: Api) -> None:
    assert account(asking, "ada") is None
    async with asking.signed_in("ada", OFFICE_PASSWORD) as session, session.get("/users/ada/") as answer:
        assert answer.status == 200
        assert (await answer.json())["user"]["username"] == "ada"
    found = account(asking, "ada")
    assert found is not None
    assert found.identities == {("user-office", "ada")}
    assert await sign_in(asking, "ADA") == (200, "Login OK")
    assert account(asking, "ada") == found


async def test_two_first_sign_ins_at_once_open_one_account(asking: Api) -> None:
    answers = await asyncio.gather(*(sign_in(asking, "both") for _ in range(4)))
    assert answers == [(200, "Login OK")] * 4


async def test_a_wrong_password_is_refused_and_opens_nothing(asking: Api) -> None:
    assert await sign_in(asking, "eve", "wrong") == (401, "Unable to authenticate")
    assert account(asking, "eve") is None


@pytest.mark.parametrize("name", ["", ".", "a/b", "x" * 151, "a\nb"])
async def test_what_is_no_user_name_is_refused_without_asking(asking: Api, office: Office, name: str) -> None:
    office.trouble("error")
    assert (await sign_in(asking, name))[0] == 401


async def test_basic_goes_the_same_way_and_is_remembered(asking: Api, office: Office) -> None:
    async with asking.basic("ada", OFFICE_PASSWORD) as session:
        async with session.get("/images/") as answer:
            assert answer.status == 200
        office.trouble("error")
        async with session.get("/images/") as answer:
            assert answer.status == 200
    async with asking.basic("ada", "wrong") as session, session.get("/images/") as answer:
        assert answer.status == 503


async def test_wrong_attempts_are_throttled(asking: Api) -> None:
    statuses = [(await sign_in(asking, "slow", "wrong"))[0] for _ in range(11)]
    assert statuses == [401] * 10 + [429]
    assert (await sign_in(asking, "slow"))[0] == 429


async def test_an_account_with_a_local_password_is_not_opened_by_the_user_office(asking: Api) -> None:
    asking.add_user("local", admin=True)
    assert await sign_in(asking, "local") == (401, "Unable to authenticate")
    assert (await sign_in(asking, "local", PASSWORD))[0] == 200


async def test_an_announced_account_becomes_that_of_its_user(asking: Api) -> None:
    announce(asking, "announced")
    assert (await sign_in(asking, "announced"))[0] == 200
    found = account(asking, "announced")
    assert found is not None
    assert found.identities == {("user-office", "announced")}


async def test_an_announced_account_with_a_role_is_not_taken(asking: Api) -> None:
    announce(asking, "promoted", roles=frozenset({Role.ADMINISTRATOR}))
    status, answer = await sign_in(asking, "promoted")
    assert status == 403
    assert "calipso users link" in answer["error"]
    naming = asking.backend.installation.naming
    assert asking.backend.dispatcher.state(IDENTITY, naming.identity("user-office", "promoted")) is None


@pytest.mark.parametrize("kind", ["hang", "html", "redirect", "huge", "error", "close"])
async def test_trouble_is_told_and_lets_nobody_in(asking: Api, office: Office, hurry: Hurry, kind: str) -> None:
    name = f"Grace-{kind}"
    office.trouble(kind)
    hurry(kind)
    status, answer = await sign_in(asking, name)
    assert status == 503
    assert answer["error"] == "the User Office is not available"
    assert account(asking, name) is None
    office.trouble("")
    hurry("")
    assert (await sign_in(asking, name))[0] == 200


async def test_no_credential_gets_into_a_log(asking: Api, office: Office, capfd: pytest.CaptureFixture[str]) -> None:
    office.trouble("error")
    await sign_in(asking, "eve")
    office.trouble("")
    await sign_in(asking, "eve", "a wrong secret")
    printed = "".join(capfd.readouterr())
    assert OFFICE_PASSWORD not in printed
    assert "a wrong secret" not in printed


async def type_of(session: aiohttp.ClientSession) -> object:
    """What `login/type/` says."""
    async with session.get("/login/type/") as answer:
        assert answer.status == 200
        return (await answer.json())["result"]


async def test_the_user_office_says_who_may_have_containers_of_their_own(asking: Api, office: Office) -> None:
    async with asking.anonymous() as session:
        assert await type_of(session) is False
    async with asking.signed_in("ada", OFFICE_PASSWORD) as session:
        assert await type_of(session) is True
        office.trouble("error")
        assert await type_of(session) is False
    office.trouble("")
    async with asking.signed_in("bob", OFFICE_PASSWORD) as session:
        assert await type_of(session) is False


async def test_a_run_of_ones_own_is_authorised_by_the_user_office(asking: Api, office: Office) -> None:
    add_link(asking)
    async with asking.signed_in("bob", OFFICE_PASSWORD) as session:
        run = partial(session.get, "/resource/run/bob/abcde/authorised/")
        async with run() as answer:
            assert answer.status == 403
            assert "not authorised" in (await answer.json())["error"]
        office.trouble("error")
        async with run() as answer:
            assert answer.status == 503


async def test_a_role_that_comes_later_does_not_shut_out(asking: Api) -> None:
    assert (await sign_in(asking, "ada"))[0] == 200
    found = account(asking, "ada")
    assert found is not None
    asking.obey(GrantRole(user_id=found.user_id, role=Role.AUDITOR))
    assert (await sign_in(asking, "ada"))[0] == 200


def add_link(api: Api) -> None:
    """Put a link into the catalogue."""
    spec = ImageSpec(
        reference="https://example.org/", runtime=Runtime.STATIC_LINK, protocol=Protocol.NONE, resources=Resources()
    )
    api.obey(AddImage(image_id=api.backend.installation.naming.image("authorised"), name="authorised", spec=spec))
