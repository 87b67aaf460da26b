"""Bar charts of usage: what was held behind what ran, over days or side by side."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from functools import reduce

from calipso.api.console.scales import NumberScale, Tick, round_step
from calipso.api.usage_objects import UsageRow
from calipso.events.usage import By

WIDTH, HEIGHT = 1100, 240
_LEFT, _RIGHT, _TOP, _BOTTOM = 60, 1090, 16, 206
_ROW, _BAR, _NAMES, _NUMBERS = 30, 18, 250, 920
_MOST_BARS, _MOST_ROWS, _MOST_WORDS = 124, 15, 14
_WIDEST = 34
_DAY = timedelta(days=1)
OTHERS = "all others"
_LEAST = 1e-12  # less is nothing that was ever used, and no scale can show it


@dataclass(frozen=True, kw_only=True)
class Measure:
    """A kind of usage: `name` is what the fields of rows end with, `unit` stands behind its numbers."""

    title: str
    name: str
    unit: str


MEASURES = (
    Measure(title="Container-hours", name="hours", unit="h"),
    Measure(title="CPU-hours", name="cpu_hours", unit="CPU h"),
    Measure(title="Memory-hours", name="memory_gib_hours", unit="GiB h"),
)


@dataclass(frozen=True, kw_only=True)
class Amount:
    """What was used by one thing, or on one day: hours that ran, among those that were held."""

    word: str
    running: float = 0.0
    held: float = 0.0

    def __add__(self, other: "Amount") -> "Amount":
        return replace(self, running=self.running + other.running, held=self.held + other.held)


@dataclass(frozen=True, kw_only=True)
class Bar:
    """A bar: the place of what was held, and of what ran in it; `middle` is where its word stands."""

    amount: Amount
    x: float
    y: float
    width: float
    height: float
    running_x: float
    running_y: float
    running_width: float
    running_height: float
    middle: float
    short: str


@dataclass(frozen=True, kw_only=True)
class Chart:
    """A picture with bars that stand (`is_standing`, over time) or lie; `words` are below those that stand."""

    measure: Measure
    total: Amount
    bars: Sequence[Bar]
    ticks: Sequence[Tick]
    words: Sequence[Tick]
    width: float
    height: float
    is_standing: bool

    @property
    def left(self) -> float:
        """Where the bars begin."""
        return _LEFT if self.is_standing else _NAMES

    @property
    def right(self) -> float:
        """Where the bars end at the latest."""
        return _RIGHT if self.is_standing else _NUMBERS

    @property
    def bottom(self) -> float:
        """Where standing bars stand, or lines through lying ones end."""
        return _BOTTOM if self.is_standing else self.height - _ROW

    @property
    def most(self) -> Amount | None:
        """The largest of its amounts, None when there is none."""
        return max((bar.amount for bar in self.bars), key=lambda amount: amount.held, default=None)


def charts(rows: Sequence[UsageRow], by: By, begin: datetime, end: datetime) -> Sequence[Chart]:
    """A chart for each measure.

    Args:
        rows: usage by one thing.
        by: which.
        begin: of the period (UTC).
        end: of the period (UTC).
    """
    return [_chart(measure, amounts_of(rows, by, measure), by, begin, end) for measure in MEASURES]


def amounts_of(rows: Sequence[UsageRow], by: By, measure: Measure) -> list[Amount]:
    """What each row says of a measure."""
    return [
        Amount(
            word=word_of(row, by),
            running=getattr(row, f"running_{measure.name}"),
            held=getattr(row, f"held_{measure.name}"),
        )
        for row in rows
    ]


def word_of(row: UsageRow, by: By) -> str:
    """What a row is about."""
    return getattr(row, by.value) or "(no experiment)"


def _chart(measure: Measure, amounts: list[Amount], by: By, begin: datetime, end: datetime) -> Chart:
    if by is By.DAY:
        return _standing(measure, over_time(amounts, begin, end))
    return _lying(measure, largest(amounts))


def over_time(amounts: Sequence[Amount], begin: datetime, end: datetime) -> list[Amount]:
    """Amounts of days in their order, with those of days without any; months, or years, when there are too many.

    Args:
        amounts: whose words are days.
        begin: of the period (UTC).
        end: of the period (UTC).
    """
    if not amounts:
        return []
    first, last = begin.date(), max((end - timedelta(microseconds=1)).date(), begin.date())
    if (last - first).days >= _MOST_BARS:  # what was before the first container is of no interest then
        first = max(first, date.fromisoformat(min(amount.word for amount in amounts)))
    length = _length(first, last)
    found = {word: Amount(word=word) for word in _words(first, last, length)}
    for amount in amounts:
        if (word := amount.word[:length]) in found:
            found[word] += amount
    return list(found.values())


def _length(first: date, last: date) -> int:
    """How many characters of a date tell days, months or years apart, whichever are not too many."""
    if (last - first).days < _MOST_BARS:
        return len("2026-11-20")
    months = (last.year - first.year) * 12 + last.month - first.month
    return len("2026-11") if months < _MOST_BARS else len("2026")


def _words(first: date, last: date, length: int) -> Iterator[str]:
    """So many characters of the dates of a period, each once."""
    told, day = "", first
    while day <= last:
        if (word := day.isoformat()[:length]) != told:
            yield word
        told, day = word, day + _DAY


def largest(amounts: Sequence[Amount]) -> list[Amount]:
    """The largest amounts, the largest first, and the sum of all others."""
    ordered = sorted(amounts, key=lambda amount: (-amount.held, amount.word))
    if len(ordered) <= _MOST_ROWS + 1:
        return ordered
    return [*ordered[:_MOST_ROWS], reduce(Amount.__add__, ordered[_MOST_ROWS:], Amount(word=OTHERS))]


def _standing(measure: Measure, amounts: Sequence[Amount]) -> Chart:
    scale = NumberScale(most=_top(amounts), bottom=_BOTTOM, top=_TOP)
    step = (_RIGHT - _LEFT) / max(len(amounts), 1)
    width = round(max(step * 0.78, step - 10), 2)
    first = _LEFT + (step - width) / 2
    bars = [_stand(amount, round(first + step * n, 2), width, scale) for n, amount in enumerate(amounts)]
    every = -(-len(bars) // _MOST_WORDS) or 1
    return Chart(
        measure=measure,
        total=_total(amounts),
        bars=bars,
        ticks=scale.ticks(),
        words=[Tick(at=bar.middle, word=bar.short) for bar in bars[::every]],
        width=WIDTH,
        height=HEIGHT,
        is_standing=True,
    )


def _stand(amount: Amount, x: float, width: float, scale: NumberScale) -> Bar:
    held, running = scale.at(amount.held), scale.at(amount.running)
    return Bar(
        amount=amount,
        x=x,
        y=held,
        width=width,
        height=round(_BOTTOM - held, 1),
        running_x=x,
        running_y=running,
        running_width=width,
        running_height=round(_BOTTOM - running, 1),
        middle=round(x + width / 2, 1),
        short=amount.word[5:] if len(amount.word) > len("2026-11") else amount.word,
    )


def _lying(measure: Measure, amounts: Sequence[Amount]) -> Chart:
    # from left to right, as the other from the bottom to the top
    scale = NumberScale(most=_top(amounts), bottom=_NAMES, top=_NUMBERS)
    bars = [_lie(amount, _TOP + _ROW * n, scale) for n, amount in enumerate(amounts)]
    return Chart(
        measure=measure,
        total=_total(amounts),
        bars=bars,
        ticks=scale.ticks(6),
        words=(),
        width=WIDTH,
        height=_TOP + _ROW * (len(bars) + 1),
        is_standing=False,
    )


def _lie(amount: Amount, y: float, scale: NumberScale) -> Bar:
    held, running = scale.at(amount.held), scale.at(amount.running)
    return Bar(
        amount=amount,
        x=_NAMES,
        y=y,
        width=round(held - _NAMES, 1),
        height=_BAR,
        running_x=_NAMES,
        running_y=y,
        running_width=round(running - _NAMES, 1),
        running_height=_BAR,
        middle=y + _BAR - 5,
        short=amount.word if len(amount.word) <= _WIDEST else f"{amount.word[: _WIDEST - 1]}…",
    )


def _top(amounts: Sequence[Amount]) -> float:
    """The end of the scale: a round number that no amount passes."""
    most = max((amount.held for amount in amounts), default=0.0)
    if most < _LEAST:
        return 1.0
    step = round_step(most / 4)
    return step * -(-most // step)


def _total(amounts: Sequence[Amount]) -> Amount:
    return reduce(Amount.__add__, amounts, Amount(word="total"))
