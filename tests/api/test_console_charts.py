"""Usage as bars: nothing is lost, nothing leaves the picture, and days without usage are there."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from calipso.api.console.charts import (
    MEASURES,
    OTHERS,
    Amount,
    Chart,
    amounts_of,
    charts,
    largest,
    over_time,
)
from calipso.api.console.usage import csv_of
from calipso.api.usage_objects import UsageRow, columns_of
from calipso.events.usage import By

BEGIN = datetime(2026, 11, 1, 6, tzinfo=UTC)
END = datetime(2026, 11, 4, 6, tzinfo=UTC)


def row(running: float, held: float, **words: str) -> UsageRow:
    return UsageRow(
        containers=1, running_hours=running, running_cpu_hours=2 * running, running_memory_gib_hours=4 * running,
        held_hours=held, held_cpu_hours=2 * held, held_memory_gib_hours=4 * held, **words,  # type: ignore[arg-type]  # words
    )  # fmt: skip


def days(*words: str) -> list[Amount]:
    return [Amount(word=word, running=1, held=2) for word in words]


def test_each_measure_has_a_chart_with_every_day() -> None:
    found = charts([row(3, 4, day="2026-11-02"), row(1, 2, day="2026-11-04")], By.DAY, BEGIN, END)
    assert [chart.measure for chart in found] == list(MEASURES)
    hours, cpus, memory = found
    assert [bar.amount.word for bar in hours.bars] == ["2026-11-01", "2026-11-02", "2026-11-03", "2026-11-04"]
    assert [bar.amount.held for bar in hours.bars] == [0, 4, 0, 2]
    assert [(chart.total.running, chart.total.held) for chart in (hours, cpus, memory)] == [(4, 6), (8, 12), (16, 24)]
    assert [bar.short for bar in hours.bars] == ["11-01", "11-02", "11-03", "11-04"]
    assert hours.most == Amount(word="2026-11-02", running=3, held=4)
    tallest = hours.bars[1]
    assert tallest.running_height == pytest.approx(tallest.height * 3 / 4, abs=0.2)
    assert (tallest.y + tallest.height, tallest.running_y + tallest.running_height) == (hours.bottom, hours.bottom)


def test_a_period_that_ends_at_midnight_has_no_day_after_it() -> None:
    found = over_time(days("2026-11-01"), BEGIN, datetime(2026, 11, 3, tzinfo=UTC))
    assert [amount.word for amount in found] == ["2026-11-01", "2026-11-02"]


@pytest.mark.parametrize(
    ("length", "words"),
    [
        (timedelta(days=123), 10),
        (timedelta(days=400), 7),
        (timedelta(days=365 * 30), 4),
        (timedelta(days=365 * 2000), 4),
    ],
)
def test_long_periods_are_told_by_months_and_years(length: timedelta, words: int) -> None:
    begin = END - length
    found = over_time(days(max(begin, END - timedelta(days=365 * 20)).date().isoformat(), "2026-11-04"), begin, END)
    assert {len(amount.word) for amount in found} == {words}
    assert len(found) <= 124
    assert sum(amount.held for amount in found) == 4
    assert [amount.word for amount in found] == sorted(amount.word for amount in found)


def test_what_was_long_before_the_first_container_is_left_out() -> None:
    found = over_time(days("2026-10-30"), datetime.min.replace(tzinfo=UTC), END)
    assert [amount.word for amount in found] == [
        *("2026-10-30", "2026-10-31", "2026-11-01", "2026-11-02", "2026-11-03", "2026-11-04")
    ]


def test_nothing_used_gives_no_bars() -> None:
    assert [list(chart.bars) for chart in charts([], By.DAY, BEGIN, END)] == [[], [], []]
    assert [chart.most for chart in charts([], By.USER, BEGIN, END)] == [None, None, None]


def test_the_largest_come_first_and_the_others_together() -> None:
    found = largest([Amount(word=f"user-{n}", running=n, held=n) for n in range(40)])
    assert [amount.word for amount in found[:2]] == ["user-39", "user-38"]
    assert (len(found), found[-1].word, found[-1].held) == (16, OTHERS, sum(range(25)))
    assert len(largest([Amount(word=str(n), held=n) for n in range(16)])) == 16


def test_what_has_no_name_has_words() -> None:
    (amount,) = amounts_of([row(1, 1, experiment="")], By.EXPERIMENT, MEASURES[0])
    assert amount.word == "(no experiment)"


def test_long_names_are_cut_in_the_picture_alone() -> None:
    name = "an-image-with-a-name-that-nobody-would-type"
    bar = charts([row(1, 1, image=name)], By.IMAGE, BEGIN, END)[0].bars[0]
    assert bar.amount.word == name
    assert len(bar.short) < len(name)
    assert bar.short.endswith("…")


AMOUNTS = st.lists(
    st.tuples(st.floats(0, 1e9), st.floats(0, 1)).map(lambda given: (given[0] * given[1], given[0])), max_size=60
)


def within(chart: Chart) -> None:
    for bar in chart.bars:
        assert chart.left - 0.1 <= bar.x <= bar.x + bar.width <= chart.right + 0.1
        assert 0 <= bar.y <= bar.y + bar.height <= chart.height
        assert bar.running_width <= bar.width + 0.1
        assert bar.running_height <= bar.height + 0.1
    assert all(0 <= tick.at <= chart.width for tick in chart.ticks)
    assert 2 <= len(chart.ticks) <= 11


@given(AMOUNTS)
@example([(0.0, 5e-324)])
def test_no_bar_leaves_the_picture_and_nothing_is_lost(amounts: list[tuple[float, float]]) -> None:
    users = [row(*hours, user=f"u{n}") for n, hours in enumerate(amounts)]
    dates = [row(*hours, day=f"{BEGIN + timedelta(days=n):%Y-%m-%d}") for n, hours in enumerate(amounts)]
    end = BEGIN + timedelta(days=max(len(amounts), 1))
    for found in (*charts(users, By.USER, BEGIN, end), *charts(dates, By.DAY, BEGIN, end)):
        within(found)
        assert sum(bar.amount.held for bar in found.bars) == pytest.approx(found.total.held)
    standing = charts(dates, By.DAY, BEGIN, end)[0].bars
    assert all(one.x + one.width < other.x for one, other in pairwise(standing))


def test_no_cell_of_the_csv_is_a_formula() -> None:
    text = csv_of([row(1.5, 2, image="=HYPERLINK(1)"), row(0.0, 0.0, image='a "b", c')], columns_of((By.IMAGE,)))
    head, first, second, *rest = text.split("\r\n")
    assert head.startswith("image,containers,running_hours")
    assert first.startswith("'=HYPERLINK(1),1,1.500,3.000,")
    assert second.startswith('"a ""b"", c",1,0.000,')
    assert rest == [""]
