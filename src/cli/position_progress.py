"""How long work over the log tells about itself on standard error: a bar with an estimate, or a line now and then."""

import sys
import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

_SECONDS_BETWEEN_LINES = 10.0


class PositionProgress:
    """A bar on a terminal; elsewhere a line every ten seconds, none for what takes less.

    Args:
        what: what is done.
        first: the position from which it is done.
        last: the position up to which it is done.
    """

    def __init__(self, what: str, *, first: int, last: int) -> None:
        self._what = what
        self._first = first
        self._total = max(last - first, 0)
        self._began = self._told = time.monotonic()
        self._is_terminal = sys.stderr.isatty()
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed:,.0f} of {task.total:,.0f} positions"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            disable=not self._is_terminal,
        )
        self._task = self._bar.add_task(what, total=self._total)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def at(self, position: int) -> None:
        """All up to a position is done."""
        done = min(max(position - self._first, 0), self._total)
        self._bar.update(self._task, completed=done)
        now = time.monotonic()
        if not self._is_terminal and now - self._told >= _SECONDS_BETWEEN_LINES:
            self._told = now
            left = (self._total - done) * (now - self._began) / done if done else 0
            print(
                f"{self._what}: {done:,} of {self._total:,} positions, about {left:,.0f} s left",
                file=sys.stderr,
                flush=True,
            )
