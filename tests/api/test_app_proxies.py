"""Behind proxies: whose word counts for where a request comes from, and for how it came."""

from collections.abc import Callable, Iterator

import pytest
from tests.api.conftest import PASSWORD, Api, served

from calipso.accounts import ATTEMPTS_LIMIT
from calipso.backend import Backend


@pytest.fixture(scope="module", params=[0, 1])
def behind(request: pytest.FixtureRequest, make_backend: Callable[..., Backend]) -> Iterator[Api]:
    """A served installation behind no proxy, or behind one."""
    backend = make_backend(trusted_proxies="127.0.0.1" if request.param else "", cookie_secure=bool(request.param))
    try:
        with served(backend) as made:
            yield made
    finally:
        backend.close()


async def test_the_address_of_a_guess_is_what_the_proxy_says(behind: Api) -> None:
    has_proxy, name = bool(behind.backend.settings.trusted_proxies), behind.add_user()

    async def status_of(address: str, password: str) -> int:
        body, headers = {"username": name, "password": password}, {"X-Forwarded-For": address}
        async with behind.anonymous(headers=headers) as session, session.post("/login/", json=body) as answer:
            return answer.status

    for number in range(ATTEMPTS_LIMIT):
        # the client may claim what it wants: the last word is the proxy's
        assert await status_of(f"198.51.100.{number}, 192.0.2.1", "wrong") == 401
    assert await status_of("192.0.2.1", PASSWORD) == 429
    assert await status_of("192.0.2.2", PASSWORD) == (200 if has_proxy else 429)


async def test_cookies_are_secure_when_served_by_https(behind: Api) -> None:
    is_secure, name = behind.backend.settings.cookie_secure, behind.add_user()
    async with behind.anonymous() as session:
        async with session.post("/login/", json={"username": name, "password": PASSWORD}) as answer:
            assert [bool(cookie["secure"]) for cookie in answer.cookies.values()] == [is_secure] * 2
        async with session.get("/logout/") as answer:
            assert [bool(cookie["secure"]) for cookie in answer.cookies.values()] == [is_secure]


async def test_links_of_pages_are_what_the_browser_sees(behind: Api) -> None:
    has_proxy, names = bool(behind.backend.settings.trusted_proxies), [behind.add_user() for _ in range(21)]
    headers = {"X-Forwarded-For": "192.0.2.1", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "portal.example.org"}
    async with behind.basic(names[0]) as session:
        following = None
        while not following:  # until the read model has all of them
            async with session.get("/users/", headers=headers) as answer:
                following = (await answer.json())["next"]
    assert following == f"{'https://portal.example.org' if has_proxy else behind.url}/users/?page=2"
