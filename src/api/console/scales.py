"""Scales of pictures: from times and numbers to coordinates, with ticks at round places."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

_STEPS = tuple(
    timedelta(seconds=seconds)
    for seconds in (
        *(0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30),
        *(60 * minutes for minutes in (1, 2, 5, 10, 15, 30)),
        *(3600 * hours for hours in (1, 2, 3, 6, 12)),
        *(86_400 * days for days in (1, 2, 7, 14, 30, 90, 365)),
    )
)
_DAY, _MINUTE, _SECOND = timedelta(days=1), timedelta(minutes=1), timedelta(seconds=1)
_EPOCH = datetime(2001, 1, 1, tzinfo=UTC)  # a Monday, so that steps of a week begin on one


@dataclass(frozen=True, kw_only=True)
class Tick:
    """A round place of a scale: `at` is its coordinate, `word` what it says."""

    at: float
    word: str


@dataclass(frozen=True, kw_only=True)
class TimeScale:
    """Times from `begin` to `end` on coordinates from `left` to `right`."""

    begin: datetime
    end: datetime
    left: float
    right: float

    @property
    def length(self) -> timedelta:
        """The length of time that it shows, never nothing."""
        return max(self.end - self.begin, timedelta(microseconds=1))

    def at(self, time: datetime) -> float:
        """The coordinate of a time; one outside of the scale is at its edge."""
        share = (min(max(time, self.begin), self.end) - self.begin) / self.length
        return round(self.left + share * (self.right - self.left), 1)

    def ticks(self, most: int = 8) -> Sequence[Tick]:
        """Round times in UTC, at most about so many; the first of a day says its date."""
        step = next((each for each in _STEPS if self.length / each <= most), self.length / most)
        times = list(_multiples(self.begin, self.end, step))
        dates = {time.date() for time in times}
        found, told = list[Tick](), None
        for time in times:
            day = time.date() if len(dates) > 1 or step >= _DAY else None
            found.append(Tick(at=self.at(time), word=_word(time, step, with_date=day is not None and day != told)))
            told = day
        return found


def _multiples(begin: datetime, end: datetime, step: timedelta) -> Iterator[datetime]:
    time = _EPOCH + math.ceil((begin - _EPOCH) / step) * step
    while time <= end:
        yield time
        time += step


def _word(time: datetime, step: timedelta, *, with_date: bool) -> str:
    if step >= _DAY:
        return f"{time:%Y-%m-%d}"
    clock = f"{time:%H:%M}" if step >= _MINUTE else f"{time:%H:%M:%S}"
    if step < _SECOND:
        clock += f".{time.microsecond // 100_000}"
    return f"{time:%m-%d} {clock}" if with_date else clock


@dataclass(frozen=True, kw_only=True)
class NumberScale:
    """Numbers from 0 to `most` on coordinates from `bottom` up to `top`, which is less."""

    most: float
    bottom: float
    top: float

    def at(self, number: float) -> float:
        """The coordinate of a number."""
        share = min(number / self.most, 1.0) if self.most else 0.0
        return round(self.bottom - share * (self.bottom - self.top), 1)

    def ticks(self, most: int = 4) -> Sequence[Tick]:
        """Round numbers from 0 on, at most about so many above it."""
        step = round_step(self.most / most) if self.most else 1.0
        count = math.floor(self.most / step + 1e-9)
        return [Tick(at=self.at(step * number), word=f"{step * number:g}") for number in range(count + 1)]


def round_step(least: float) -> float:
    """The least of 1, 2 and 5 times a power of ten that is not below a number."""
    power = 10.0 ** math.floor(math.log10(least))
    return next((step * power for step in (1, 2, 5) if step * power >= least * (1 - 1e-9)), 10 * power)
