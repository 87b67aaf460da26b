"""What containers used, from the log alone: the time that they ran, and the time that they held their part of a quota.

Times are whole microseconds, so sums are exact and do not depend on their order.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from uuid import UUID

from calipso.events.container import ACTIVE, ContainerEvent, ContainerRequested, ContainerStarted, State, transition
from calipso.events.envelope import Recorded
from calipso.events.values import Resources, Runtime

_DAY = timedelta(days=1)
_MICROSECOND = timedelta(microseconds=1)


class By(StrEnum):
    """By what usage is told apart; a day is one of UTC."""

    USER = "user"
    EXPERIMENT = "experiment"
    IMAGE = "image"
    RUNTIME = "runtime"
    DAY = "day"


Key = tuple[UUID | str | None, ...]
"""Of each thing by which usage is told apart: a uuid (None: no experiment), a name, or a day as text."""


@dataclass(frozen=True, kw_only=True)
class Life:
    """What counts of a container: it held `resources` from `requested` until `ended`, and ran from `started` on."""

    container_id: UUID
    user_id: UUID
    experiment_id: UUID | None
    image_name: str
    runtime: Runtime
    resources: Resources
    requested: datetime
    started: datetime | None = None
    ended: datetime | None = None
    state: State = State.REQUESTED


@dataclass(frozen=True, kw_only=True)
class Usage:
    """What was used: microseconds of containers, and the same times millicores and bytes; `containers` counts them."""

    containers: int = 0
    running: int = 0
    running_cpu: int = 0
    running_memory: int = 0
    held: int = 0
    held_cpu: int = 0
    held_memory: int = 0

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(**{name: value + getattr(other, name) for name, value in vars(self).items()})


def lives(events: Iterable[Recorded]) -> Mapping[UUID, Life]:
    """The lives of the containers that events tell."""
    found: dict[UUID, Life] = {}
    for recorded in events:
        event = recorded.event
        if isinstance(event, ContainerRequested) and event.container_id not in found:
            found[event.container_id] = _begun(event, recorded.time)
        elif isinstance(event, ContainerEvent) and event.container_id in found:
            found[event.container_id] = _lived(found[event.container_id], event, recorded.time)
    return found


def _begun(event: ContainerRequested, moment: datetime) -> Life:
    return Life(
        container_id=event.container_id,
        user_id=event.user_id,
        experiment_id=event.session.experiment_id if event.session else None,
        image_name=event.image_name,
        runtime=event.image.runtime,
        resources=event.resources,
        requested=moment,
    )


def _lived(life: Life, event: ContainerEvent, moment: datetime) -> Life:
    state = transition(life.state, event)
    started = moment if isinstance(event, ContainerStarted) else life.started
    return replace(life, state=state, started=started, ended=None if state in ACTIVE else life.ended or moment)


def usage(found: Iterable[Life], since: datetime, until: datetime, by: tuple[By, ...]) -> Mapping[Key, Usage]:
    """What containers used within a period.

    Args:
        found: their lives; one that has not ended lasts until the end of the period.
        since: the beginning (UTC).
        until: the end (UTC).
        by: what is told apart; the keys have its order.
    """
    sums: dict[Key, Usage] = {}
    for life in found:
        begin, end = max(life.requested, since), min(life.ended or until, until)
        for first, last in _days(begin, end) if By.DAY in by else [(begin, end)]:
            if first < last:
                key = tuple(_KEYS[each](life, first) for each in by)
                sums[key] = sums.get(key, Usage()) + _used(life, first, last)
    return sums


def _days(begin: datetime, end: datetime) -> Iterator[tuple[datetime, datetime]]:
    """A period in pieces of which none goes beyond its day."""
    while begin < end:
        midnight = datetime.combine(begin.date(), datetime.min.time(), UTC) + _DAY
        yield begin, min(midnight, end)
        begin = midnight


def _used(life: Life, begin: datetime, end: datetime) -> Usage:
    held = (end - begin) // _MICROSECOND
    running = max(0, (end - max(begin, life.started)) // _MICROSECOND) if life.started else 0
    return Usage(
        containers=1,
        running=running,
        running_cpu=running * life.resources.millicores,
        running_memory=running * life.resources.memory,
        held=held,
        held_cpu=held * life.resources.millicores,
        held_memory=held * life.resources.memory,
    )


_KEYS: Mapping[By, Callable[[Life, datetime], UUID | str | None]] = {
    By.USER: lambda life, _: life.user_id,
    By.EXPERIMENT: lambda life, _: life.experiment_id,
    By.IMAGE: lambda life, _: life.image_name,
    By.RUNTIME: lambda life, _: life.runtime.value,
    By.DAY: lambda _, begin: begin.date().isoformat(),
}
