"""How much one process takes on at one time: what is too much is refused at once, so that what was accepted is done."""

import contextlib
import resource
from collections import Counter
from collections.abc import Iterator
from typing import cast
from uuid import UUID

import structlog
from prometheus_client import Gauge
from sanic import Request
from sanic.exceptions import SanicException
from sanic.http import Http
from sanic.server.protocols.websocket_protocol import WebSocketProtocol

from calipso.errors import TooManyRequests, Unavailable
from calipso.settings import Settings

_log = structlog.get_logger()

_TO_REFUSE = 1000  # connections beyond the most that are served, so that their requests can be answered
_FILES = 500  # files and connections of a process besides those of its clients
_RETRY_SECONDS = 5


class Held:
    """The requests of one kind that are held open.

    Args:
        settings: how many, in all and of one user.
        gauge: shows their number.
    """

    def __init__(self, settings: Settings, gauge: Gauge) -> None:
        self._most = settings.max_held_requests
        self._most_of_one = settings.max_held_requests_per_user
        self._gauge = gauge
        self._of: Counter[UUID] = Counter()

    @contextlib.contextmanager
    def by(self, user_id: UUID) -> Iterator[None]:
        """Hold a request of a user for the block.

        Raises:
            TooManyRequests: the user has so many already.
            Unavailable: all users together have.
        """
        if self._of[user_id] >= self._most_of_one:
            raise TooManyRequests(self._most_of_one, _RETRY_SECONDS)
        if self._of.total() >= self._most:
            raise Unavailable("the API", "too many requests wait for their outcome; try again soon")
        self._of[user_id] += 1
        self._gauge.inc()
        try:
            yield
        finally:
            self._gauge.dec()
            self._of[user_id] -= 1
            if not self._of[user_id]:
                del self._of[user_id]


class Protocol(WebSocketProtocol):
    """The library's protocol, which drops connections that are far too many."""

    def connection_made(self, transport: object) -> None:
        """Serve a connection, or end it."""
        if len(self.connections) >= self.app.ctx.calipso.backend.settings.max_connections + _TO_REFUSE:
            transport.abort()  # type: ignore[attr-defined]  # the library has no types here
            return
        super().connection_made(transport)  # type: ignore[no-untyped-call]  # the library has no types here

    def is_excess(self) -> bool:
        """Whether there are more connections than are served."""
        most: int = self.app.ctx.calipso.backend.settings.max_connections
        return len(self.connections) > most

    def end_request(self, error: SanicException) -> None:
        """Answer the request that is handled with an error, as the library itself does at its response timeout."""
        if self._task is not None:
            self.http.exception = error
            self._task.cancel()

    def connection_lost(self, exc: Exception | None) -> None:
        """Take note of the end of a connection that was served."""
        if self.transport is not None:
            super().connection_lost(exc)  # type: ignore[no-untyped-call]  # the library has no types here


def refuse_excess(request: Request) -> None:
    """Refuse requests on connections beyond the most, and end these connections; monitoring is always answered.

    Raises:
        Unavailable: this is one of them.
    """
    protocol, stream = cast("object", request.protocol), cast("object", request.stream)
    if getattr(request.route and request.route.ctx, "open", False) or not isinstance(protocol, Protocol):
        return
    if protocol.is_excess():
        if isinstance(stream, Http):
            stream.keep_alive = False
        raise Unavailable("the API", "too many connections are open; try again soon")


def allow_files(settings: Settings) -> None:
    """Let this process have as many files open as its connections need, as far as the system lets it."""
    needed = settings.max_connections + _TO_REFUSE + _FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    if soft != resource.RLIM_INFINITY and soft < allowed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    if allowed < needed:
        _log.warning("CALIPSO_MAX_CONNECTIONS needs more open files than allowed", needed=needed, allowed=allowed)
