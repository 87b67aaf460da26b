"""Followers of one log stay near each other while they catch up, and nobody's trouble holds the others."""

import asyncio
from typing import Any
from uuid import uuid4

import pytest

from calipso.codec import Codec
from calipso.commands.dispatch import cause_of
from calipso.events.envelope import Page
from calipso.events.user import Role, RoleGranted
from calipso.projections import pace as pacing
from calipso.projections.pace import Pace
from calipso.projections.shared_log import SharedLog
from calipso.store_memory import MemoryStore
from calipso.vault import MemorySubjectKeys

pytestmark = pytest.mark.unit
PAGE = 10


async def _is_let_go(task: asyncio.Task[None]) -> bool:
    for _ in range(10):
        await asyncio.sleep(0)
    return task.done()


async def test_who_is_far_ahead_waits_until_the_others_are_near() -> None:
    pace = Pace(lead=5)
    await pace.keep("slow", 10)
    fast = asyncio.create_task(pace.keep("fast", 16))
    assert not await _is_let_go(fast)
    await pace.keep("slow", 11)
    assert await _is_let_go(fast)


async def test_nobody_waits_for_those_who_have_nothing_more() -> None:
    pace = Pace(lead=5)
    await pace.keep("slow", 10)
    fast = asyncio.create_task(pace.keep("fast", 100))
    assert not await _is_let_go(fast)
    await pace.keep("slow", None)
    assert await _is_let_go(fast)


async def test_who_is_alone_or_behind_never_waits() -> None:
    pace = Pace(lead=0)
    await pace.keep("first", 10)
    await pace.keep("second", 10)
    await pace.keep("first", 5)


async def test_who_is_behind_and_silent_is_waited_for_a_moment_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pacing, "_PATIENCE_SECONDS", 0)
    pace = Pace(lead=5)
    await pace.keep("in trouble", 10)
    await pace.keep("fast", 100)


async def test_those_who_keep_pace_read_each_page_once(monkeypatch: pytest.MonkeyPatch) -> None:
    store = MemoryStore(Codec(MemorySubjectKeys()))
    for _ in range(20 * PAGE):
        event = RoleGranted(user_id=uuid4(), role=Role.AUDITOR)
        store.append([event], expected={}, cause=cause_of("service:test"))
    begins: list[int] = []
    read = store.read

    def noted(*, after: int, **given: Any) -> Page:  # noqa: ANN401 - passed on
        begins.append(after)
        return read(after=after, **given)

    monkeypatch.setattr(store, "read", noted)
    log, pace = SharedLog(store), Pace(lead=2 * PAGE)

    async def follow(turns: int) -> None:
        position = 0
        while (page := log.read(after=position, limit=PAGE)).events:
            position = page.last
            for _ in range(turns):
                await asyncio.sleep(0)
            await pace.keep(turns, position)
        await pace.keep(turns, None)

    async with asyncio.timeout(10):
        await asyncio.gather(follow(1), follow(50))
    assert len(begins) == len(set(begins))
