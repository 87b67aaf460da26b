"""One reading of the event store for all projections of a process, which mostly want the same page at the same time."""

import threading
import time
from bisect import bisect_right
from dataclasses import dataclass
from operator import attrgetter

from cachetools import TLRUCache

from calipso.errors import UnreadableEvent
from calipso.events.envelope import EventLog, Page, Unreadable

KEPT = 8000  # events: as far as readers of different speed may be apart without reading twice
_TOGETHER = 500  # events: small pages that follow each other are kept as one, for those who look seldom
_SECONDS = 30.0  # names of people who were erased do not stay in memory


@dataclass(frozen=True)
class _Kept:
    """A page, and the second in which its oldest part is to be forgotten."""

    page: Page
    until: float


class SharedLog:
    """Keeps the pages that were read last, with every topic, and gives each reader what it wants of them.

    Args:
        log: where events are read.
    """

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self._lock = threading.Lock()
        self._pages: TLRUCache[int, _Kept] = TLRUCache(
            KEPT, ttu=lambda _begin, kept, _now: kept.until, getsizeof=lambda kept: len(kept.page.events)
        )
        self._newest = 0  # where the page begins that was kept last
        self._ends: set[int] = set()

    def renew(self) -> None:
        """Hear that something may have been stored: to be called before those who read are woken for it."""
        self._ends = set()

    def read(self, *, after: int, limit: int, topics: frozenset[str] | None = None, is_tolerant: bool = False) -> Page:
        """At most `limit` events after a position, in order; see `events.envelope.EventLog.read`."""
        with self._lock:
            page = self._page(after, limit)
        wanted = [r for r in page.events if topics is None or r.topic in topics]
        for recorded in wanted:
            # stops only those who want it
            if isinstance(recorded.event, Unreadable) and not is_tolerant:
                raise UnreadableEvent(recorded.position, str(recorded.id), recorded.event.reason)
        return Page(events=wanted, last=page.last)

    def _page(self, after: int, limit: int) -> Page:
        # an end that is read while something is stored goes to the set of before, where nobody looks any more
        ends = self._ends
        page = Page(events=[], last=after)
        # what is kept may be less than what is stored by now
        while len(page.events) < limit and page.last not in ends:
            rest = limit - len(page.events)
            part = self._kept_part(page.last, rest)
            if part is None:
                part = self._log.read(after=page.last, limit=rest, is_tolerant=True)
                if part.last > page.last:
                    self._keep(page.last, part)
                if part.last - page.last < rest:
                    ends.add(part.last)
            page = Page(events=[*page.events, *part.events], last=part.last)
        return page

    def _kept_part(self, after: int, limit: int) -> Page | None:
        for begin in list(self._pages):
            kept = self._pages.get(begin)  # none when its time is over in this moment
            if kept is not None and begin <= after < kept.page.last:
                return _part(kept.page, after, limit)
        return None

    def _keep(self, after: int, page: Page) -> None:
        before = self._pages.get(self._newest)
        if before and before.page.last == after and len(before.page.events) + len(page.events) <= _TOGETHER:
            both = Page(events=[*before.page.events, *page.events], last=page.last)
            self._pages[self._newest] = _Kept(both, before.until)
        else:
            self._pages[after] = _Kept(page, time.monotonic() + _SECONDS)
            self._newest = after


def _part(page: Page, after: int, limit: int) -> Page:
    """What a page has after a position, at most `limit` events."""
    events = page.events[bisect_right(page.events, after, key=attrgetter("position")) :]
    return Page(events=events[:limit], last=events[limit - 1].position if len(events) > limit else page.last)
