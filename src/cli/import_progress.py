"""How an import tells about itself on standard error: a bar on a terminal, and what is wrong with which line."""

import os
import sys
from types import TracebackType
from typing import BinaryIO, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn


class ImportProgress:
    """A bar of the bytes read, shown on a terminal only; without an end when the file tells no size.

    Args:
        file: what is imported.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._total = os.fstat(file.fileno()).st_size if file.seekable() else None
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed:,.0f} lines" if self._total is None else "{task.percentage:3.0f} %"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            disable=not sys.stderr.isatty(),
        )

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def begin(self, what: str) -> None:
        """Begin with the file, from its first line."""
        for task in self._bar.task_ids:
            self._bar.update(task, visible=False)
        self._bar.add_task(what, total=self._total)

    def advance(self) -> None:
        """One more line is done."""
        task = self._bar.task_ids[-1]
        if self._total is None:
            self._bar.advance(task)
        else:
            self._bar.update(task, completed=self._file.tell())

    def tell(self, text: str) -> None:
        """Print a line."""
        self._bar.console.out(text, highlight=False)
