"""Requests that nobody can understand, byte by byte."""

import asyncio
import io

import pytest
from tests.api.conftest import Api
from tests.conftest import PATIENCE
from yarl import URL


async def raw(api: Api, request: bytes) -> bytes:
    """What comes back for bytes as they are."""
    url = URL(api.url)
    reader, writer = await asyncio.open_connection(url.host, url.port)
    writer.write(request)
    try:
        return await asyncio.wait_for(reader.read(), PATIENCE)
    finally:
        writer.close()
        await writer.wait_closed()


@pytest.mark.parametrize(
    "target",
    [
        "/images/%",
        "/images/%zz/",
        "/images/100%/",
        "/images/%00/",
        "/images/%ff/",
        "/images/%c3%28/",
        "/users/?search=%",
        "/users/?search=%ff",
        "/users/?search=%00",
        "/%",
    ],
)
async def test_a_malformed_address(api: Api, somebody: str, target: str) -> None:
    async with api.basic(somebody) as session, session.get(URL(api.url + target, encoded=True)) as answer:
        assert (answer.status, (await answer.json())["field"]) == (400, "address")


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("text/plain", b"{}"),
        ("application/xml", b"<a/>"),
        ("multipart/form-data; boundary=x", b"--x--"),
        ("application/json", b"{"),
        ("application/json", b"\xff"),
        ("application/json", b'"\0"'),
        ("application/json; charset=utf-8", b"[" * 100_000),
        ("application/x-www-form-urlencoded", b"\xff=\xff"),
        ("", b"{"),
    ],
)
async def test_a_malformed_body(api: Api, administrator: str, kind: str, body: bytes) -> None:
    async with api.basic(administrator) as session:
        async with session.post("/quota/x/", data=body, headers={"Content-Type": kind}) as answer:
            assert answer.status in {400, 404}
        async with session.post("/images/x/", data=body, headers={"Content-Type": kind}) as answer:
            assert answer.status == 400
            assert (await answer.json())["field"] in {"body", "content-type"}


async def test_a_body_that_is_too_large(api: Api, administrator: str) -> None:
    body, headers = io.BytesIO(b'"' + b"x" * 2**20 + b'"'), {"Content-Type": "application/json"}
    async with (
        api.basic(administrator) as session,
        session.post("/images/x/", data=body, headers=headers) as answer,
    ):
        assert answer.status == 413
        assert "error" in await answer.json()


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        (b"GET /images/\xc3\xa9/ HTTP/1.1", b"400"),
        (b"GET http://[ HTTP/1.1", b"400"),
        (b"GET", b"400"),
        (b"GET / HTTP/3.0", b"400"),
        (b"GET /" + b"x" * 20_000 + b" HTTP/1.1", b"413"),
        (b"BREW /images/ HTTP/1.1", b"405"),
        (b"BREW /nothing HTTP/1.1", b"404"),
        (b"get /settings/ HTTP/1.1", b"405"),
        (b"GET images HTTP/1.1", b"400"),
        (b"OPTIONS * HTTP/1.1", b"404"),
        (b"CONNECT example.org:80 HTTP/1.1", b"400"),
    ],
)
async def test_a_malformed_request_line(api: Api, request_line: bytes, status: bytes) -> None:
    answer = await raw(api, request_line + b"\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert answer.split(b" ")[1] == status
    assert b"application/problem+json" in answer


@pytest.mark.parametrize(
    "headers",
    [
        b"Content-Length: x",
        b"Content-Length: -1",
        b"Content-Length: 1\r\nContent-Length: 2",
        b"no colon",
        b"\xff: \xff",
        b"Transfer-Encoding: chunked\r\nContent-Length: 1",
    ],
)
async def test_malformed_headers(api: Api, headers: bytes) -> None:
    answer = await raw(api, b"POST /login/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + headers + b"\r\n\r\n")
    assert answer.split(b" ")[1] == b"400"


@pytest.mark.parametrize(
    "value", [b"\xff", b"sessionid=\xff", b"sessionid=a; sessionid=b", b"=; ;;", b'sessionid="\\\xff"']
)
async def test_malformed_cookies_are_none(api: Api, value: bytes) -> None:
    request = b"GET /authenticated/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\nCookie: " + value + b"\r\n\r\n"
    assert (await raw(api, request)).split(b" ")[1] == b"401"


@pytest.mark.parametrize("name", [b"Authorization", b"X-CSRFToken", b"Origin", b"X-Request-ID", b"X-Forwarded-For"])
async def test_headers_of_any_bytes_harm_nothing(api: Api, name: bytes) -> None:
    request = b"GET /settings/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + name + b": \xff\x01\xfe\r\n\r\n"
    answer = await raw(api, request)
    assert answer.split(b" ")[1] == b"200"
