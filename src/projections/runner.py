"""Runs projections: a batch of events, their rows and the position in one transaction; then a report."""

import asyncio
import contextlib
import re
import time
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass

import structlog
from sqlalchemy import Engine
from sqlalchemy.exc import InterfaceError, OperationalError

from calipso.errors import CalipsoError, Unavailable
from calipso.events.envelope import EventLog
from calipso.projections.protocol import Projection

_log = structlog.get_logger()

BATCH = 500
_LAZY = 10_000
_IDLE_SECONDS = 1.0
GATHER_SECONDS = 0.005  # what comes together is applied together
_LONGEST_GATHER_SECONDS = 0.02  # where a batch takes long, more comes together
_HEARTBEAT_SECONDS = 5.0
_OUTAGE_SECONDS = 1.0
_POISON_SECONDS = 30.0


_STOPPED = re.compile(r"stopped before position (\d+): ")
OUTAGES = (OperationalError, InterfaceError, Unavailable)


@dataclass(eq=False)
class PoisonEvent(CalipsoError):
    """A projection cannot apply the first event at or after `position`."""

    position: int
    reason: str

    def __str__(self) -> str:
        return f"stopped before position {self.position}: {self.reason}"


def stopped_at(detail: str) -> int | None:
    """The position at which a projection stands still, from what it told of itself; None when it does not."""
    found = _STOPPED.match(detail)
    return int(found[1]) if found else None


Report = Callable[[int, bool, str], None]


class Runner:
    """Keeps one projection up to date.

    Args:
        projection: what turns events into rows.
        engine: the database where the rows live.
        log: where the events are read.
        report: told the position, whether the projection works, and a detail.

    Attributes:
        engine: the database where its rows live.
        kinds: the kinds of the streams whose events concern the projection, None for all.
    """

    def __init__(self, *, projection: Projection, engine: Engine, log: EventLog, report: Report) -> None:
        self.projection = projection
        self.engine = engine
        self._log = log
        self._report = report
        self._stored: int | None = None  # the position in the database, as far as we know
        topics = projection.topics
        self.kinds = None if topics is None else frozenset(topic.split(".")[1] for topic in topics)
        self._seen = 0  # no event of interest lies between the stored position and this one
        self._singly = 0  # after a batch that failed: how many events are still applied one by one

    def catch_up(self) -> int:
        """Apply all that is stored and give the position; blocking.

        Raises:
            PoisonEvent: an event cannot be applied; all before it are.
            Exception: what the databases raise when they do not answer.
        """
        while self.advance():
            pass
        return self._seen

    def advance(self) -> bool:
        """Apply at most one page, and give whether there may be more; blocking. Raises what `catch_up` does."""
        before = self._seen
        try:
            has_more = self._step(1 if self._singly else BATCH)
        except OUTAGES:
            self._stored, self._singly = None, 0
            raise
        except Exception as error:
            if self._singly:
                self._singly = 0
                reason = str(error) if isinstance(error, CalipsoError) else repr(error)
                raise PoisonEvent(self._seen + 1, reason) from error
            self._singly = BATCH
            return True
        self._singly = max(0, self._singly - 1)
        if self._seen != before:
            self._report(self._seen, True, "")
        return has_more

    def _step(self, limit: int) -> bool:
        """Read one page and apply it; gives whether there may be more.

        Pages without events of interest do not touch the database, until there were many of them.
        """
        if self._stored is None:
            self._stored = self._seen = self._read_position()
        topics = self.projection.topics
        page = self._log.read(after=self._seen, limit=limit, topics=topics, is_tolerant=topics is None)
        if page.last == self._seen:
            return False
        if not page.events and page.last - self._stored < _LAZY:
            self._seen = page.last
            return self._has_more(limit)
        with self.engine.begin() as connection:
            if not self.projection.move_position(connection, before=self._stored, after=page.last):
                self._stored = None  # another runner was first
                return True
            if page.events:
                self.projection.apply(connection, page.events)
        before, self._stored, self._seen = self._seen, page.last, page.last
        return page.last - before >= limit or self._has_more(limit)

    def _has_more(self, limit: int) -> bool:
        """Whether more was stored; who finds out in the same turn need not come back for it."""
        return self._log.read(after=self._seen, limit=limit, topics=frozenset(), is_tolerant=True).last > self._seen

    def _read_position(self) -> int:
        with self.engine.begin() as connection:
            return self.projection.lock_position(connection)

    async def follow(self, woken: asyncio.Event, threads: Executor | None = None) -> None:
        """Catch up whenever woken, at the latest every second; never ends by itself.

        Works in `threads`, a page at a time, so that those who share one thread take turns; else in any thread.

        An outage is waited for; an event that cannot be applied stops this projection, which tells so and tries again
        from time to time, because the cause may be mended without a restart.
        """
        told, loop = 0.0, asyncio.get_running_loop()
        while True:
            woken.clear()
            began = time.monotonic()
            try:
                while await loop.run_in_executor(threads, self.advance):
                    pass
                if time.monotonic() - told > _HEARTBEAT_SECONDS:
                    await asyncio.to_thread(self._report, self._seen, True, "")
                    told = time.monotonic()
                    # a database that crashed or was restored may be behind what we know: read the position again
                    self._stored = None
            except PoisonEvent as error:
                told = await self._trouble(str(error), _POISON_SECONDS)
            except OUTAGES as error:
                told = await self._trouble(f"a database does not answer: {error}", _OUTAGE_SECONDS)
            taken = time.monotonic() - began
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_IDLE_SECONDS):
                    await woken.wait()
                await asyncio.sleep(min(max(GATHER_SECONDS, taken), _LONGEST_GATHER_SECONDS))

    async def _trouble(self, detail: str, pause: float) -> float:
        _log.error("projection stands still", projection=self.projection.name, detail=detail)
        with contextlib.suppress(Unavailable):  # told again with the next attempt
            await asyncio.to_thread(self._report, 0, False, detail)
        await asyncio.sleep(pause)
        return 0.0
