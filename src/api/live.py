"""The states of containers as they change, as server-sent events: for frontends that need not ask again and again."""

import asyncio
from collections.abc import Iterable
from functools import reduce

import msgspec
from sanic import HTTPResponse, Request

from calipso.api.auth import authentication_of
from calipso.api.container_objects import STATUS
from calipso.api.context import Caller, caller_of, context_of
from calipso.api.waiting import CONTAINER_TOPICS
from calipso.api.wire import format_time
from calipso.errors import NotPermitted, TooManyAttempts, WrongCredentials
from calipso.events.container import Container, ContainerEvent, evolve
from calipso.events.envelope import Recorded
from calipso.events.naming import container_name

KIND = "text/event-stream"
_KEEP_ALIVE_SECONDS = 15.0
_BATCH = 500


def is_wanted(request: Request) -> bool:
    """Whether a client asks for server-sent events."""
    return KIND in request.headers.get("accept", "")


async def follow(request: Request, after: int | None) -> HTTPResponse | None:
    """Send the states of the caller's containers until the login, the client or the server ends.

    Args:
        request: `?all=1` asks for everybody's containers.
        after: the last position that the client has seen; None to begin now.

    Raises:
        NotPermitted: all are asked for by one who is no administrator.
        TooManyRequests: the caller follows too often already.
        Unavailable: all callers together do, or the store does not answer.
    """
    caller, context = caller_of(request), context_of(request)
    follows_all = request.args.get("all") == "1"
    if follows_all and not caller.is_administrator:
        raise NotPermitted("only administrators follow all containers")
    with context.follows.by(caller.user_id), context.waiting.following_all() as hearing:
        stream = _Stream(request, caller, follows_all=follows_all)
        stream.position = await asyncio.to_thread(context.backend.store.head) if after is None else after
        await stream.begin()
        await stream.catch_up()
        # who has missed something comes back, and resumes from what was told last
        while not hearing.has_missed and await stream.is_allowed():
            await stream.tell_next(hearing.unread)
        await stream.end()
    return None


class _Stream:
    def __init__(self, request: Request, caller: Caller, *, follows_all: bool) -> None:
        self.position = 0
        self._request = request
        self._caller = caller
        self._all = follows_all
        self._store = context_of(request).backend.store

    async def begin(self) -> None:
        self._response = await self._request.respond(content_type=KIND)
        await self._keep_alive()

    async def end(self) -> None:
        await self._response.eof()

    async def is_allowed(self) -> bool:
        try:
            known = await authentication_of(self._request).identify(self._request)
        except (WrongCredentials, TooManyAttempts):
            return False
        if known is None or known.caller.user_id != self._caller.user_id:
            return False
        return known.caller.is_administrator or not self._all

    async def catch_up(self) -> None:
        while True:
            page = await asyncio.to_thread(self._store.read, after=self.position, limit=_BATCH, topics=CONTAINER_TOPICS)
            for recorded in page.events:
                await self._tell(recorded)
            if page.last <= self.position and not page.events:
                return
            self.position = page.last

    async def tell_next(self, queue: "asyncio.Queue[Recorded | None]") -> None:
        try:
            async with asyncio.timeout(_KEEP_ALIVE_SECONDS):
                recorded = await queue.get()
        except TimeoutError:
            await self._keep_alive()
            return
        if recorded is not None and recorded.position > self.position:
            await self._tell(recorded)
            self.position = recorded.position

    async def _keep_alive(self) -> None:
        # an id without data moves what the client resumes from, and is no event to it
        await self._response.send(f": alive\nid: {self.position}\n\n")

    async def _tell(self, recorded: Recorded) -> None:
        event = recorded.event
        if not isinstance(event, ContainerEvent) or not (self._all or event.user_id == self._caller.user_id):
            return
        life = await asyncio.to_thread(self._store.load, recorded.stream)
        before = _fold(each for each in life if each.version < recorded.version)
        now = evolve(before, event)
        if now is not None and (before is None or STATUS[before.state] != STATUS[now.state]):
            await self._response.send(_event_of(recorded, now))


def _fold(life: Iterable[Recorded]) -> Container | None:
    nothing: Container | None = None
    return reduce(lambda state, each: evolve(state, each.event), life, nothing)


def _event_of(recorded: Recorded, container: Container) -> bytes:
    told = {
        "container_name": container_name(container.request.container_id),
        "calipso_experiment": container.request.label,
        "container_status": STATUS[container.state],
        "position": recorded.position,
        "time": format_time(recorded.time),
    }
    return b"id: %d\nevent: container\ndata: %s\n\n" % (recorded.position, msgspec.json.encode(told))
