"""An API below a path of its own, and under names of its own."""

import asyncio
from collections.abc import Callable, Iterator

import aiohttp
import pytest
from tests.api.conftest import PASSWORD, Api, served
from tests.api.test_app_malformed import raw
from tests.conftest import wait_until
from yarl import URL

from calipso.backend import Backend
from calipso.cli import serve

BASE = "/calipso/api"


@pytest.fixture(scope="module")
def below(make_backend: Callable[..., Backend]) -> Iterator[Api]:
    """A served installation below a path."""
    backend = make_backend(
        base_path=f"{BASE}/",
        allowed_hosts="portal.example.org",
        trusted_proxies="127.0.0.1",
        cors_origin_whitelist="https://portal.example.org",
        cors_allow_credentials=False,
        guacamole_database_url="",
    )
    try:
        with served(backend) as made:
            yield made
    finally:
        backend.close()


async def ask(
    api: Api, method: str, path: str, host: str = "portal.example.org", **headers: str
) -> tuple[int, aiohttp.ClientResponse, bytes]:
    url = URL(api.url + path, encoded=True)
    sent = {"Host": host, **{name.replace("_", "-"): value for name, value in headers.items()}}
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, url, headers=sent, allow_redirects=False) as answer,
    ):
        return answer.status, answer, await answer.read()


@pytest.mark.parametrize("path", ["/settings/", "/login/type/", "/health/live", "/metrics"])
async def test_everything_lies_below(below: Api, path: str) -> None:
    for method in ("GET", "HEAD", "OPTIONS"):
        assert (await ask(below, method, BASE + path))[0] == 200
        assert (await ask(below, method, path))[0] == 404


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/calipso",
        "/calipso/",
        BASE,
        f"{BASE}/",
        f"{BASE}settings/",
        f"{BASE}//settings/",
        f"{BASE}{BASE}/settings/",
        f"/x{BASE}/settings/",
        "/CALIPSO/api/settings/",
        "/calipso%2Fapi/settings/",
    ],
)
async def test_nothing_lies_elsewhere(below: Api, path: str) -> None:
    status, answer, _ = await ask(below, "GET", path)
    assert (status, answer.content_type) == (404, "application/problem+json")


async def test_a_missing_slash(below: Api) -> None:
    status, answer, _ = await ask(below, "GET", f"{BASE}/settings?a=b")
    assert (status, answer.headers["Location"]) == (301, f"{BASE}/settings/?a=b")
    _, answer, _ = await ask(below, "GET", f"{BASE}/settings", X_Forwarded_Prefix="/outer")
    assert answer.headers["Location"] == f"/outer{BASE}/settings/"


async def test_links_of_pages(below: Api) -> None:
    names = [below.add_user() for _ in range(21)]
    headers = {"Authorization": aiohttp.encode_basic_auth(names[0], PASSWORD), "X-Forwarded-Proto": "https"}
    async with aiohttp.ClientSession(headers={**headers, "Host": "portal.example.org"}) as session:
        following = None
        while not following:  # until the read model has all of them
            async with session.get(f"{below.url}{BASE}/users/") as answer:
                following = (await answer.json())["next"]
    assert following == f"https://portal.example.org{BASE}/users/?page=2"


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_cookies_are_for_the_whole_site(below: Api, scheme: str) -> None:
    body = {"username": below.add_user(), "password": PASSWORD}
    headers = {"Host": "portal.example.org", "X-Forwarded-Proto": scheme}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.post(f"{below.url}{BASE}/login/", json=body) as answer,
    ):
        assert [cookie["path"] for cookie in answer.cookies.values()] == ["/"] * 2
        assert [bool(cookie["secure"]) for cookie in answer.cookies.values()] == [scheme == "https"] * 2


@pytest.mark.parametrize(
    ("path", "host", "status"),
    [
        ("/settings/", "portal.example.org:8443", 200),
        ("/settings/", "evil.example", 400),
        ("/settings/", "127.0.0.1:8000", 400),
        ("/nothing", "evil.example", 400),
        ("/health/live", "127.0.0.1:8000", 200),
        ("/health/live", "10.1.2.3:8000", 200),
        ("/health/ready", "localhost", 200),
        ("/health", "[::1]:8000", 200),
        ("/metrics", "10.1.2.3:8000", 200),
        ("/metrics", "evil.example", 400),
    ],
)
async def test_names_that_are_allowed(below: Api, path: str, host: str, status: int) -> None:
    while True:  # health is not ready from the beginning
        found, answer, body = await ask(below, "GET", BASE + path, host)
        if found != 503:
            break
    assert found == status
    if status == 400:
        assert b'"field":"Host"' in body
        assert answer.content_type == "application/problem+json"


async def test_readiness_is_found(below: Api) -> None:
    configured = below.backend.settings.model_copy(update={"port": URL(below.url).port})
    url = serve._url(configured, "127.0.0.1")
    assert url == f"{below.url}{BASE}/"
    await asyncio.to_thread(wait_until, lambda: serve._answers(f"{url}health/ready"), "readiness")
    assert not serve._answers(f"{below.url}/health/ready")


async def test_a_name_that_a_proxy_tells(below: Api) -> None:
    assert (await ask(below, "GET", f"{BASE}/settings/", "x", X_Forwarded_Host="portal.example.org"))[0] == 200
    assert (await ask(below, "GET", f"{BASE}/settings/", X_Forwarded_Host="evil.example"))[0] == 400


async def test_frontends_may_be_kept_from_sending_cookies(below: Api) -> None:
    _, answer, _ = await ask(below, "GET", f"{BASE}/settings/", Origin="https://portal.example.org")
    assert answer.headers["Access-Control-Allow-Origin"] == "https://portal.example.org"
    assert "Access-Control-Allow-Credentials" not in answer.headers


@pytest.mark.parametrize(
    ("target", "headers", "status"),
    [
        (b"http://portal.example.org/calipso/api/settings/", b"Host: portal.example.org", b"200"),
        (b"HTTP://PORTAL.example.org/calipso/api/settings/", b"Host: portal.example.org", b"200"),
        (b"http://evil.example/calipso/api/settings/", b"Host: portal.example.org", b"400"),
        (b"http://portal.example.org/calipso/api/settings/", b"Host: evil.example", b"400"),
        (b"http://portal.example.org@evil.example/", b"Host: portal.example.org", b"400"),
        (b"http://portal.example.org", b"Host: portal.example.org", b"400"),
        (b"http://portal.example.org?/", b"Host: portal.example.org", b"400"),
        (b"//evil.example/calipso/api/settings", b"Host: portal.example.org", b"404"),
        (b"/calipso/api/settings/", b"Host: portal.example.org\r\nHost: portal.example.org", b"400"),
        (b"/calipso/api/settings/", b"Host: portal.example.org, evil.example", b"400"),
        (b"/calipso/api/settings/", b"X: y", b"400"),
    ],
)
async def test_where_a_request_goes(below: Api, target: bytes, headers: bytes, status: bytes) -> None:
    answer = await raw(below, b"GET " + target + b" HTTP/1.1\r\nConnection: close\r\n" + headers + b"\r\n\r\n")
    assert answer.split(b" ")[1] == status
    assert b"evil" not in answer.split(b"\r\n\r\n")[0]


@pytest.mark.parametrize(
    "headers",
    [
        b"Content-Length: 5\r\nTransfer-Encoding: chunked",
        b"Transfer-Encoding: chunked\r\nContent-Length: 5",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
        b"Transfer-Encoding: xchunked",
        b"Transfer-Encoding: Chunked",
        b"Transfer-Encoding: gzip, chunked",
        b"Transfer-Encoding : chunked",
        b" Transfer-Encoding: chunked",
        b"Content-Length: 5\r\nContent-Length: 5",
        b"Content-Length : 5",
        b"Content-Length: 5, 5",
        b"Content-Length: +5",
        b"Content-Length: 0x5",
        b"Content-Length: 5_0",
        b"Content-Length: \xd9\xa5",
        b"Content-Length:",
        b"X: y\nContent-Length: 5",
        b"X: y\r\n folded: z",
        b"X: y\0",
        b": y",
        b"X y: z",
    ],
)
async def test_where_a_request_ends_can_be_read_in_one_way(below: Api, headers: bytes) -> None:
    start = b"POST /calipso/api/login/ HTTP/1.1\r\nHost: portal.example.org\r\n"
    answer = await raw(below, start + headers + b"\r\n\r\nhelloGET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n")
    assert answer.split(b" ")[1] == b"400"
    # what follows is not looked at
    assert answer.count(b"HTTP/1.1 ") == 1


async def test_http_1_0_without_a_host(below: Api) -> None:
    assert b" 200 " in await raw(below, b"GET /calipso/api/health/live HTTP/1.0\r\n\r\n")
    request = b"POST /calipso/api/login/ HTTP/1.0\r\nHost: portal.example.org\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert b" 400 " in await raw(below, request + b"0\r\n\r\n")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (b"X: " + b"y" * 15_000, b"200"),
        (b"X: " + b"y" * 17_000, b"413"),
        (b"\r\n".join(b"X: y" for _ in range(2_000)), b"200"),
        (b"\r\n".join(b"X%d: y" % number for number in range(5_000)), b"413"),
    ],
)
async def test_large_and_many_headers(below: Api, headers: bytes, status: bytes) -> None:
    start = b"GET /calipso/api/settings/ HTTP/1.1\r\nHost: portal.example.org\r\nConnection: close\r\n"
    answer = await raw(below, start + headers + b"\r\n\r\n")
    assert answer.split(b" ")[1] == status
