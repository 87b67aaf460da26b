"""How far each projection is, as far as this process has heard, and who waits for them."""

import asyncio
import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count

from calipso.errors import NotVisibleYet

SHOWN_WITHIN_SECONDS = 5.0
SHOWN_AT_MOST_SECONDS = 60.0


@dataclass(eq=False, kw_only=True)
class _Visit:
    """Somebody who waits: `missing` are the projections that do not show the event yet."""

    missing: set[str]
    done: asyncio.Event = field(default_factory=asyncio.Event)


class Shown:
    """The positions of projections. Each one that moves wakes only those for whom it has come far enough."""

    def __init__(self) -> None:
        self._positions: dict[str, int] = {}
        self._waiting: dict[str, list[tuple[int, int, _Visit]]] = {}
        self._order = count()  # visits of one position have an order, too

    def is_news(self, positions: Mapping[str, int]) -> bool:
        """Whether a projection is farther than this process knows."""
        return any(position > self._positions.get(name, 0) for name, position in positions.items())

    def tell(self, positions: Mapping[str, int]) -> None:
        """Take note of how far projections are."""
        for name, position in positions.items():
            self._positions[name] = max(position, self._positions.get(name, 0))
            queue = self._waiting.get(name, [])
            while queue and queue[0][0] <= self._positions[name]:
                visit = heapq.heappop(queue)[2]
                visit.missing.discard(name)
                if not visit.missing:
                    visit.done.set()

    async def until(self, projections: Sequence[str], position: int, event_id: str) -> None:
        """Wait until all the projections show an event.

        Those that are behind and come nearer are waited for, for a minute; those that stand still, for five seconds.

        Raises:
            NotVisibleYet: they did not in time; the event is stored all the same.
        """
        missing = {name for name in projections if self._positions.get(name, 0) < position}
        if not missing:
            return
        visit, number = _Visit(missing=missing), next(self._order)
        for name in missing:
            heapq.heappush(self._waiting.setdefault(name, []), (position, number, visit))
        try:
            async with asyncio.timeout(SHOWN_AT_MOST_SECONDS):
                while not await self._came_in_time(visit):
                    pass
        except TimeoutError:
            raise NotVisibleYet(tuple(sorted(visit.missing)), event_id) from None
        finally:
            for name in visit.missing:
                self._waiting[name].remove((position, number, visit))
                heapq.heapify(self._waiting[name])

    async def _came_in_time(self, visit: _Visit) -> bool:
        """Wait for a while; gives whether the wait is over.

        Raises:
            TimeoutError: a projection stood still meanwhile.
        """
        before = {name: self._positions.get(name, 0) for name in visit.missing}
        try:
            async with asyncio.timeout(SHOWN_WITHIN_SECONDS):
                await visit.done.wait()
        except TimeoutError:
            if any(self._positions.get(name, 0) <= before[name] for name in visit.missing):
                raise
            return False
        return True
