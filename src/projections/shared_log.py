"""One reading of the event store for all projections of a process, which mostly want the same page at the same time."""

import threading

from calipso.events.envelope import EventLog, Page


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

    def read(self, *, after: int, limit: int, topics: frozenset[str] | None = None) -> Page:
        """At most `limit` events after a position, in order; of these only the wanted topics are given."""
        with self._lock:
            if self._asked != (after, limit) or self._page.last == after:  # an end moves on, a page before it never
                try:
                    self._page, self._asked = self._log.read(after=after, limit=limit), (after, limit)
                except (LookupError, ValueError):
                    # an event that this program cannot read stops only those who want it
                    return self._log.read(after=after, limit=limit, topics=topics)
            page = self._page
        if topics is None:
            return page
        return Page(events=[r for r in page.events if r.event.topic() in topics], last=page.last)
