"""Publishes every stored event, in order, once, to the stream that other services follow.

One relay is active at a time: the holder of an advisory lock of the store's database. A relay that lost the lock
without knowing is fenced by the sequence that it expects with each message. Where to go on is read from the stream
itself, so that a crash at any point neither loses nor doubles nor reorders anything.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import msgspec
import structlog

from calipso.bus import PREFIX, Bus, Message, OutOfSequence
from calipso.bus.dead_letters import DeadLetters
from calipso.bus.renewal import empty
from calipso.codec import public_data
from calipso.database import STORED, Database
from calipso.errors import CalipsoError, Conflict, Unavailable, UnreadableEvent
from calipso.events.container import ContainerEvent
from calipso.events.envelope import EventLog, Page, Recorded, readable
from calipso.parts import HEARTBEAT_SECONDS, Parts, Report

_log = structlog.get_logger()

PART = "relay"
DEAD = "dead letters"  # told by the relay, because it is one and speaks to the bus; `detail` is their number
_WINDOW = 100  # messages on their way at one time
_PAGE = 1000  # reading takes turns with publishing for the interpreter, so it is done seldom
_PAGES = 5
_IDLE_SECONDS = 1.0
_REPORT_SECONDS = 1.0
_DIVERGED_SECONDS = 5.0
_LOCK_SECONDS = 30.0


@dataclass(eq=False)
class Diverged(CalipsoError):
    """The stream ends with an event that the store does not have at its `position`; `head` is the store's last."""

    position: int
    head: int

    def __str__(self) -> str:
        return (
            f"nothing is published: the stream ends at position {self.position} with an event that the store does not "
            f"have (it ends at {self.head}); when the store was restored from a backup, run `calipso republish`"
        )


class Log(EventLog, Protocol):
    """What the relay reads."""

    def head(self) -> int:
        """The position of the newest event, 0 in an empty store."""


class Relay:
    """The way of events from the store to the bus.

    Args:
        database: holds the lock, and rings when something was stored.
        log: where events are read.
        bus: where they are published.
        parts: where the relay tells how far it is.
    """

    def __init__(self, database: Database, log: Log, bus: Bus, parts: Parts) -> None:
        self._database = database
        self._log = log
        self._bus = bus
        self._parts = parts
        self._dead_letters = DeadLetters(bus)
        self._woken = asyncio.Event()

    async def run(self) -> None:
        """Relay for ever: wait for the lock, publish while it is held."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._listen())
            group.create_task(self._lead())

    async def _listen(self) -> None:
        async for _ in self._database.listen(STORED):
            self._woken.set()

    async def _lead(self) -> None:
        while True:
            try:
                async with self._database.holding(PART) as check:
                    _log.info("relay leads")
                    await self._publish_all(check)
            except (Diverged, UnreadableEvent) as error:
                await self._tell_trouble(error)
                await asyncio.sleep(_DIVERGED_SECONDS)
            except OutOfSequence:
                _log.warning("relay reads the end of the stream again")
            except Unavailable as error:
                await self._tell_trouble(error)
                await asyncio.sleep(_IDLE_SECONDS)

    async def _tell_trouble(self, error: Exception) -> None:
        _log.warning("relay waits", reason=str(error))
        with contextlib.suppress(Unavailable):
            await asyncio.to_thread(self._parts.report, PART, ok=False, detail=str(error))

    async def _require_same_history(self, position: int, event_id: str) -> None:
        """Look whether the store has the last event of the stream where the stream says.

        Raises:
            Diverged: it has another there, or none.
        """
        page = await asyncio.to_thread(self._log.read, after=position - 1, limit=1)
        if [(recorded.position, str(recorded.id)) for recorded in page.events] != [(position, event_id)]:
            raise Diverged(position, await asyncio.to_thread(self._log.head))

    async def _publish_all(self, check: Callable[[], Awaitable[None]]) -> None:
        await self._bus.ensure_streams()
        tail = await self._bus.tail()
        sequence, position = tail.sequence, tail.position
        if position is not None:
            await self._require_same_history(position, tail.event_id)
        else:
            position = await asyncio.to_thread(self._parts.position, PART)
        told, known = 0.0, position
        while True:
            self._woken.clear()
            page = await self._read(position)
            if page.events:
                sequence, position = await self._publish(page, sequence)
            await check()
            if not self._bus.is_connected:
                raise Unavailable("NATS", "the connection is gone")
            # what comes next must not wait for it
            if time.monotonic() - told > (HEARTBEAT_SECONDS if position == known else _REPORT_SECONDS):
                dead = await self._dead_letters.number()
                reports = [Report(name=PART, position=position), Report(name=DEAD, ok=not dead, detail=str(dead))]
                await asyncio.to_thread(self._parts.report_all, reports)
                told, known = time.monotonic(), position
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_IDLE_SECONDS):
                    await self._woken.wait()

    async def _read(self, position: int) -> Page:
        # what is before an event that cannot be read is published
        read = partial(self._log.read, after=position, limit=_PAGE, is_tolerant=True)
        return readable(await asyncio.to_thread(read))

    async def _publish(self, page: Page, sequence: int) -> tuple[int, int]:
        """Publish a page and those behind it, the next being read meanwhile; gives the last sequence and position."""
        for _ in range(_PAGES):
            position = page.last
            if len(page.events) < _PAGE:  # more will ring
                return await self._publish_page(page, sequence), position
            sequence, page = await asyncio.gather(self._publish_page(page, sequence), self._read(position))
            if not page.events:
                break
        else:
            self._woken.set()  # there is more, but between all of it we tell that we live
        return sequence, position

    async def _publish_page(self, page: Page, sequence: int) -> int:
        for first in range(0, len(page.events), _WINDOW):
            window = page.events[first : first + _WINDOW]
            messages = [to_message(recorded, self._bus.facility) for recorded in window]
            sequence = await self._bus.publish(messages, after=sequence)
        return sequence


async def republish(database: Database, bus: Bus, parts: Parts) -> None:
    """Empty the stream, and let the relay publish every event again, from the first.

    Raises:
        Conflict: a relay publishes, so stream and store agree.
        Unavailable: NATS or the database does not answer.
    """
    try:
        async with asyncio.timeout(_LOCK_SECONDS), database.holding(PART):
            await bus.ensure_streams()
            await asyncio.to_thread(parts.forget, PART)
            await empty(bus)
    except TimeoutError:
        raise Conflict(
            "republish", "a relay is publishing; to begin anew all the same, stop every relay first"
        ) from None


def subject_of(recorded: Recorded, facility: str) -> str:
    """The subject of an event; those of containers end with the target, so that its provisioners can filter."""
    event = recorded.event
    tokens = [PREFIX, facility, event.kind, type(event).__name__]
    return ".".join([*tokens, event.target] if isinstance(event, ContainerEvent) else tokens)


def to_message(recorded: Recorded, facility: str) -> Message:
    """An event as a CloudEvents 1.0 JSON message; only its public fields leave the store."""
    envelope = {
        "specversion": "1.0",
        "id": recorded.id,
        "source": f"/calipso/{facility}",
        "type": recorded.event.topic(),
        "subject": recorded.stream,
        "time": recorded.time,
        "datacontenttype": "application/json",
        "position": str(recorded.position),  # a CloudEvents integer has only 32 bits
        "streamversion": recorded.version,
        "schemaversion": recorded.event.schema_version,
        "actor": recorded.actor,
        "correlationid": recorded.correlation_id,
        "causationid": recorded.causation_id,
        "data": public_data(recorded.event),
    }
    return Message(
        subject=subject_of(recorded, facility),
        event_id=str(recorded.id),
        position=recorded.position,
        payload=msgspec.json.encode(envelope),
    )
