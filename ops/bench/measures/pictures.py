"""Lines on two axes, as SVG files: distributions of latencies, cost over history, queues over time.

No library: what is drawn is one kind of picture, and a plotting library would bring a dozen packages to lock for it.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

Points = Sequence[tuple[float, float]]

_WIDTH, _HEIGHT = 760, 440
_LEFT, _RIGHT, _TOP, _BOTTOM = 80, 190, 40, 56
_COLOURS = (
    "#1f5fa8",
    "#c2410c",
    "#15803d",
    "#7e22ce",
    "#b45309",
    "#0f766e",
    "#be123c",
    "#475569",
    "#4d7c0f",
    "#a21caf",
)
_MOST_POINTS = 400


@dataclass(frozen=True, kw_only=True)
class Axis:
    """One axis: what it shows, in which unit, and whether each step is ten times the one before."""

    label: str
    is_logarithmic: bool = False

    def scale(self, values: Sequence[float]) -> "_Scale":
        """The places of values, from 0 to 1."""
        if self.is_logarithmic:
            known = [value for value in values if value > 0] or [1.0]
            low, high = math.floor(math.log10(min(known))), math.ceil(math.log10(max(known)))
            high = max(high, low + 1)
            return _Scale(float(low), float(high), True, tuple(10.0**power for power in range(low, high + 1)))
        most = max([*values, 0.0]) or 1.0
        step = 10 ** math.floor(math.log10(most))
        step = next(part * step for part in (0.1, 0.2, 0.25, 0.5, 1) if most / (part * step) <= 8)  # noqa: PLR2004 - ticks
        ticks = tuple(step * number for number in range(math.ceil(most / step) + 1))
        return _Scale(0.0, ticks[-1], False, ticks)


@dataclass(frozen=True)
class _Scale:
    low: float
    high: float
    is_logarithmic: bool
    ticks: Sequence[float]

    def place(self, value: float) -> float:
        if self.is_logarithmic:
            value = math.log10(value) if value > 0 else self.low
        return (value - self.low) / (self.high - self.low)


def draw(path: Path, title: str, x: Axis, y: Axis, lines: Mapping[str, Points]) -> None:
    """Write a picture of some lines, each with its name."""
    points = [point for line in lines.values() for point in line]
    across, up = x.scale([point[0] for point in points]), y.scale([point[1] for point in points])
    inner = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM

    def at(point: tuple[float, float]) -> tuple[float, float]:
        return _LEFT + across.place(point[0]) * inner[0], _TOP + (1 - up.place(point[1])) * inner[1]

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif">',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>',
        _text(_LEFT, 24, title, size=15),
        _text(_LEFT + inner[0] / 2, _HEIGHT - 14, x.label, anchor="middle"),
        f'<g transform="translate(18 {_TOP + inner[1] / 2}) rotate(-90)">{_text(0, 0, y.label, anchor="middle")}</g>',
    ]
    for tick in across.ticks:
        place, _ = at((tick, up.ticks[0]))
        parts += [
            _rule(place, _TOP, place, _TOP + inner[1]),
            _text(place, _HEIGHT - 36, _figure(tick), anchor="middle"),
        ]
    for tick in up.ticks:
        _, place = at((across.ticks[0], tick))
        parts += [
            _rule(_LEFT, place, _LEFT + inner[0], place),
            _text(_LEFT - 6, place + 4, _figure(tick), anchor="end"),
        ]
    for number, (name, line) in enumerate(lines.items()):
        colour = _COLOURS[number % len(_COLOURS)]
        drawn = " ".join(f"{a:.1f},{b:.1f}" for a, b in map(at, _thinned(line)))
        parts.append(f'<polyline fill="none" stroke="{colour}" stroke-width="1.8" points="{drawn}"/>')
        parts.append(_text(_WIDTH - _RIGHT + 12, _TOP + 12 + 18 * number, name, colour=colour))
    path.write_text("\n".join([*parts, "</svg>\n"]))


def distribution(seconds: Sequence[float]) -> Points:
    """The part of operations that took at most so many milliseconds, for a picture of latencies."""
    ordered = sorted(seconds)
    return [(1000 * value, (place + 1) / len(ordered)) for place, value in enumerate(ordered)]


def _thinned(line: Points) -> Points:
    step = max(1, len(line) // _MOST_POINTS)
    return [*line[:-1:step], *line[-1:]]


def _text(x: float, y: float, text: str, *, anchor: str = "start", size: int = 12, colour: str = "#222") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" fill="{colour}">{escape(text)}</text>'
    )


def _rule(x: float, y: float, to_x: float, to_y: float) -> str:
    return f'<line x1="{x:.1f}" y1="{y:.1f}" x2="{to_x:.1f}" y2="{to_y:.1f}" stroke="#ddd"/>'


def _figure(number: float) -> str:
    return f"{number:,.0f}" if number >= 10 or number == int(number) else f"{number:g}"  # noqa: PLR2004 - short
