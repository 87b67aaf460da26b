"""Scales of pictures: what is told lies where it is told, and ticks are few and round."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calipso.api.console.scales import NumberScale, TimeScale, round_step

BEGIN = datetime(2026, 11, 20, 13, 58, 30, tzinfo=UTC)


def scale(**length: float) -> TimeScale:
    return TimeScale(begin=BEGIN, end=BEGIN + timedelta(**length), left=100, right=900)


@pytest.mark.parametrize(
    ("length", "words"),
    [
        ({"seconds": 3}, ["13:58:30.0", "13:58:30.5", "13:58:31.0", "13:58:31.5", "13:58:32.0"]),
        ({"minutes": 10}, ["14:00", "14:02", "14:04", "14:06", "14:08"]),
        ({"hours": 20}, ["11-20 15:00", "18:00", "21:00", "11-21 00:00", "03:00", "06:00", "09:00"]),
        ({"days": 40}, ["2026-11-23", "2026-11-30", "2026-12-07", "2026-12-14", "2026-12-21", "2026-12-28"]),
    ],
)
def test_ticks_are_round_times(length: dict[str, float], words: list[str]) -> None:
    found = [tick.word for tick in scale(**length).ticks()]
    assert found[: len(words)] == words
    assert len(found) <= 9


@given(seconds=st.floats(0, 10**9))
def test_ticks_are_few_and_in_order_within_the_scale(seconds: float) -> None:
    places = [tick.at for tick in scale(seconds=seconds).ticks()]
    assert len(places) <= 9
    assert places == sorted(places)
    assert all(100 <= place <= 900 for place in places)


def test_a_time_outside_is_at_the_edge() -> None:
    hour = scale(hours=1)
    assert [hour.at(BEGIN + timedelta(minutes=each)) for each in (-5, 0, 30, 60, 65)] == [100, 100, 500, 900, 900]
    assert scale(seconds=0).at(BEGIN) == 100


def test_numbers_go_up() -> None:
    found = NumberScale(most=10, bottom=120, top=20)
    assert [found.at(number) for number in (0, 5, 10, 11)] == [120, 70, 20, 20]
    assert [tick.word for tick in found.ticks()] == ["0", "5", "10"]
    assert [tick.word for tick in NumberScale(most=0, bottom=1, top=0).ticks()] == ["0"]


@given(least=st.floats(1e-6, 1e12))
def test_steps_are_round(least: float) -> None:
    step = round_step(least)
    assert least * (1 - 1e-6) <= step <= least * 2.5 * (1 + 1e-6)
