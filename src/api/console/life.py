"""The life of a container as a picture: a row for each state that it was in, along the time."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from calipso.api.console.scales import Tick, TimeScale
from calipso.api.console.words import duration, moment
from calipso.events.container import ContainerEvent, ContainerRequested, State, transition
from calipso.projections.audit.history import Entry

WIDTH = 1000
_LEFT, _RIGHT, _TOP, _ROW, _AXIS = 96, 890, 40, 30, 34
_THINNEST = 3
_GAP = 16
_FINAL = frozenset({State.REMOVED, State.LOST, State.FAILED})


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A time in one state: `end` is None while it lasts, and of the last one, in which nothing lasts (`is_final`)."""

    state: State
    begin: datetime
    end: datetime | None
    entry: Entry

    @property
    def is_final(self) -> bool:
        """Whether nothing of the container runs or is kept any more."""
        return self.end is None and self.state in _FINAL

    def length(self, now: datetime) -> timedelta | None:
        """How long it lasted, until now if it lasts; None when nothing lasts."""
        return None if self.is_final else (self.end or now) - self.begin


@dataclass(frozen=True, kw_only=True)
class Bar:
    """A stage as it is drawn."""

    stage: Stage
    x: float
    y: float
    width: float
    height: float
    word: str
    title: str


@dataclass(frozen=True, kw_only=True)
class Mark:
    """An event as it is drawn: a circle at `x`, moved aside where others are, and a line to its place in time."""

    entry: Entry
    x: float
    place: float
    title: str


@dataclass(frozen=True, kw_only=True)
class Picture:
    """All that is drawn, and `description`, which says it in words."""

    height: int
    bottom: int
    bars: Sequence[Bar]
    marks: Sequence[Mark]
    ticks: Sequence[Tick]
    description: str


def stages(entries: Sequence[Entry]) -> Sequence[Stage]:
    """The states that a container was in, from its events in order."""
    found: list[Stage] = []
    for entry in entries:
        event, time = entry.recorded.event, entry.recorded.time
        if not found:
            if isinstance(event, ContainerRequested):
                found.append(Stage(state=State.REQUESTED, begin=time, end=None, entry=entry))
            continue
        state = transition(found[-1].state, event)
        if state is not found[-1].state:
            found[-1] = replace(found[-1], end=time)
            found.append(Stage(state=state, begin=time, end=None, entry=entry))
    return found


def draw(entries: Sequence[Entry], now: datetime) -> Picture:
    """The picture of a life, as far as it is known now."""
    lived = stages(entries)
    end = now if lived and not lived[-1].is_final else max((e.recorded.time for e in entries), default=now)
    begin = min((e.recorded.time for e in entries), default=now)
    scale = TimeScale(begin=begin, end=end, left=_LEFT, right=_RIGHT)
    bottom = _TOP + _ROW * len(lived)
    return Picture(
        height=bottom + _AXIS,
        bottom=bottom,
        bars=[_bar(stage, number, scale, now) for number, stage in enumerate(lived)],
        marks=_marks([entry for entry in entries if isinstance(entry.recorded.event, ContainerEvent)], scale),
        ticks=scale.ticks(),
        description=" ".join(f"{_told(stage, now)}." for stage in lived),
    )


def _bar(stage: Stage, number: int, scale: TimeScale, now: datetime) -> Bar:
    length = stage.length(now)
    left = scale.at(stage.begin)
    width = max(scale.at(stage.end or now) - left, _THINNEST) if length is not None else _THINNEST
    return Bar(
        stage=stage,
        # one that begins at the very end is drawn before it
        x=min(left, _RIGHT - _THINNEST),
        y=_TOP + _ROW * number + 6,
        width=round(width, 1),
        height=_ROW - 12,
        word="" if length is None else duration(length),
        title=f"{_told(stage, now)}. {stage.entry.sentence} By {stage.entry.actor}.",
    )


def _told(stage: Stage, now: datetime) -> str:
    length = stage.length(now)
    if length is None:
        return f"{stage.state} at {moment(stage.begin)}"
    until = f"until {moment(stage.end)}" if stage.end else "and still is"
    return f"{stage.state} from {moment(stage.begin)} {until}, {duration(length)}"


def _marks(entries: Sequence[Entry], scale: TimeScale) -> Sequence[Mark]:
    places = [scale.at(entry.recorded.time) for entry in entries]
    return [
        Mark(entry=entry, x=x, place=place, title=_told_event(entry))
        for entry, x, place in zip(entries, spread(places, _GAP, _RIGHT), places, strict=True)
    ]


def spread(places: Sequence[float], gap: float, right: float) -> Sequence[float]:
    """Places in order, moved as little as it takes to lie a gap apart, and not beyond the right edge."""
    found: list[float] = []
    for place in places:
        found.append(max(place, found[-1] + gap) if found else place)
    edge = right
    for number in reversed(range(len(found))):
        found[number] = min(found[number], edge)
        edge = found[number] - gap
    return found


def _told_event(entry: Entry) -> str:
    recorded = entry.recorded
    return f"{moment(recorded.time)}: {entry.sentence} By {entry.actor}. Event {recorded.position}."
