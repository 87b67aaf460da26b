"""A user's quota over time: limits and what was held of them as steps, and their pictures."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from calipso.api.console.scales import NumberScale, Tick, TimeScale
from calipso.api.console.words import cpus, moment, size
from calipso.events.envelope import Recorded
from calipso.events.quota import Quota, QuotaReserved, evolve
from calipso.events.values import Limits, Resources

WIDTH, HEIGHT = 640, 190
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 624, 30, 156
_HOVERED = 300  # more are narrower than a hand is steady


@dataclass(frozen=True, kw_only=True)
class Step:
    """From `time` on: the limits in force, and what was held. `recorded` is the event, None for what was before."""

    time: datetime
    recorded: Recorded | None
    limits: Limits
    count: int
    used: Resources


@dataclass(frozen=True, kw_only=True)
class Amount:
    """Something that quotas bound: its name, what is had of it, its limit, and how a number of it is written."""

    name: str
    used: Callable[[Step], int]
    limit: Callable[[Step], int]
    word: Callable[[int], str]
    unit: int = 1


AMOUNTS = (
    Amount(name="Containers", used=lambda s: s.count, limit=lambda s: s.limits.containers, word=str),
    Amount(
        name="Processors",
        used=lambda s: s.used.millicores,
        limit=lambda s: s.limits.resources.millicores,
        word=cpus,
        unit=1000,
    ),
    Amount(
        name="Memory (GiB)",
        used=lambda s: s.used.memory,
        limit=lambda s: s.limits.resources.memory,
        word=size,
        unit=2**30,
    ),
    Amount(
        name="Disk (GiB)", used=lambda s: s.used.disk, limit=lambda s: s.limits.resources.disk, word=size, unit=2**30
    ),
)


@dataclass(frozen=True, kw_only=True)
class Hover:
    """A stretch of a picture that says what was then."""

    x: float
    width: float
    title: str


@dataclass(frozen=True, kw_only=True)
class Chart:
    """The picture of one amount: paths, axes, and what stretches of it say."""

    name: str
    limit: str
    used: str
    area: str
    times: Sequence[Tick]
    numbers: Sequence[Tick]
    hovers: Sequence[Hover]
    description: str


def course(events: Sequence[Recorded], default: Limits, begin: datetime, end: datetime) -> Sequence[Step]:
    """The steps of a quota within a period; the first is what was at its beginning.

    Args:
        events: of the quota's stream, in order, from the beginning.
        default: the limits of somebody without own ones, where no reservation tells which were in force.
        begin: of the period.
        end: of the period.
    """
    quota, told, steps = Quota(), default, list[Step]()
    first = _step(begin, None, quota, default)
    for recorded in events:
        if recorded.time > end:
            break
        quota = evolve(quota, recorded.event)
        if isinstance(recorded.event, QuotaReserved):
            told = recorded.event.limits
        step = _step(recorded.time, recorded, quota, told)
        if recorded.time <= begin:
            first = _step(begin, None, quota, told)
        else:
            steps.append(step)
    return [first, *steps]


def _step(time: datetime, recorded: Recorded | None, quota: Quota, told: Limits) -> Step:
    limits = quota.limits or told
    return Step(time=time, recorded=recorded, limits=limits, count=len(quota.reservations), used=quota.used())


def draw(steps: Sequence[Step], amount: Amount, end: datetime) -> Chart:
    """The picture of one amount over the time of some steps, of which there is at least one."""
    highest = max(max(amount.used(step), amount.limit(step)) for step in steps) / amount.unit
    times = TimeScale(begin=steps[0].time, end=end, left=_LEFT, right=_RIGHT)
    numbers = NumberScale(most=highest * 1.08, bottom=_BOTTOM, top=_TOP)
    places = [times.at(step.time) for step in steps]
    used = _path(places, [numbers.at(amount.used(step) / amount.unit) for step in steps])
    last = steps[-1]
    return Chart(
        name=amount.name,
        limit=_path(places, [numbers.at(amount.limit(step) / amount.unit) for step in steps]),
        used=used,
        area=f"{used} V {_BOTTOM} H {_LEFT} Z",
        times=times.ticks(most=5),
        numbers=numbers.ticks(),
        hovers=_hovers(steps, places, amount, end) if len(steps) <= _HOVERED else (),
        description=f"{_most(steps, amount)} {_told(last, amount)} at the end.",
    )


def _path(places: Sequence[float], heights: Sequence[float]) -> str:
    """A line of steps: level from each place to the next, where it goes up or down."""
    begin = f"M {places[0]:g} {heights[0]:g}"
    turns = [f"H {place:g} V {height:g}" for place, height in zip(places[1:], heights[1:], strict=True)]
    return " ".join([begin, *turns, f"H {_RIGHT}"])


def _hovers(steps: Sequence[Step], places: Sequence[float], amount: Amount, end: datetime) -> Sequence[Hover]:
    until = [*(step.time for step in steps[1:]), end]
    rights = [*places[1:], float(_RIGHT)]
    return [
        Hover(
            x=left,
            width=max(round(right - left, 1), 1),
            title=f"{moment(step.time)} to {moment(then)}: {_told(step, amount)}",
        )
        for step, left, right, then in zip(steps, places, rights, until, strict=True)
    ]


def _told(step: Step, amount: Amount) -> str:
    return f"{amount.word(amount.used(step))} of {amount.word(amount.limit(step))}"


def _most(steps: Sequence[Step], amount: Amount) -> str:
    peak = max(steps, key=amount.used)
    return f"At most {_told(peak, amount)}, from {moment(peak.time)} on;"
