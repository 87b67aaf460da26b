"""Signing in and out by cookie."""

import asyncio
import secrets
from http.cookies import Morsel

import aiohttp
import pytest
from tests.api.conftest import PASSWORD, Api
from tests.api.ringing import heard_of
from yarl import URL

from calipso.accounts import Login
from calipso.backend import Backend
from calipso.commands.user import GrantRole, RevokeRole
from calipso.events.user import Role, UserLoggedIn

DAY = 24 * 3600
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


async def sign_in(session: aiohttp.ClientSession, name: str, password: str = PASSWORD) -> aiohttp.ClientResponse:
    async with session.post("/login/", json={"username": name, "password": password}) as answer:
        await answer.read()
        return answer


def cookie_of(answer: aiohttp.ClientResponse, name: str) -> "Morsel[str]":
    assert len(answer.headers.getall("Set-Cookie")) <= 2
    return answer.cookies[name]


def key_of(api: Api, session: aiohttp.ClientSession) -> str:
    return session.cookie_jar.filter_cookies(URL(api.url))["sessionid"].value


def login_of(backend: Backend, key: str) -> Login | None:
    return backend.logins.find(key)


@pytest.mark.parametrize("is_form", [False, True], ids=["json", "form"])
async def test_a_sign_in_gives_two_cookies(api: Api, is_form: bool) -> None:
    name = api.add_user()
    given = {"username": name, "password": PASSWORD}
    async with (
        api.anonymous() as session,
        session.post("/login/", **{"data" if is_form else "json": given}) as answer,  # type: ignore[arg-type]  # one of the two
    ):
        assert (answer.status, await answer.read()) == (200, b'"Login OK"')
        key, token = cookie_of(answer, "sessionid"), cookie_of(answer, "csrftoken")
        assert (key["httponly"], key["max-age"], key["path"], key["samesite"]) == (True, str(14 * DAY), "/", "Lax")
        assert (token["httponly"], token["max-age"], token["path"]) == ("", str(365 * DAY), "/")
        assert (token["samesite"], key["secure"], token["secure"]) == ("Lax", "", "")
        login = login_of(api.backend, key.value)
        assert login is not None
        assert login.csrf_token == token.value


async def test_a_sign_in_is_recorded(api: Api) -> None:
    name = api.add_user()
    async with api.anonymous() as session:
        await sign_in(session, name)
    recorded = api.backend.store.load(api.user_id(name))[-1]
    assert recorded.event == UserLoggedIn(user_id=api.user_id(name), method="local")
    assert recorded.actor == f"user:{api.user_id(name)}"


async def test_a_name_is_the_same_in_whatever_case(api: Api) -> None:
    name = api.add_user(f"Müller-{secrets.token_hex(3)}")
    async with api.anonymous() as session:
        assert (await sign_in(session, name.upper())).status == 200
        async with session.get("/authenticated/") as answer:
            assert (await answer.json())["username"] == name


@pytest.mark.parametrize("name", ["", "nobody", "no\0body", "x" * 1000, "\u202e", "a/b"])
async def test_an_unknown_name_is_a_wrong_one(api: Api, name: str) -> None:
    async with api.anonymous() as session, session.post("/login/", json={"username": name, "password": "x"}) as answer:
        assert (answer.status, await answer.read()) == (401, b'"Unable to authenticate"')
        assert "WWW-Authenticate" not in answer.headers
        assert "Set-Cookie" not in answer.headers


@pytest.mark.parametrize("password", ["", "x", PASSWORD + "x", PASSWORD[:-1], "x" * 100_000, "\0"])
async def test_a_wrong_password(api: Api, password: str) -> None:
    name = api.add_user()
    async with api.anonymous() as session:
        assert (await sign_in(session, name, password)).status == 401


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b'"x"',
        b"{",
        b'{"username": "ada"}',
        b'{"password": "x"}',
        b'{"username": 1}',
        b'{"username": "a", "password": null}',
        b'{"username": ["a"], "password": {}}',
        b"[" * 100000,
    ],
)
async def test_a_body_that_is_no_credentials(api: Api, body: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    async with api.anonymous() as session, session.post("/login/", data=body, headers=headers) as answer:
        assert (answer.status, await answer.read()) == (400, b"\"Expected 'username' and 'password'\"")


@pytest.mark.parametrize("body", [b"", b"username=ada", b"username", b"a=%ff&username=%00", b"&&==&"])
async def test_a_form_that_is_no_credentials(api: Api, body: bytes) -> None:
    async with api.anonymous() as session, session.post("/login/", data=body, headers=FORM) as answer:
        assert answer.status == 400


async def test_what_a_frontend_asks_before(api: Api) -> None:
    async with api.anonymous() as session:
        for path, body in (
            ("/settings/", b'{"local_auth": true}'),
            ("/login/type/", b'{"result": true}'),
            ("/logout/", b'"Logout OK"'),
        ):
            async with session.get(path) as answer:
                assert (answer.status, await answer.read()) == (200, body)
                assert answer.headers["Content-Type"] == "application/json"


async def test_who_is_signed_in(api: Api) -> None:
    name = api.add_user()
    async with api.signed_in(name) as session, session.get("/authenticated/") as answer:
        expected = f'{{"username": "{name}", "authenticated": "true"}}'
        assert (answer.status, await answer.text()) == (200, expected)
    async with api.anonymous() as session, session.get("/authenticated/") as answer:
        assert (answer.status, await answer.text()) == (401, '{"authenticated": "false"}')
    async with api.basic(name) as session, session.get("/authenticated/") as answer:
        assert (answer.status, await answer.text()) == (401, '{"authenticated": "false"}')


async def test_a_sign_out_ends_the_login_on_the_server(api: Api) -> None:
    async with api.signed_in(api.add_user()) as session:
        key = key_of(api, session)
        async with session.get("/logout/") as answer:
            assert (await answer.read(), cookie_of(answer, "sessionid")["max-age"]) == (b'"Logout OK"', "0")
        assert login_of(api.backend, key) is None
        async with api.anonymous(cookies={"sessionid": key}) as thief, thief.get("/images/") as answer:
            assert answer.status == 403


async def test_a_login_that_was_ended_elsewhere_is_over(api: Api) -> None:
    name = api.add_user()
    async with api.signed_in(name) as session:
        async with session.get("/images/") as answer:
            assert answer.status == 200
        api.backend.logins.close_all(api.user_id(name))

        async def is_over() -> bool:
            async with session.get("/images/") as answer:
                return answer.status == 403

        await heard_of(is_over, "the end of the login")


async def test_each_sign_in_has_a_key_of_its_own_and_ends_the_one_before(api: Api) -> None:
    name = api.add_user()
    async with api.signed_in(name) as session:
        first = key_of(api, session)
        second = cookie_of(await sign_in(session, name), "sessionid").value
        assert first != second
        assert login_of(api.backend, first) is None
        assert login_of(api.backend, second) is not None


@pytest.mark.parametrize("key", ["chosen", "", "x" * 5000, '"', "é"])
async def test_a_chosen_key_is_never_taken_over(api: Api, somebody: str, key: str) -> None:
    async with api.anonymous(headers={"Cookie": f"sessionid={key}"}) as session:
        async with session.get("/authenticated/") as answer:
            assert answer.status == 401
        answer = await sign_in(session, somebody)
        assert answer.status == 200
        assert cookie_of(answer, "sessionid").value not in {"", key}


async def test_a_request_by_cookie_that_changes_something_needs_the_token(api: Api) -> None:
    name = api.add_user(admin=True)
    async with api.signed_in(name) as session:
        right = session.headers["X-CSRFToken"]
        path, body = f"/quota/{name}/", {"max_simultaneous": 1, "memory": "1G", "cpu": 1, "hdd": "1G"}
        for sent, status in (("", 403), ("none", 403), (right[:-1], 403), ("é", 403), (right, 200)):
            async with session.post(path, json=body, headers={"X-CSRFToken": sent}) as answer:
                assert answer.status == status
                if status == 403:
                    assert (await answer.json())["detail"] == "CSRF Failed: CSRF token missing or incorrect."
        async with session.get(path, headers={"X-CSRFToken": ""}) as answer:
            assert answer.status == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
async def test_the_token_is_asked_for_before_the_method(api: Api, somebody: str, method: str) -> None:
    async with api.signed_in(somebody) as session:
        async with session.request(method, "/users/", headers={"X-CSRFToken": "none"}) as answer:
            assert answer.status == 403
        async with session.request(method, "/users/") as answer:
            assert answer.status == 405
        async with session.request(method, "/nothing/", headers={"X-CSRFToken": "none"}) as answer:
            assert answer.status == 404


async def test_the_token_of_another_login_is_wrong(api: Api) -> None:
    async with api.signed_in(api.add_user()) as ada, api.signed_in(api.add_user()) as bob:
        headers = {"X-CSRFToken": bob.headers["X-CSRFToken"]}
        async with ada.post("/users/", headers=headers) as answer:
            assert answer.status == 403


async def test_a_sign_in_beside_a_live_login_needs_the_token(api: Api) -> None:
    name = api.add_user()
    async with api.signed_in(name) as session:
        del session.headers["X-CSRFToken"]
        assert (await sign_in(session, name)).status == 403
        async with session.get("/logout/"):
            assert (await sign_in(session, name)).status == 200


async def test_another_site_signs_nobody_in(api: Api) -> None:
    headers = {"Sec-Fetch-Site": "cross-site"}
    async with api.anonymous(headers=headers) as session:
        assert (await sign_in(session, api.add_user())).status == 403


async def test_roles_hold_once_they_are_heard_of(api: Api) -> None:
    name, other = api.add_user(), api.add_user()
    async with api.signed_in(name) as session:
        for command_type, status in ((GrantRole, 200), (RevokeRole, 403)):
            api.obey(command_type(user_id=api.user_id(name), role=Role.ADMINISTRATOR))

            async def holds(status: int = status) -> bool:
                async with session.get(f"/resource/list/{other}/") as answer:
                    return answer.status == status

            await heard_of(holds, command_type.__name__)


async def test_nobody_is_told_to_sign_in(api: Api) -> None:
    async with api.anonymous() as session:
        for path in ("/images/", "/users/", "/containers/", "/resource/list/ada/"):
            async with session.get(path) as answer:
                assert answer.status == 403
                assert (await answer.json())["detail"] == "Authentication credentials were not provided."
                assert "WWW-Authenticate" not in answer.headers


async def test_sign_ins_at_once(api: Api) -> None:
    name = api.add_user()

    async def one() -> str:
        async with api.anonymous() as session:
            return cookie_of(await sign_in(session, name), "sessionid").value

    assert len(set(await asyncio.gather(*(one() for _ in range(20))))) == 20


@pytest.mark.parametrize("header", [{"Sec-Fetch-Mode": "navigate"}, {"Sec-Fetch-Site": "cross-site"}])
@pytest.mark.parametrize("path", ["/resource/run/{}/own/x/", "/resource/stop/{}/x/x/", "/resource/rm/{}/x/x/"])
async def test_a_link_starts_and_stops_nothing(api: Api, somebody: str, header: dict[str, str], path: str) -> None:
    name = somebody
    async with api.signed_in(name) as session:
        async with session.get(path.format(name), headers=header) as answer:
            assert answer.status == 403
            assert "link" in (await answer.json())["detail"]
        async with session.post(path.format(name), headers=header) as answer:
            assert answer.status == 404
        async with session.get(path.format(name), headers={"Sec-Fetch-Site": "same-site"}) as answer:
            assert answer.status == 404
        async with session.head(path.format(name)) as answer:
            assert answer.status == 405
