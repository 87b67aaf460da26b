"""Answers that are ready to be sent: the fast way of the reads that frontends repeat.

A browser sends the very same bytes each time it asks for the same thing. What these bytes were answered with once is
sent again as it is, without parsing and routing, until something happens that could change it: see
docs/decisions/0027. Whatever is not found here goes the whole way, whose answer is the one that is kept.
"""

import hashlib
import secrets
from asyncio import Transport
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from time import monotonic
from typing import cast

import structlog
from sanic import HTTPResponse, Request
from sanic.http import Http
from sanic.http.constants import Stage
from sanic.models.server_types import ConnInfo

from calipso.api import arriving, load, past
from calipso.api.auth import Known
from calipso.api.memory import Memory
from calipso.api.metrics import Metrics

_KEPT = 1000
_SECONDS = 5.0
_BYTES = 2**16  # of one answer
_HEAD_END = b"\r\n\r\n"
# what makes a request more than its head, or its head unlike the next one of the same client
_NEVER = frozenset({"content-length", "transfer-encoding", "upgrade", "x-request-id"})

Place = tuple[str, bool]
"""From where a request comes, besides what it says itself: the address, and whether by TLS."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """The bytes of an answer, but for the id of the request between them.

    Attributes:
        before: what is sent before the id.
        after: what is sent after it.
        until: when the login of its caller ends, by the monotonic clock.
        route: as it is told.
        count: counts a request, with the seconds that it took.
    """

    before: bytes
    after: bytes
    until: float
    route: str
    count: Callable[[float], None]


class Ready:
    """The answers of this process that may be sent again.

    Args:
        metrics: count the requests.
    """

    def __init__(self, metrics: Metrics) -> None:
        # forgotten with what it derives from: who is calling, and what the read models answered
        self.memory: Memory[Answer] = Memory(lambda *_: False, size=_KEPT, seconds=_SECONDS)
        self._metrics = metrics
        # what is sent cannot be guessed from what is kept
        self._seal = secrets.token_bytes(32)
        # bound once: making a logger costs more than all the rest
        self._log = structlog.get_logger().bind()

    def find(self, head: bytes, place: Place) -> Answer | None:
        """The answer to a request.

        Args:
            head: what was received.
            place: from where.
        """
        answer = self.memory.recall((self._sealed(head), place))
        return answer if answer is not None and answer.until > monotonic() else None

    def keep(self, request: Request, sent: bytes) -> None:
        """Keep what was sent, if it is the whole answer to a request that may be answered so again."""
        id_, place = str(request.ctx.correlation_id).encode(), _place_of(request.conn_info)
        if sent.count(id_) != 1 or not _is_repeated(request, sent):
            return
        before, _, after = sent.partition(id_)
        route, until = route_of(request), _end_of(request.ctx.known)
        count = self._metrics.counter_of(request.method, route, HTTPStatus.OK)
        answer = Answer(before=before, after=after, until=until, route=route, count=count)
        self.memory.keep((self._sealed(request.head + _HEAD_END), place), answer, request.ctx.rings)

    def tell(self, answer: Answer, request_id: str, seconds: float) -> None:
        """Count a request that was answered, and tell of it as of others that were read and found."""
        answer.count(seconds)
        self._log.debug(
            "request",
            request_id=request_id,
            method="GET",
            route=answer.route,
            status=HTTPStatus.OK.value,
            ms=round(seconds * 1000, 1),
        )

    def _sealed(self, head: bytes) -> bytes:
        return hashlib.blake2b(head, key=self._seal, digest_size=32).digest()


class Protocol(load.Protocol):
    """The server's side of a connection, which sends what is ready at once."""

    def data_received(self, data: bytes) -> None:
        """Answer a request that is known, or let it go the whole way."""
        began, ready = monotonic(), cast("Ready", self.app.ctx.ready)
        if not self._is_free() or (answer := ready.find(data, _place_of(self.conn_info))) is None:
            super().data_received(data)  # type: ignore[no-untyped-call]  # the library has no types here
            return
        request_id, self._time = str(arriving.request_id()), began
        cast("Transport", self.transport).write(b"".join((answer.before, request_id.encode(), answer.after)))
        ready.tell(answer, request_id, monotonic() - began)

    async def send(self, data: bytes) -> None:
        """Send a part of an answer, and keep it if it is all of one that may be sent again."""
        await super().send(data)  # type: ignore[no-untyped-call]  # the library has no types here
        request = self.http.request if self.http else None
        if request is not None and getattr(request.ctx, "is_repeatable", False):
            ready_of(request).keep(request, data)

    def _is_free(self) -> bool:
        """Whether what comes now is the beginning of a request that may be served, and its answer may go at once."""
        http, transport = self.http, self.transport
        is_between = http is not None and http.stage is Stage.IDLE and not http.request_body and not self.recv_buffer
        is_kept = is_between and http.keep_alive and transport is not None and not transport.is_closing()
        return is_kept and self._can_write.is_set() and not self.is_excess()


def begin(request: Request) -> None:
    """Take note of what has been heard until now, before anything is looked at for an answer."""
    request.ctx.rings = ready_of(request).memory.rings


def repeatable(request: Request, answer: HTTPResponse) -> HTTPResponse:
    """Let an answer be sent again to the same request of the same caller.

    Only for answers that follow from the request, its caller, the settings, and what `Context.query` gave.
    """
    request.ctx.is_repeatable = request.ctx.caller is not None and past.moment_of(request) is None
    return answer


def route_of(request: Request) -> str:
    """The route of a request as it is told: not its path, in which names of people stand."""
    return f"/{request.route.path}".replace(":str>", ">") if request.route else "(none)"


def ready_of(request: Request) -> Ready:
    """What is ready in this application."""
    found: Ready = request.app.ctx.ready
    return found


def _place_of(connection: ConnInfo | None) -> Place:
    return (connection.client_ip, connection.ssl) if connection else ("", False)


def _is_repeated(request: Request, sent: bytes) -> bool:
    stream = cast("Http", request.stream)
    head, _, body = sent.partition(_HEAD_END)
    is_whole = head.startswith(b"HTTP/1.1 200 ") and body == getattr(stream.response, "body", None)
    is_plain = request.method == "GET" and request.version == "1.1" and stream.keep_alive
    is_small = len(sent) <= _BYTES and b"\r\nset-cookie:" not in head.lower()
    return is_whole and is_plain and is_small and _NEVER.isdisjoint(request.headers)


def _end_of(known: Known) -> float:
    if known.login is None:
        return float("inf")
    return monotonic() + (known.login.expires - datetime.now(UTC)).total_seconds()
