"""Passes requests on to the web services of containers, as they come: HTTP in pieces, and WebSocket."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Protocol, TypeVar

import aiohttp
from yarl import URL

from calipso.errors import Unavailable

_SERVICE = "the container"
_CONNECT_SECONDS = 5.0
MESSAGE_BYTES = 64 * 2**20  # a notebook's picture comes in one message
_PIECE_BYTES = 2**16

T = TypeVar("T", aiohttp.ClientResponse, aiohttp.ClientWebSocketResponse)

Headers = Sequence[tuple[str, str]]


class Socket(Protocol):
    """The browser's side of a WebSocket."""

    async def recv(self) -> str | bytes | None:
        """The next message, None when it has closed."""

    async def send(self, message: str | bytes) -> None:
        """Send a message."""

    async def close(self, code: int = 1000) -> None:
        """Close it."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What the service answers, while it does."""

    status: int
    headers: Headers
    pieces: AsyncIterator[bytes]


class Upstream:
    """The way to the services. One per process; its connections belong to the running loop."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    @asynccontextmanager
    async def asked(
        self, method: str, url: str, headers: Headers, body: AsyncIterator[bytes] | None
    ) -> AsyncIterator[Answer]:
        """Ask, and give the answer as it comes.

        Args:
            method: of HTTP.
            url: where; sent as it is.
            headers: all that are sent.
            body: in pieces, None when there is none.

        Raises:
            Unavailable: the service does not answer.
        """
        asked = self._connected().request(
            method, URL(url, encoded=True), headers=headers, data=body, allow_redirects=False
        )
        async with _told(asked) as answer:
            yield Answer(status=answer.status, headers=list(answer.headers.items()), pieces=_pieces(answer))

    async def bridge(
        self, url: str, headers: Headers, protocols: Sequence[str], accept: Callable[[str | None], Awaitable[Socket]]
    ) -> None:
        """Carry the messages of a WebSocket in both directions until one side closes it.

        Args:
            url: where the service is.
            headers: all that are sent, besides those of the handshake.
            protocols: what the browser offers.
            accept: opens the browser's side, with the protocol that the service chose.

        Raises:
            Unavailable: the service does not open its side.
        """
        connected = self._connected().ws_connect(
            URL(url, encoded=True), headers=headers, protocols=protocols, max_msg_size=MESSAGE_BYTES, autoping=True
        )
        async with _told(connected) as service:
            browser = await accept(service.protocol)
            ways = (_to_service(browser, service), _to_browser(service, browser))
            sides = [asyncio.ensure_future(way) for way in ways]
            try:
                await asyncio.wait(sides, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for side in sides:
                    side.cancel()
                await asyncio.gather(*sides, return_exceptions=True)
                await browser.close(_lawful(service.close_code))

    async def close(self) -> None:
        """Give back all connections."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def _connected(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS),
                auto_decompress=False,
                skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
                read_bufsize=_PIECE_BYTES,
                trust_env=False,
            )
        return self._session


@asynccontextmanager
async def _told(asked: Awaitable[T]) -> AsyncIterator[T]:
    """What is asked for, with the trouble on the way to it in our words."""
    try:
        answer = await asked
    except (aiohttp.ClientError, TimeoutError) as error:
        raise Unavailable(_SERVICE, str(error) or type(error).__name__) from error
    try:
        yield answer
    finally:
        await _end(answer)


async def _end(answer: aiohttp.ClientResponse | aiohttp.ClientWebSocketResponse) -> None:
    if isinstance(answer, aiohttp.ClientResponse):
        answer.close()  # what was not read must not be read as the next answer
    else:
        await answer.close()


async def _pieces(answer: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    try:
        async for piece in answer.content.iter_any():
            yield piece
    except aiohttp.ClientError as error:
        raise Unavailable(_SERVICE, f"its answer broke off ({type(error).__name__})") from error


async def _to_service(browser: Socket, service: aiohttp.ClientWebSocketResponse) -> None:
    while (message := await browser.recv()) is not None:
        await (service.send_str(message) if isinstance(message, str) else service.send_bytes(message))


async def _to_browser(service: aiohttp.ClientWebSocketResponse, browser: Socket) -> None:
    async for message in service:
        await browser.send(message.data)


def _lawful(code: int | None) -> int:
    """A code that may be sent: those for a missing or broken end (RFC 6455 7.4.1) may not."""
    return code if code is not None and code not in {1005, 1006, 1015} else 1001
