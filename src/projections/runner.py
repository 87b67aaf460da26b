"""Runs a projection: a batch of events, their rows and the position in one transaction; then a report."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sqlalchemy import Engine
from sqlalchemy.exc import InterfaceError, OperationalError

from calipso.errors import CalipsoError, Unavailable
from calipso.events.envelope import EventLog, Page
from calipso.projections.protocol import Projection, move_positions

BATCH = 2000  # events: what a statement costs is shared by many, for those who are far behind
_LAZY = 10_000

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
        try:
            page = self.look(1 if self._singly else BATCH)
            if page:
                apply_together([(self, page)])
        except OUTAGES:
            self.forget()
            self._singly = 0
            raise
        except Exception as error:
            if self._singly:
                self._singly = 0
                reason = str(error) if isinstance(error, CalipsoError) else repr(error)
                raise PoisonEvent(self._seen + 1, reason) from error
            self._singly = BATCH
            return True
        self._singly = max(0, self._singly - 1)
        return page is not None

    @property
    def seen(self) -> int:
        """The position up to which it has dealt with all events."""
        return self._seen

    @property
    def is_careful(self) -> bool:
        """Whether it applies events one by one, after a batch that failed."""
        return self._singly > 0

    def look(self, limit: int = BATCH) -> Page | None:
        """The next page, None when nothing more is stored."""
        if self._stored is None:
            self._stored = self._seen = self._read_position()
        topics = self.projection.topics
        page = self._log.read(after=self._seen, limit=limit, topics=topics, is_tolerant=topics is None)
        return page if page.last > self._seen else None

    def move_by(self, page: Page) -> tuple[int, int] | None:
        """From where to where its stored position moves with a page; None when it stays.

        Pages without events of interest do not touch the database, until there were many of them.
        """
        stored = self._stored or 0
        return (stored, page.last) if page.events or page.last - stored >= _LAZY else None

    def settle(self, page: Page) -> None:
        """Go on after a page that was applied, and report."""
        if self.move_by(page):
            self._stored = page.last
        self._seen = page.last
        self.tell()

    def forget(self) -> None:
        """Read the position again before the next page: a database that crashed or was restored may be behind."""
        self._stored = None

    def tell(self) -> None:
        """Report how far it is, and that it works."""
        self._report(self._seen, True, "")

    def tell_trouble(self, detail: str) -> None:
        """Report that it stands still."""
        self._report(0, False, detail)

    def _read_position(self) -> int:
        with self.engine.begin() as connection:
            return self.projection.lock_position(connection)


def apply_together(pages: Sequence[tuple[Runner, Page]]) -> None:
    """Apply a page of each runner, in one transaction of their database.

    Nothing is changed when another process was first with one of them; they find out where they are with the next page.
    """
    moves = {runner.projection.position: move for runner, page in pages if (move := runner.move_by(page))}
    if moves:
        with pages[0][0].engine.begin() as connection:
            if not move_positions(connection, moves):
                connection.rollback()
                for runner, _ in pages:
                    runner.forget()
                return
            for runner, page in pages:
                if page.events:
                    runner.projection.apply(connection, page.events)
    for runner, page in pages:
        runner.settle(page)
