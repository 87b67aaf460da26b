"""Lets a held request wait: for projections to show a position, and for a container to become usable or end.

One task of the process listens to the store's database. What it hears are hints; what is true is read: the parts' rows
for positions, the event store for outcomes.
"""

import asyncio
import contextlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any
from uuid import UUID

import structlog

from calipso.api.memory import Memory
from calipso.api.shown import Shown
from calipso.commands.store import Store
from calipso.database import ACCOUNTS, HEARING, SHOWN, STORED, Database
from calipso.errors import NotVisibleYet, Unavailable
from calipso.events import container as facts
from calipso.events.container import ContainerEvent
from calipso.events.envelope import EVENT_TYPES, Recorded
from calipso.events.user import UserEvent
from calipso.parts import Parts, parse_notice

_log = structlog.get_logger()

_BATCH = 500
_MOST_WAITING = 1000  # events that one who follows all leaves unread
_GATHER_SECONDS = 0.003  # what comes together is read together
CONTAINER_TOPICS = frozenset(
    topic for topic, event_type in EVENT_TYPES.items() if issubclass(event_type, ContainerEvent)
)
ENDS = (facts.ContainerStopped, facts.ContainerRemoved, facts.ContainerFailed, facts.ContainerLost)
_OUTCOMES = frozenset(event_type.topic() for event_type in (facts.ContainerStarted, *ENDS))


class Waiting:
    """What this process waits for.

    Args:
        database: rings when events were stored or shown.
        store: where events are read.
        parts: how far each projection is.

    `memories` are told each ring before anybody who waits for it.
    """

    def __init__(self, database: Database, store: Store, parts: Parts) -> None:
        self.memories: list[Memory[Any]] = []
        self._database = database
        self._store = store
        self._parts = parts
        self._shown = Shown()
        self._followed: dict[UUID, list[asyncio.Queue[Recorded]]] = {}
        self._everywhere: list[Hearing] = []
        self._position = 0
        self._stored = asyncio.Event()
        self._is_look_due = True

    async def begin(self) -> None:
        """Take the present as the beginning; to be called before `run` and before any request.

        Raises:
            Unavailable: the store does not answer.
        """
        self._position = await asyncio.to_thread(self._store.head)

    async def run(self) -> None:
        """Listen for ever."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._look_when_stored())
            async for channel, payload in self._database.listen(STORED, SHOWN, ACCOUNTS, gather=_GATHER_SECONDS):
                if channel == SHOWN:
                    self._tell_shown(parse_notice(payload))
                    continue
                for memory in self.memories:
                    memory.hear(channel, payload)
                if payload == HEARING or channel == ACCOUNTS or UserEvent.kind in payload.split(","):
                    self._tell_everywhere(None)
                if not channel:
                    self._is_look_due = True
                    self._stored.set()
                elif self._has_followers and not self._topics.isdisjoint(payload.split(",")):
                    self._stored.set()

    def _tell_shown(self, positions: Mapping[str, int]) -> None:
        """Let the memories forget what was shown before, and then go on who waits for it."""
        if self._shown.is_news(positions):
            for memory in self.memories:
                memory.hear(SHOWN, "")
            self._shown.tell(positions)

    async def _look_when_stored(self) -> None:
        while True:
            await self._stored.wait()
            await asyncio.sleep(_GATHER_SECONDS)
            self._stored.clear()
            everywhere, self._is_look_due = self._is_look_due, False
            try:
                await self._look(everywhere=everywhere)
            except Unavailable as error:
                _log.warning("waiting requests are not served", reason=str(error))

    async def until_shown(self, projections: Sequence[str], position: int, event_id: str) -> None:
        """Wait until all the projections show an event, for longer while they come nearer.

        Raises:
            NotVisibleYet: they did not in time; the event is stored all the same.
        """
        await self._shown.until(projections, position, event_id)

    async def until_told(self, projections: Sequence[str], position: int) -> None:
        """Wait until all the projections show what is stored up to a position.

        Raises:
            Unavailable: they did not in time; it says what each that stands still told of itself.
        """
        try:
            await self._shown.until(projections, position, "")
        except NotVisibleYet as error:
            missing = set(error.projections)
            parts = [part for part in await asyncio.to_thread(self._parts.all) if part.name in missing and not part.ok]
            told = "; ".join(f"{part.name} {part.detail}" for part in parts) or f"position {position} is not shown yet"
            raise Unavailable(f"the read model {', '.join(sorted(missing))}", told) from error

    @contextlib.contextmanager
    def following(self, container_id: UUID) -> "Iterator[Following]":
        """Hear how a container starts and ends from now on; to be entered before the command that concerns it."""
        queue: asyncio.Queue[Recorded] = asyncio.Queue()
        self._followed.setdefault(container_id, []).append(queue)
        try:
            yield Following(queue)
        finally:
            self._followed[container_id].remove(queue)
            if not self._followed[container_id]:
                del self._followed[container_id]

    @contextlib.contextmanager
    def following_all(self) -> "Iterator[Hearing]":
        """Hear the events of all containers from now on; None says that a login or an account may have changed."""
        hearing = Hearing()
        self._everywhere.append(hearing)
        try:
            yield hearing
        finally:
            self._everywhere.remove(hearing)

    def end_following_all(self) -> None:
        """Let all who follow everything end, because the server stops."""
        for hearing in self._everywhere:
            hearing.end()

    def _tell_everywhere(self, told: Recorded | None) -> None:
        for hearing in self._everywhere:
            hearing.tell(told)

    async def _look(self, *, everywhere: bool) -> None:
        if everywhere:
            parts = await asyncio.to_thread(self._parts.all)
            self._tell_shown({part.name: part.position for part in parts})
        if self._has_followers:
            await self._read_new()
            return
        head = await asyncio.to_thread(self._store.head)
        # a follower that came while the head was read may await an event before it
        if not self._has_followers:
            self._position = head

    @property
    def _has_followers(self) -> bool:
        return bool(self._followed or self._everywhere)

    @property
    def _topics(self) -> frozenset[str]:
        """What is waited for: by those who follow one container its outcome, by those who follow all everything."""
        return CONTAINER_TOPICS if self._everywhere else _OUTCOMES

    def _concerns(self, container_id: UUID, topic: str) -> bool:
        """Whether anybody waits for an event by now."""
        return bool(self._everywhere) or (container_id in self._followed and topic in _OUTCOMES)

    async def _read_new(self) -> None:
        # what a newer program wrote is nothing to these, and no reason to hear no more
        read = partial(self._store.read, limit=_BATCH, topics=CONTAINER_TOPICS, is_tolerant=True)
        while True:
            position = self._position
            page = await asyncio.to_thread(read, after=position, concerns=self._concerns)
            for recorded in page.events:
                self._tell_everywhere(recorded)
                for queue in self._followed.get(recorded.stream, ()):
                    queue.put_nowait(recorded)
            self._position = page.last
            if page.last - position < _BATCH:  # a full page ends as far away at least
                return


class Hearing:
    """What one who follows everything has not read yet.

    Attributes:
        unread: in the order of their positions.
        has_missed: whether there was too much of it once, so that something is not in it.
    """

    def __init__(self) -> None:
        self.unread: asyncio.Queue[Recorded | None] = asyncio.Queue(_MOST_WAITING)
        self.has_missed = self._has_ended = False

    @property
    def is_over(self) -> bool:
        """Whether nothing more is told."""
        return self.has_missed or self._has_ended

    def end(self) -> None:
        """Tell nothing more, and wake who waits for more."""
        self._has_ended = True
        if not self.unread.full():
            self.unread.put_nowait(None)

    def tell(self, told: Recorded | None) -> None:
        """Add what happened, as long as nothing was missed."""
        self.has_missed = self.has_missed or self.unread.full()
        if not self.has_missed:
            self.unread.put_nowait(told)


class Following:
    """The outcomes of one container, as they come."""

    def __init__(self, queue: asyncio.Queue[Recorded]) -> None:
        self._queue = queue

    async def first_of(self, *event_types: type[ContainerEvent], until: datetime) -> Recorded | None:
        """The first event of one of these types, None when there was none before a time (UTC)."""
        try:
            async with asyncio.timeout((until - datetime.now(UTC)).total_seconds()):
                while True:
                    recorded = await self._queue.get()
                    if isinstance(recorded.event, event_types):
                        return recorded
        except TimeoutError:
            return None
