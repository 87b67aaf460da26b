"""Runs projections: a batch of events, their rows and the position in one transaction; then a report."""

import asyncio
import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass

import structlog
from sqlalchemy import Engine
from sqlalchemy.exc import InterfaceError, OperationalError

from calipso.errors import CalipsoError, Unavailable
from calipso.events.envelope import EventLog
from calipso.projections.protocol import Projection

_log = structlog.get_logger()

BATCH = 500
_IDLE_SECONDS = 1.0
_HEARTBEAT_SECONDS = 5.0
_OUTAGE_SECONDS = 1.0
_POISON_SECONDS = 30.0


OUTAGES = (OperationalError, InterfaceError, Unavailable)


@dataclass(eq=False)
class PoisonEvent(CalipsoError):
    """A projection cannot apply the first event at or after `position`."""

    position: int
    reason: str

    def __str__(self) -> str:
        return f"stopped before position {self.position}: {self.reason}"


Report = Callable[[int, bool, str], None]


@dataclass(frozen=True, kw_only=True)
class Runner:
    """Keeps one projection up to date.

    Args:
        projection: what turns events into rows.
        engine: the database where the rows live.
        store: where the events are read.
        report: told the position, whether the projection works, and a detail.
    """

    projection: Projection
    engine: Engine
    store: EventLog
    report: Report

    def catch_up(self) -> int:
        """Apply all that is stored and give the position; blocking.

        Raises:
            PoisonEvent: an event cannot be applied; all before it are.
            Exception: what the databases raise when they do not answer.
        """
        singly = 0  # after a batch that failed: how many events are still applied one by one
        while True:
            try:
                before, after = self._apply(1 if singly else BATCH)
            except OUTAGES:
                raise
            except Exception as error:
                if singly:
                    raise PoisonEvent(self._position() + 1, repr(error)) from error
                singly = BATCH
                continue
            if after == before:
                return after
            singly = max(0, singly - 1)
            self.report(after, True, "")

    def _apply(self, limit: int) -> tuple[int, int]:
        with self.engine.begin() as connection:
            before = self.projection.lock_position(connection)
            page = self.store.read(after=before, limit=limit, topics=self.projection.topics)
            if page.events:
                self.projection.apply(connection, page.events)
            if page.last != before:
                self.projection.save_position(connection, page.last)
        return before, page.last

    def _position(self) -> int:
        with self.engine.begin() as connection:
            return self.projection.lock_position(connection)

    async def follow(self, woken: asyncio.Event) -> None:
        """Catch up whenever woken, at the latest every second; never ends by itself.

        An outage is waited for; an event that cannot be applied stops this projection, which tells so and tries again
        from time to time, because the cause may be mended without a restart.
        """
        told = 0.0
        while True:
            woken.clear()
            try:
                position = await asyncio.to_thread(self.catch_up)
                if time.monotonic() - told > _HEARTBEAT_SECONDS:
                    await asyncio.to_thread(self.report, position, True, "")
                    told = time.monotonic()
            except PoisonEvent as error:
                told = await self._trouble(str(error), _POISON_SECONDS)
            except OUTAGES as error:
                told = await self._trouble(f"a database does not answer: {error}", _OUTAGE_SECONDS)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(woken.wait(), _IDLE_SECONDS)

    async def _trouble(self, detail: str, pause: float) -> float:
        _log.error("projection stands still", projection=self.projection.name, detail=detail)
        with contextlib.suppress(Unavailable):  # told again with the next attempt
            await asyncio.to_thread(self.report, 0, False, detail)
        await asyncio.sleep(pause)
        return 0.0
