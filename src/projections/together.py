"""Follows the log with all projections of a database: those that are equally far share a transaction for each batch.

A transaction of its own for each would wait for three answers more, and move its position by a statement of its own.
"""

import asyncio
import contextlib
import time
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import Executor

import structlog

from calipso.errors import UnreadableEvent
from calipso.events.envelope import Page
from calipso.projections.pace import Pace
from calipso.projections.runner import BATCH, OUTAGES, PoisonEvent, Runner, apply_together

_log = structlog.get_logger()

_IDLE_SECONDS = 1.0
GATHER_SECONDS = 0.005  # what comes together is applied together
_LONGEST_GATHER_SECONDS = 0.01  # where a batch takes long, more comes together
_PAGE_SECONDS = 1.0  # requests wait as long as what they wait for comes nearer, which each page tells
_LEAST_PAGE = 100
_HEARTBEAT_SECONDS = 5.0
_OUTAGE_SECONDS = 1.0
_POISON_SECONDS = 30.0


class Group:
    """Keeps the projections of one database up to date; what hinders one of them does not hinder the others.

    An outage is waited for; an event that cannot be applied stops its projection, which tells so and tries again from
    time to time, because the cause may be mended without a restart.

    Args:
        runners: those of the projections, which share one reading of the log.

    Attributes:
        kinds: the kinds of the streams whose events concern one of them, None for all.
    """

    def __init__(self, runners: Sequence[Runner]) -> None:
        self._runners = runners
        self._rests: dict[Runner, float] = {}  # who is in trouble, and until when nothing is tried
        self._told: dict[Runner, float] = {}  # when who told last that it lives
        self._page = BATCH  # the most events of the next one
        kinds = [runner.kinds for runner in runners]
        self.kinds = None if None in kinds else frozenset().union(*(each for each in kinds if each is not None))

    async def follow(self, woken: asyncio.Event, pace: Pace, threads: Executor | None = None) -> None:
        """Catch up whenever woken, at the latest every second; never ends by itself.

        Works in `threads`, a page at a time, else in any thread; keeps pace with others that catch up.
        """
        loop = asyncio.get_running_loop()
        while True:
            woken.clear()
            began = time.monotonic()
            has_more = await loop.run_in_executor(threads, self.advance)
            taken = time.monotonic() - began
            await pace.keep(self, self._position() if has_more else None)
            if not has_more:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_IDLE_SECONDS):
                        await woken.wait()
            await asyncio.sleep(min(max(GATHER_SECONDS, taken), _LONGEST_GATHER_SECONDS))

    def advance(self) -> bool:
        """Apply at most one page of each projection, and give whether there may be more; blocking."""
        now = time.monotonic()
        before = {runner: runner.seen for runner in self._runners}
        self._rests = {runner: until for runner, until in self._rests.items() if until > now}
        alone, together = self._divided([runner for runner in self._runners if runner not in self._rests])
        more = [*map(self._apply_alone, alone), *map(self._apply, together)]
        applied = max(runner.seen - seen for runner, seen in before.items())
        self._page = next_page(self._page, applied, time.monotonic() - now)
        if not any(more):
            self._tell(now)
        return any(more)

    def _position(self) -> int | None:
        """How far all are that are in no trouble."""
        return min((runner.seen for runner in self._runners if runner not in self._rests), default=None)

    def _divided(self, runners: Sequence[Runner]) -> tuple[Sequence[Runner], Sequence[Sequence[tuple[Runner, Page]]]]:
        """Who is to go on alone, and the pages of the others, by what they are."""
        alone, together = [], defaultdict(list)
        for runner in runners:
            try:
                page = None if runner.is_careful else runner.look(self._page)
            except OUTAGES as error:
                self._rest(runner, error)
            except UnreadableEvent:
                alone.append(runner)  # what comes before it is applied
            else:
                if page:
                    together[runner.seen, page.last].append((runner, page))
                elif runner.is_careful:
                    alone.append(runner)
        return alone, [*together.values()]

    def _apply(self, pages: Sequence[tuple[Runner, Page]]) -> bool:
        """Apply what is the same page to all; gives whether there may be more."""
        try:
            apply_together(pages)
        except Exception:  # noqa: BLE001 - one of them has met it, which will meet it again
            more = [self._apply_alone(runner) for runner, _ in pages]
            return any(more)
        return True

    def _apply_alone(self, runner: Runner) -> bool:
        try:
            return runner.advance()
        except (PoisonEvent, *OUTAGES) as error:
            self._rest(runner, error)
            return False

    def _rest(self, runner: Runner, error: Exception) -> None:
        is_poison = isinstance(error, PoisonEvent)
        detail = str(error) if is_poison else f"a database does not answer: {error}"
        _log.error("projection stands still", projection=runner.projection.name, detail=detail)
        runner.tell_trouble(detail)
        runner.forget()
        self._rests[runner] = time.monotonic() + (_POISON_SECONDS if is_poison else _OUTAGE_SECONDS)
        self._told.pop(runner, None)

    def _tell(self, now: float) -> None:
        """Tell now and then that they live; meanwhile their database may have gone back."""
        for runner in self._runners:
            if runner not in self._rests and now - self._told.get(runner, 0.0) > _HEARTBEAT_SECONDS:
                runner.tell()
                self._told[runner] = now
                runner.forget()


def next_page(most: int, applied: int, seconds: float) -> int:
    """How many events the next page may have: long ones cost least, as long as they do not take too long.

    Args:
        most: how many the last page could have had.
        applied: how many it had.
        seconds: that it took.
    """
    if seconds > _PAGE_SECONDS:
        return min(BATCH, max(_LEAST_PAGE, applied // 2))
    return min(BATCH, 2 * most) if seconds < _PAGE_SECONDS / 4 else most
