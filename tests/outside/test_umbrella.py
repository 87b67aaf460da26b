"""Signing in with Umbrella: whose headers are believed, and what a browser must have been seen with."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import aiohttp
import pytest
from tests.api.conftest import PASSWORD, Api, served
from tests.outside.conftest import HASHES, Office

from calipso.backend import Backend
from calipso.commands.handling import USER, USER_NAME


def shibboleth(name: str, eaa_hash: str = "") -> dict[str, str]:
    """The headers that Shibboleth sets."""
    return {"EAAHash": eaa_hash or HASHES[name], "uid": name}


def body(name: str, eaa_hash: str = "") -> dict[str, str]:
    """What a frontend posts."""
    return {"EAAHash": eaa_hash or HASHES[name], "uid": name}


async def post(
    session: aiohttp.ClientSession, content: object, headers: dict[str, str] | None = None
) -> tuple[int, Any]:
    """Status and body of a sign-in."""
    async with session.post("/umbrella/wuo/", json=content, headers=headers) as answer:
        return answer.status, await answer.json(content_type=None)


@pytest.fixture(scope="module")
def apart(office: Office, make_backend: Callable[..., Backend]) -> Iterator[Api]:
    """An API that trusts no proxy that is here."""
    backend = make_backend(backend_uo_hash=f"{office.url}/hash", trusted_proxies="192.0.2.0/24")
    try:
        with served(backend) as made:
            yield made
    finally:
        backend.close()


@pytest.fixture(scope="module")
def with_secret(office: Office, make_backend: Callable[..., Backend]) -> Iterator[Api]:
    """An API that wants a secret of its proxies."""
    backend = make_backend(backend_uo_hash=f"{office.url}/hash", trusted_proxies="127.0.0.1", proxy_secret="between us")
    try:
        with served(backend) as made:
            yield made
    finally:
        backend.close()


async def test_the_frontend_signs_in_as_it_always_did(asking: Api) -> None:
    async with asking.anonymous() as session:
        async with session.get("/umbrella/session/", headers=shibboleth("ada")) as answer:
            assert answer.status == 200
            assert await answer.text() == json.dumps(body("ada"))
            seen = await answer.json()
        assert await post(session, seen, headers={"X-CSRFToken": "none"}) == (200, "Login OK")
        async with session.get("/authenticated/") as answer:
            assert (await answer.json())["username"] == "ada"


async def test_the_headers_of_the_request_itself_are_enough(asking: Api) -> None:
    async with asking.anonymous() as session:
        assert await post(session, body("bob"), headers=shibboleth("bob")) == (200, "Login OK")


async def test_a_session_signs_in_once(asking: Api) -> None:
    async with (
        asking.anonymous() as session,
        session.get("/umbrella/session/", headers=shibboleth("ada")) as answer,
    ):
        cookie = {"calipso_umbrella": answer.cookies["calipso_umbrella"].value}
        assert answer.cookies["calipso_umbrella"]["httponly"]
    async with aiohttp.ClientSession(asking.url, cookies=cookie) as first:
        assert (await post(first, body("ada")))[0] == 200
    async with aiohttp.ClientSession(asking.url, cookies=cookie) as second:
        assert await post(second, body("ada")) == (404, {"msg": "user not found"})


@pytest.mark.parametrize("known", [body("ada"), body("eve"), body("eve", HASHES["ada"])])
async def test_whoever_only_knows_the_values_is_nobody(asking: Api, known: dict[str, str]) -> None:
    async with asking.anonymous() as session:
        assert await post(session, known) == (404, {"msg": "user not found"})


async def test_ones_own_hash_does_not_give_the_name_of_another(asking: Api) -> None:
    async with asking.anonymous() as session:
        await session.get("/umbrella/session/", headers=shibboleth("ada"))
        stolen = {"EAAHash": HASHES["ada"], "uid": "eve"}
        assert await post(session, stolen) == (404, {"msg": "user not found"})


async def test_a_hash_that_the_user_office_does_not_know_is_nobody(asking: Api) -> None:
    async with asking.anonymous() as session:
        answer = await post(session, body("mallory", "unknown"), headers=shibboleth("mallory", "unknown"))
        assert answer == (404, {"msg": "user not found"})


async def test_a_name_of_somebody_else_is_refused(asking: Api) -> None:
    name = asking.add_user(admin=True)
    async with asking.anonymous() as session:
        status, answer = await post(session, body(name, HASHES["eve"]), headers=shibboleth(name, HASHES["eve"]))
        assert status == 403
        assert "calipso users link" in answer["error"]


async def test_the_user_office_away_is_told(asking: Api, office: Office) -> None:
    office.trouble("error")
    async with asking.anonymous() as session:
        assert (await post(session, body("eve"), headers=shibboleth("eve")))[0] == 503
    naming = asking.backend.installation.naming
    assert asking.backend.dispatcher.state(USER_NAME, naming.user_name("eve")) is None


@pytest.mark.parametrize(
    ("content", "missing"),
    [({}, "EAAHash"), ({"EAAHash": "x"}, "uid"), ({"uid": "x"}, "EAAHash"), ({"EAAHash": "", "uid": "x"}, "EAAHash")],
)
async def test_a_missing_value_is_named(asking: Api, content: object, missing: str) -> None:
    async with asking.anonymous() as session:
        assert await post(session, content) == (400, f"Expected '{missing}' error:'{missing}'")


async def test_spoofed_headers_are_not_believed(apart: Api) -> None:
    async with apart.anonymous() as session:
        async with session.get("/umbrella/session/", headers=shibboleth("ada")) as answer:
            assert (answer.status, await answer.text()) == (404, '{"msg": "session not found"}')
        assert (await post(session, body("ada"), headers=shibboleth("ada")))[0] == 404


@pytest.mark.parametrize(("secret", "status"), [("between us", 200), ("guessed", 404), ("", 404)])
async def test_a_proxy_needs_the_secret_if_there_is_one(with_secret: Api, secret: str, status: int) -> None:
    headers = {**shibboleth("ada"), **({"X-Calipso-Proxy-Secret": secret} if secret else {})}
    async with with_secret.anonymous() as session, session.get("/umbrella/session/", headers=headers) as answer:
        assert answer.status == status


@pytest.mark.parametrize("uid", ["", "a;b", "x" * 501])
async def test_values_that_cannot_be_meant_are_not_taken(asking: Api, uid: str) -> None:
    headers = {"EAAHash": HASHES["ada"], "uid": uid}
    async with asking.anonymous() as session, session.get("/umbrella/session/", headers=headers) as answer:
        assert answer.status == 404


async def test_where_browsers_are_sent(asking: Api) -> None:
    async with asking.anonymous() as session:
        async with session.get("/umbrella/login/", allow_redirects=False) as answer:
            back = "https%3A%2F%2Fcalipso.example.org%2Fservices%2Fumbrella%2Ffrontend%2F"
            assert answer.status == 302
            assert answer.headers["Location"] == f"https://calipso.example.org/Shibboleth.sso/Login?target={back}"
        async with session.get("/umbrella/frontend/", allow_redirects=False) as answer:
            assert (answer.status, answer.headers["Location"]) == (302, "https://portal.example.org/autologin")


async def test_without_addresses_the_setting_is_named(apart: Api) -> None:
    async with apart.anonymous() as session:
        for path, name in (("login", "CALIPSO_UMBRELLA_LOGIN"), ("frontend", "CALIPSO_FRONTEND_CALIPSO")):
            async with session.get(f"/umbrella/{path}/", allow_redirects=False) as answer:
                assert answer.status == 404
                assert name in (await answer.json(content_type=None))["error"]


async def test_signing_out_ends_the_login(asking: Api) -> None:
    name = asking.add_user()
    async with asking.signed_in(name, PASSWORD) as session:
        async with session.get("/umbrella/logout/") as answer:
            assert (answer.status, await answer.json()) == (200, "ok logout")
        async with session.get("/authenticated/") as answer:
            assert answer.status == 401


async def test_a_browser_that_follows_a_link_out_is_sent_on(asking: Api) -> None:
    async with asking.signed_in(asking.add_user()) as session:
        headers = {"Sec-Fetch-Mode": "navigate"}
        async with session.get("/umbrella/logout/", headers=headers, allow_redirects=False) as answer:
            assert (answer.status, answer.headers["Location"]) == (302, "https://umbrella.example.org/out")
        async with session.get("/authenticated/") as answer:
            assert answer.status == 401


async def test_a_live_login_needs_its_token(asking: Api) -> None:
    name = asking.add_user()
    async with asking.signed_in(name, PASSWORD) as session:
        status, _ = await post(session, body("ada"), headers={**shibboleth("ada"), "X-CSRFToken": "none"})
        assert status == 403


async def test_the_identity_is_the_hash(asking: Api) -> None:
    async with asking.anonymous() as session:
        assert (await post(session, body("announced"), headers=shibboleth("announced")))[0] == 200
    dispatcher, naming = asking.backend.dispatcher, asking.backend.installation.naming
    user_id = dispatcher.state(USER_NAME, naming.user_name("announced"))
    assert user_id is not None
    user = dispatcher.state(USER, user_id)
    assert user is not None
    assert ("umbrella", HASHES["announced"]) in user.identities
