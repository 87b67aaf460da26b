"""The states of containers as they change, as server-sent events: for frontends that need not ask again and again."""

import asyncio
import time
from collections.abc import Iterable, Iterator
from functools import partial
from uuid import UUID

import msgspec
from sanic import HTTPResponse, Request

from calipso.api.auth import authentication_of
from calipso.api.container_objects import STATUS
from calipso.api.context import Caller, caller_of, context_of
from calipso.api.operations import BATCH, JSON, STREAM
from calipso.api.waiting import CONTAINER_TOPICS, Hearing
from calipso.errors import Invalid, NotPermitted, TooManyAttempts, Unavailable, WrongCredentials
from calipso.events.container import Container, ContainerEvent, evolve
from calipso.events.envelope import Recorded
from calipso.events.naming import container_name
from calipso.moments import format_time
from calipso.projections.containers import owned_by

_KEEP_ALIVE_SECONDS = 15.0
_RETRY_SECONDS = 1.0
_BATCH = 500
# proxies must not keep back what is sent
_HEADERS = {"X-Accel-Buffering": "no"}


def is_wanted(request: Request) -> bool:
    """Whether a client names server-sent events, and nothing else that is answered here rather than them."""
    found = request.accept.match(STREAM, BATCH, JSON, accept_wildcards=False)
    return found.header is not None and found.mime == STREAM and found.header.q > 0


async def follow(request: Request, after: int | None) -> HTTPResponse | None:
    """Send the states of the caller's containers until the login, the client or the server ends.

    Args:
        request: `?all=1` asks for everybody's containers.
        after: the last position that the client has seen; None to begin now.

    Raises:
        Invalid: the store ends before that position.
        NotPermitted: all are asked for by one who is no administrator.
        TooManyRequests: the caller follows too often already.
        Unavailable: all callers together do, or the store does not answer.
    """
    caller, context = caller_of(request), context_of(request)
    follows_all = request.args.get("all") == "1"
    if follows_all and not caller.is_administrator:
        raise NotPermitted("only administrators follow all containers")
    with context.follows.by(caller.user_id), context.waiting.following_all() as hearing:
        head = await asyncio.to_thread(context.backend.store.head)
        if after is not None and after > head:
            raise Invalid("Last-Event-ID", f"the store ends at {head}: was a backup restored? begin without it")
        stream = _Stream(request, caller, head if after is None else after, follows_all=follows_all)
        await stream.run(hearing)
    return None


class _Stream:
    """What is sent to one client; `position` is the last one of which all is told."""

    def __init__(self, request: Request, caller: Caller, position: int, *, follows_all: bool) -> None:
        self.position = position
        self._request = request
        self._caller = caller
        self._all = follows_all
        self._context = context_of(request)
        self._store = self._context.backend.store
        self._sent = 0.0

    async def run(self, hearing: Hearing) -> None:
        """Tell what was, then what happens; who has missed something comes back, and resumes from there."""
        self._response = await self._request.respond(content_type=STREAM, headers=_HEADERS)
        await self._keep_alive()
        is_behind, is_first = True, not self._all
        while not hearing.is_over:
            try:
                if not await self._is_allowed():
                    break
                if is_first:
                    await self._tell_own()
                    is_first = False
                elif is_behind:
                    is_behind = await self._tell_page()
                else:
                    await self._tell_next(hearing)
            except Unavailable:
                # a client that is sent away with an error does not come back by itself
                is_behind = True
                await self._keep_alive()
                await asyncio.sleep(_RETRY_SECONDS)
        await self._response.eof()

    async def _is_allowed(self) -> bool:
        try:
            known = await authentication_of(self._request).identify(self._request)
        except (WrongCredentials, TooManyAttempts):
            return False
        if known is None or known.caller.user_id != self._caller.user_id:
            return False
        return known.caller.is_administrator or not self._all

    async def _tell_own(self) -> None:
        """Tell what the caller's own containers went through, without looking at those of others."""
        shown, own = await self._context.look(partial(owned_by, user_id=self._caller.user_id))
        if shown > self.position:
            await self._tell(await self._lives(own), upto=shown)

    async def _tell_page(self) -> bool:
        """Tell of the next events of the store; gives whether there may be more."""
        read = partial(self._store.read, after=self.position, limit=_BATCH, topics=CONTAINER_TOPICS, is_tolerant=True)
        page = await asyncio.to_thread(read)
        has_more = page.last > self.position
        await self._tell_of(page.events, upto=page.last)
        return has_more

    async def _tell_next(self, hearing: Hearing) -> None:
        """Tell of the next event that is heard, or that we are still there."""
        try:
            async with asyncio.timeout(self._sent + _KEEP_ALIVE_SECONDS - time.monotonic()):
                recorded = await hearing.unread.get()
        except TimeoutError:
            await self._keep_alive()
            return
        if recorded is not None and recorded.position > self.position:
            await self._tell_of([recorded], upto=recorded.position)

    async def _tell_of(self, events: Iterable[Recorded], *, upto: int) -> None:
        streams = {recorded.stream for recorded in events if self._concerns(recorded)}
        await self._tell(await self._lives(streams), upto=upto)

    async def _lives(self, containers: Iterable[UUID]) -> Iterable[Recorded]:
        versions = dict.fromkeys(containers, 0)
        return await asyncio.to_thread(partial(self._store.load_newer, versions, is_tolerant=True)) if versions else ()

    def _concerns(self, recorded: Recorded) -> bool:
        event = recorded.event
        return isinstance(event, ContainerEvent) and (self._all or event.user_id == self._caller.user_id)

    async def _tell(self, lives: Iterable[Recorded], *, upto: int) -> None:
        for recorded, container in changes(lives, after=self.position, upto=upto):
            await self._send(_event_of(recorded, container))
            self.position = recorded.position
        self.position = upto

    async def _keep_alive(self) -> None:
        # an id without data moves what the client resumes from, and is no event to it
        await self._send(b": alive\nid: %d\n\n" % self.position)

    async def _send(self, text: bytes) -> None:
        await self._response.send(text)
        self._sent = time.monotonic()


def changes(lives: Iterable[Recorded], *, after: int, upto: int) -> Iterator[tuple[Recorded, Container]]:
    """The events within these positions that changed what a frontend sees of a container, with what it became.

    Args:
        lives: all events of some containers, in the order of the store.
        after: a position.
        upto: a position.
    """
    known: dict[object, Container | None] = {}
    for recorded in lives:
        before = known.get(recorded.stream)
        now = known[recorded.stream] = evolve(before, recorded.event)
        is_seen = now is not None and (before is None or STATUS[before.state] != STATUS[now.state])
        if now is not None and is_seen and after < recorded.position <= upto:
            yield recorded, now


def _event_of(recorded: Recorded, container: Container) -> bytes:
    told = {
        "container_name": container_name(container.request.container_id),
        "calipso_experiment": container.request.label,
        "container_status": STATUS[container.state],
        "position": recorded.position,
        "time": format_time(recorded.time),
    }
    return b"id: %d\nevent: container\ndata: %s\n\n" % (recorded.position, msgspec.json.encode(told))
