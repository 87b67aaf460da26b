"""What others of the host took from a measurement: the processors of a guest stand still when it wants them."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_STAT = Path("/proc/stat")
_STEAL = 7  # its place among the times that the kernel tells
_FIELDS = 8  # those behind are parts of others
_MOMENT_SECONDS = 0.25


@dataclass
class Stolen:
    """The part of all processors that others had: on average, and in the worst quarter of a second."""

    average: float = 0.0
    most: float = 0.0

    def __str__(self) -> str:
        return f"stolen {self.average:.1%}, at most {self.most:.0%}"


@contextmanager
def watched() -> Iterator[Stolen]:
    """What was stolen within the block, told at its end; nothing where the kernel does not tell it."""
    found, over = Stolen(), threading.Event()

    def watch() -> None:
        begin = last = _times()
        while not over.wait(_MOMENT_SECONDS):
            now = _times()
            found.most = max(found.most, _part(last, now))
            last = now
        found.average = _part(begin, _times())

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        over.set()
        thread.join()


def _times() -> tuple[int, int]:
    """Ticks of all processors that were stolen, and all."""
    if not _STAT.exists():
        return 0, 0
    ticks = [int(word) for word in _STAT.read_text().splitlines()[0].split()[1:][:_FIELDS]]
    return ticks[_STEAL], sum(ticks)


def _part(before: tuple[int, int], after: tuple[int, int]) -> float:
    return (after[0] - before[0]) / max(1, after[1] - before[1])
