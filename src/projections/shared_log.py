"""One reading of the event store for all projections of a process, which mostly want the same page at the same time."""

import threading

from calipso.errors import UnreadableEvent
from calipso.events.envelope import EventLog, Page, Unreadable


class SharedLog:
    """Keeps the page that was read last, with every topic, and gives each reader what it wants of it.

    Args:
        log: where events are read.
    """

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self._lock = threading.Lock()
        self._asked = (-1, 0)
        self._page = Page(events=(), last=0)

    def read(self, *, after: int, limit: int, topics: frozenset[str] | None = None, is_tolerant: bool = False) -> Page:
        """At most `limit` events after a position, in order; see `events.envelope.EventLog.read`."""
        with self._lock:
            if self._asked != (after, limit) or self._page.last == after:  # an end moves on, a page before it never
                page = self._log.read(after=after, limit=limit, is_tolerant=True)
                self._page, self._asked = page, (after, limit)
            page = self._page
        wanted = [r for r in page.events if topics is None or r.topic in topics]
        for recorded in wanted:
            # stops only those who want it
            if isinstance(recorded.event, Unreadable) and not is_tolerant:
                raise UnreadableEvent(recorded.position, str(recorded.id), recorded.event.reason)
        return Page(events=wanted, last=page.last)
