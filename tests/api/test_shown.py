"""Waiting for projections: those that stand still are given up soon, those that come nearer are waited for."""

import asyncio

import pytest

from calipso.api.shown import Shown
from calipso.errors import NotVisibleYet

pytestmark = pytest.mark.unit


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("calipso.api.shown.SHOWN_WITHIN_SECONDS", 0.2)
    monkeypatch.setattr("calipso.api.shown.SHOWN_AT_MOST_SECONDS", 1.0)


async def nearer(shown: Shown, name: str, positions: range) -> None:
    for position in positions:
        await asyncio.sleep(0.1)
        shown.tell({name: position})


async def test_what_is_shown_is_not_waited_for() -> None:
    shown = Shown()
    shown.tell({"a": 7, "b": 9})
    await shown.until((), 100, "e")
    await asyncio.wait_for(shown.until(("a", "b"), 7, "e"), 0.1)


async def test_all_of_them_must_show_it() -> None:
    shown = Shown()
    waiting = asyncio.create_task(shown.until(("a", "b"), 7, "e"))
    await asyncio.sleep(0)
    shown.tell({"a": 7})
    await asyncio.sleep(0.01)
    assert not waiting.done()
    shown.tell({"b": 8})
    await asyncio.wait_for(waiting, 0.1)


async def test_a_position_never_goes_back() -> None:
    shown = Shown()
    shown.tell({"a": 7})
    shown.tell({"a": 3})
    await asyncio.wait_for(shown.until(("a",), 7, "e"), 0.1)


async def test_one_that_comes_nearer_is_waited_for() -> None:
    shown = Shown()
    moving = asyncio.create_task(nearer(shown, "a", range(1, 8)))
    await shown.until(("a",), 7, "e")
    await moving


@pytest.mark.parametrize("others", [(), ("b",)])
async def test_one_that_stands_still_is_given_up_whatever_others_do(others: tuple[str, ...]) -> None:
    shown = Shown()
    moving = asyncio.create_task(nearer(shown, "b", range(1, 5)))
    began = asyncio.get_running_loop().time()
    with pytest.raises(NotVisibleYet) as caught:
        await shown.until(("a", *others), 7, "e")
    assert asyncio.get_running_loop().time() - began < 0.5
    assert (caught.value.projections, caught.value.event_id) == (tuple(sorted(("a", *others))), "e")
    await moving


async def test_one_that_comes_nearer_too_slowly_is_given_up() -> None:
    shown = Shown()
    moving = asyncio.create_task(nearer(shown, "a", range(1, 100)))
    with pytest.raises(NotVisibleYet):
        await shown.until(("a",), 1000, "e")
    moving.cancel()


async def test_nobody_who_went_away_is_remembered() -> None:
    shown = Shown()
    tasks = [asyncio.create_task(shown.until(("a", "b"), position, "e")) for position in (5, 5, 9)]
    await asyncio.sleep(0)
    shown.tell({"a": 5})
    tasks[0].cancel()
    tasks[2].cancel()
    await asyncio.sleep(0.01)
    shown.tell({"b": 5})
    await asyncio.wait_for(tasks[1], 0.1)
    await asyncio.gather(*tasks, return_exceptions=True)
    assert shown._waiting == {"a": [], "b": []}
