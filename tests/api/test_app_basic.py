"""HTTP Basic with local passwords, and how often wrong ones may be tried."""

import asyncio
from base64 import b64encode
from collections import Counter
from collections.abc import AsyncIterator

import aiohttp
import pytest
import pytest_asyncio
from tests.api.conftest import PASSWORD, Api, basic
from tests.api.test_app_sessions import sign_in

from calipso.accounts import ATTEMPTS_LIMIT

ENDPOINTS = ["/settings/", "/login/type/", "/logout/", "/authenticated/", "/images/", "/users/ada/admin", "/nothing"]


@pytest_asyncio.fixture
async def client(api: Api) -> AsyncIterator[aiohttp.ClientSession]:
    async with api.anonymous() as session:
        yield session


async def status_with(client: aiohttp.ClientSession, header: str, path: str = "/images/", method: str = "GET") -> int:
    async with client.request(method, path, headers={"Authorization": header}) as answer:
        return answer.status


@pytest.mark.parametrize("path", ENDPOINTS)
async def test_wrong_credentials_are_refused_everywhere(client: aiohttp.ClientSession, path: str) -> None:
    async with client.get(path, headers={"Authorization": basic("nobody", "x")}) as answer:
        assert answer.status == 401
        assert answer.headers["WWW-Authenticate"] == 'Basic realm="api"'
        assert (await answer.json())["detail"] == "Invalid username/password."


@pytest.mark.parametrize(
    "header",
    ["Basic", "Basic ", "basic !", "Basic YWRh", "BASIC x", f"Basic {b64encode(b'a:b').decode()}x", "Basic /w=="]
    + [
        f"Basic {b64encode(content).decode()}" for content in (b"", b":", b"\xff:\xff", b"a\0:b", b"\0:\0", b"a" * 4000)
    ],
)
async def test_malformed_credentials_are_wrong_ones(client: aiohttp.ClientSession, header: str) -> None:
    assert await status_with(client, header) == 401


@pytest.mark.parametrize("header", ["Bearer x", "Token x", "", "x", "Digest username=ada"])
async def test_other_schemes_sign_nobody_in(client: aiohttp.ClientSession, header: str) -> None:
    assert await status_with(client, header) == 403
    assert await status_with(client, header, "/settings/") == 200


async def test_right_credentials_need_no_token(api: Api) -> None:
    name = api.add_user(admin=True)
    body = {"max_simultaneous": 1, "memory": "1G", "cpu": 1, "hdd": "1G"}
    async with api.basic(name) as session, session.post(f"/quota/{name}/", json=body) as answer:
        assert answer.status == 200
        assert "Set-Cookie" not in answer.headers


async def test_unsupported_methods_are_405(api: Api) -> None:
    async with api.basic(api.add_user()) as session, session.post("/users/") as answer:
        assert answer.status == 405


@pytest.mark.parametrize("password", ["a:b:c", "pässwörd", " ", "x" * 900])
async def test_passwords_of_every_kind(api: Api, client: aiohttp.ClientSession, password: str) -> None:
    name = api.add_user(password=password)
    assert await status_with(client, basic(name, password)) == 200
    assert await status_with(client, basic(name, password + "x")) == 401


async def test_an_account_without_a_password_has_none_that_fits(api: Api, client: aiohttp.ClientSession) -> None:
    name = api.add_user()
    with api.backend.database.connect() as connection:
        connection.execute("DELETE FROM passwords WHERE user_id = %s", (api.user_id(name),))
    for password in ("", "None", PASSWORD):
        assert await status_with(client, basic(name, password)) == 401


async def test_a_new_password_holds_at_once(api: Api, client: aiohttp.ClientSession) -> None:
    name = api.add_user()
    assert await status_with(client, basic(name, PASSWORD)) == 200
    api.backend.passwords.set(api.user_id(name), "another")
    assert await status_with(client, basic(name, PASSWORD)) == 401
    assert await status_with(client, basic(name, "another")) == 200


async def test_a_login_counts_before_basic(api: Api) -> None:
    ada, bob = api.add_user(), api.add_user()
    headers = {"Authorization": basic(bob, PASSWORD)}
    async with api.signed_in(ada) as session, session.get("/authenticated/", headers=headers) as answer:
        assert (await answer.json())["username"] == ada


async def test_a_dead_cookie_gives_way_to_basic(api: Api, client: aiohttp.ClientSession) -> None:
    name = api.add_user()
    headers = {"Cookie": "sessionid=dead", "Authorization": basic(name, PASSWORD)}
    async with client.get(f"/users/{name}/", headers=headers) as answer:
        assert answer.status == 200


async def test_a_remembered_password_is_quick(api: Api, client: aiohttp.ClientSession) -> None:
    name, loop = api.add_user(), asyncio.get_running_loop()
    began = loop.time()
    assert await status_with(client, basic(name, PASSWORD)) == 200
    first = loop.time() - began
    began = loop.time()
    for _ in range(10):
        assert await status_with(client, basic(name, PASSWORD)) == 200
    assert (loop.time() - began) / 10 < first


async def test_requests_at_once_with_the_right_password(api: Api) -> None:
    async with api.basic(api.add_user()) as session:
        answers = await asyncio.gather(*(status_with(session, session.headers["Authorization"]) for _ in range(40)))
    assert answers == [200] * 40


@pytest.mark.parametrize("by_cookie", [True, False], ids=["login", "basic"])
async def test_guesses_are_bounded(api: Api, client: aiohttp.ClientSession, by_cookie: bool) -> None:
    name = api.add_user()

    async def guess(number: int) -> int:
        if by_cookie:
            return (await sign_in(client, name, f"guess {number}")).status
        return await status_with(client, basic(name, f"guess {number}"))

    answers = Counter(await asyncio.gather(*(guess(number) for number in range(30))))
    assert answers == {401: ATTEMPTS_LIMIT, 429: 30 - ATTEMPTS_LIMIT}
    answer = await sign_in(client, name)  # the right one is not heard either
    assert answer.status == 429
    assert 0 < int(answer.headers["Retry-After"]) <= 300
    assert await status_with(client, basic(name, PASSWORD)) == 429
    assert (await sign_in(client, api.add_user())).status == 200


async def test_names_of_nobody_are_bounded_too(client: aiohttp.ClientSession) -> None:
    answers = [(await sign_in(client, "Nobody at all" if number % 2 else "nobody at all", "x")) for number in range(11)]
    assert [answer.status for answer in answers] == [401] * 10 + [429]


async def test_a_right_password_clears_the_wrong_ones(api: Api, client: aiohttp.ClientSession) -> None:
    name = api.add_user()
    for _ in range(3):
        for _ in range(ATTEMPTS_LIMIT - 1):
            assert await status_with(client, basic(name, "wrong")) == 401
        api.backend.passwords.set(api.user_id(name), PASSWORD)  # so that it is not remembered
        assert await status_with(client, basic(name, PASSWORD)) == 200


async def test_an_attempt_counts_for_five_minutes(api: Api, client: aiohttp.ClientSession) -> None:
    name = api.add_user()
    for _ in range(ATTEMPTS_LIMIT):
        await sign_in(client, name, "wrong")
    with api.backend.database.connect() as connection:
        connection.execute("UPDATE sign_in_attempts SET at = at - interval '5 minutes'")
    assert (await sign_in(client, name)).status == 200
