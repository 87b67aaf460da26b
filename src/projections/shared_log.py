"""One reading of the event store for all projections of a process, which mostly want the same page at the same time."""

import threading

from cachetools import TTLCache

from calipso.errors import UnreadableEvent
from calipso.events.envelope import EventLog, Page, Unreadable

_KEPT = 16  # pages: as far as readers of different speed may be apart without reading twice
_SECONDS = 30.0  # names of people who were erased do not stay in memory


class SharedLog:
    """Keeps the pages that were read last, with every topic, and gives each reader what it wants of them.

    Args:
        log: where events are read.
    """

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self._lock = threading.Lock()
        self._pages: TTLCache[tuple[int, int], Page] = TTLCache(_KEPT, _SECONDS)
        self._ends: dict[tuple[int, int], Page] = {}

    def renew(self) -> None:
        """Hear that something may have been stored: to be called before those who read are woken for it."""
        self._ends = {}

    def read(self, *, after: int, limit: int, topics: frozenset[str] | None = None, is_tolerant: bool = False) -> Page:
        """At most `limit` events after a position, in order; see `events.envelope.EventLog.read`."""
        with self._lock:
            # an end that is read while something is stored goes to those who were renewed, and is not read again
            ends = self._ends
            page = self._pages.get((after, limit)) or ends.get((after, limit))
            if page is None:
                page = self._log.read(after=after, limit=limit, is_tolerant=True)
                (self._pages if page.last - after >= limit else ends)[after, limit] = page
        wanted = [r for r in page.events if topics is None or r.topic in topics]
        for recorded in wanted:
            # stops only those who want it
            if isinstance(recorded.event, Unreadable) and not is_tolerant:
                raise UnreadableEvent(recorded.position, str(recorded.id), recorded.event.reason)
        return Page(events=wanted, last=page.last)
