"""The shape of the queue over time, read from the events: no sampling, so nothing is missed."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from calipso.events.container import (
    ContainerFailed,
    ContainerLost,
    ContainerRequested,
    ContainerStarted,
    ContainerStarting,
    ContainerStopped,
)
from calipso.events.envelope import Recorded

COLUMNS = ("accepted", "waiting", "starting", "running", "done")
# what each event adds to the columns; an end adds to what it ended from
_STEPS: dict[type, tuple[int, int, int, int, int]] = {
    ContainerRequested: (1, 1, 0, 0, 0),
    ContainerStarting: (0, -1, 1, 0, 0),
    ContainerStarted: (0, 0, -1, 1, 0),
    ContainerStopped: (0, 0, 0, -1, 1),
    ContainerLost: (0, 0, 0, -1, 1),
    ContainerFailed: (0, 0, -1, 0, 1),
}


@dataclass(frozen=True, kw_only=True)
class Moment:
    """How many containers were in each state at a time (seconds since the beginning); `accepted` and `done` in all."""

    second: float
    accepted: int
    waiting: int
    starting: int
    running: int
    done: int


def shape(events: Sequence[Recorded], began: float, step: float = 1.0) -> list[Moment]:
    """The queue at every `step` seconds since `began` (of the epoch), until its last change."""
    changes = [(r.time.timestamp() - began, _STEPS[type(r.event)]) for r in events if type(r.event) in _STEPS]
    if not changes:
        return []
    sums = list(accumulate((change for _, change in changes), lambda a, b: tuple(map(sum, zip(a, b, strict=True)))))
    moments, index = [], -1
    for number in range(int(changes[-1][0] / step) + 2):
        while index + 1 < len(changes) and changes[index + 1][0] <= number * step:
            index += 1
        now = sums[index] if index >= 0 else (0,) * len(COLUMNS)
        moments.append(Moment(second=number * step, **dict(zip(COLUMNS, now, strict=True))))
    return moments
