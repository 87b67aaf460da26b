"""How long work on rows tells about itself on standard error: a bar for each table, on a terminal only."""

import sys
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

_EVERY = 1000  # rows


class RowProgress:
    """Bars of the rows that are done."""

    def __init__(self) -> None:
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            disable=not sys.stderr.isatty(),
        )
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def told(self, table: str, rows: int, total: int) -> None:
        """So many rows of a table are done."""
        if table not in self._tasks:
            self._tasks[table] = self._bar.add_task(table, total=total)
        if rows % _EVERY == 0 or rows >= total:
            self._bar.update(self._tasks[table], completed=rows)
