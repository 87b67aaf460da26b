"""Requests that do not arrive: they are told so, and hold no connection."""

import asyncio
import contextlib
import json
from collections.abc import Callable, Iterator

import pytest
from tests.api.conftest import Api, served
from tests.conftest import PATIENCE
from yarl import URL

from calipso.api import app
from calipso.backend import Backend

SECONDS = 0.5


@pytest.fixture(scope="module")
def impatient(make_backend: Callable[..., Backend]) -> Iterator[Api]:
    """An installation that gives requests little time to arrive."""
    backend = make_backend(cors_origin_whitelist="https://portal.example.org")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(app, "_REQUEST_SECONDS", SECONDS)
        try:
            with served(backend) as made:
                yield made
        finally:
            backend.close()


@pytest.mark.parametrize(
    "sent",
    [
        b"POST /login/ HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{",
        b"POST /login/ HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n",
        b"POST /login/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n",
        b"PUT /images/x/ HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n{",
        b"POST /login/ HTTP/1.1\r\nHost: x\r\n",
        b"GET",
    ],
    ids=["body", "no-body", "chunks", "large", "head", "line"],
)
async def test_what_does_not_arrive_is_told_and_cut_off(impatient: Api, sent: bytes) -> None:
    url = URL(impatient.url)
    reader, writer = await asyncio.open_connection(url.host, url.port)
    writer.write(sent)
    # up to its end, which comes from the server
    answer = await asyncio.wait_for(reader.read(), PATIENCE)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 408 ")
    assert b"application/problem+json" in head
    assert json.loads(body)["status"] == 408
    assert json.loads(body)["error"]
    writer.transport.abort()


async def told(reader: asyncio.StreamReader) -> bytes:
    """What comes before the end, which who writes on may meet as a reset."""
    parts = []
    with contextlib.suppress(ConnectionResetError):
        while part := await reader.read(1000):
            parts.append(part)
    return b"".join(parts)


async def test_a_body_that_drips_is_cut_off_too(impatient: Api) -> None:
    url = URL(impatient.url)
    reader, writer = await asyncio.open_connection(url.host, url.port)
    origin = b"Origin: https://portal.example.org\r\n"
    writer.write(b"POST /login/ HTTP/1.1\r\nHost: x\r\n" + origin + b"Content-Length: 100\r\n\r\n")
    answered = asyncio.create_task(told(reader))
    while not answered.done():
        writer.write(b" ")
        await asyncio.wait([answered], timeout=SECONDS * 0.3)
    answer = await answered
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"access-control-allow-origin: https://portal.example.org" in answer.lower()
    writer.transport.abort()


async def test_others_are_served_meanwhile(impatient: Api) -> None:
    url = URL(impatient.url)
    slow = [await asyncio.open_connection(url.host, url.port) for _ in range(50)]
    for _, writer in slow:
        writer.write(b"POST /login/ HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
    async with impatient.anonymous() as session, session.get("/settings/") as answer:
        assert answer.status == 200
    for reader, writer in slow:
        assert (await reader.read()).startswith(b"HTTP/1.1 408 ")
        writer.transport.abort()
