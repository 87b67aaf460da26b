"""Waiting for projections: those that stand still are given up soon, those that come nearer are waited for."""

import asyncio

import pytest
from tests.leaping import in_no_time

from calipso.api.shown import SHOWN_AT_MOST_SECONDS, SHOWN_WITHIN_SECONDS, Shown
from calipso.errors import NotVisibleYet

pytestmark = pytest.mark.unit

OFTEN = SHOWN_WITHIN_SECONDS / 2


async def nearer(shown: Shown, name: str, positions: range) -> None:
    for position in positions:
        await asyncio.sleep(OFTEN)
        shown.tell({name: position})


def now() -> float:
    return asyncio.get_running_loop().time()


@in_no_time
async def test_what_is_shown_is_not_waited_for() -> None:
    shown = Shown()
    shown.tell({"a": 7, "b": 9})
    await shown.until((), 100, "e")
    await shown.until(("a", "b"), 7, "e")
    assert now() == 0


def test_only_what_is_farther_is_news() -> None:
    shown = Shown()
    assert shown.is_news({"a": 1})
    shown.tell({"a": 7, "b": 9})
    assert not shown.is_news({"a": 7, "b": 8})
    assert shown.is_news({"a": 6, "b": 10})
    assert not shown.is_news({})


@in_no_time
async def test_all_of_them_must_show_it() -> None:
    shown = Shown()
    waiting = asyncio.create_task(shown.until(("a", "b"), 7, "e"))
    await asyncio.sleep(0)
    shown.tell({"a": 7})
    await asyncio.sleep(OFTEN)
    assert not waiting.done()
    shown.tell({"b": 8})
    await waiting
    assert now() == OFTEN


@in_no_time
async def test_a_position_never_goes_back() -> None:
    shown = Shown()
    shown.tell({"a": 7})
    shown.tell({"a": 3})
    await shown.until(("a",), 7, "e")
    assert now() == 0


@in_no_time
async def test_one_that_comes_nearer_is_waited_for() -> None:
    shown = Shown()
    moving = asyncio.create_task(nearer(shown, "a", range(1, 8)))
    await shown.until(("a",), 7, "e")
    assert now() == pytest.approx(7 * OFTEN)
    await moving


@pytest.mark.parametrize("others", [(), ("b",)])
@in_no_time
async def test_one_that_stands_still_is_given_up_whatever_others_do(others: tuple[str, ...]) -> None:
    shown = Shown()
    moving = asyncio.create_task(nearer(shown, "b", range(1, 5)))
    with pytest.raises(NotVisibleYet) as caught:
        await shown.until(("a", *others), 7, "e")
    assert now() == pytest.approx(SHOWN_WITHIN_SECONDS)
    assert (caught.value.projections, caught.value.event_id) == (tuple(sorted(("a", *others))), "e")
    await moving


@in_no_time
async def test_one_that_comes_nearer_too_slowly_is_given_up() -> None:
    shown = Shown()
    moving = asyncio.create_task(nearer(shown, "a", range(1, 100)))
    with pytest.raises(NotVisibleYet):
        await shown.until(("a",), 1000, "e")
    assert now() == pytest.approx(SHOWN_AT_MOST_SECONDS)
    moving.cancel()


@in_no_time
async def test_nobody_who_went_away_is_remembered() -> None:
    shown = Shown()
    tasks = [asyncio.create_task(shown.until(("a", "b"), position, "e")) for position in (5, 5, 9)]
    await asyncio.sleep(0)
    shown.tell({"a": 5})
    tasks[0].cancel()
    tasks[2].cancel()
    await asyncio.sleep(0)
    shown.tell({"b": 5})
    await tasks[1]
    await asyncio.gather(*tasks, return_exceptions=True)
    assert now() == 0
    assert shown._waiting == {"a": [], "b": []}
