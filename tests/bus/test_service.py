"""The service of a target: looks at once, when the target tells something, when it is back; and tells how it is."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from tests.bus.conftest import Line, until

from calipso.commands.container import ClaimContainer, StopContainer
from calipso.events.container import State
from calipso.events.naming import container_name


@pytest.fixture(autouse=True)
def _quick_beat(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("calipso.runtimes.service.HEARTBEAT_SECONDS", 0.05)


@asynccontextmanager
async def leading(line: Line) -> AsyncIterator[None]:
    """Let a service run that leads, and that looks by itself once an hour only."""
    async with line.served(leading=contextlib.nullcontext(), period=3600):
        yield


async def test_what_the_bus_never_brought_is_done_at_the_start(line: Line) -> None:
    container_id = line.house.request()
    async with leading(line):
        await until(lambda: line.house.state(container_id) is State.RUNNING)


async def test_claims_of_its_name_are_taken_up_at_once_although_another_leads(line: Line) -> None:
    container_id = line.house.request()
    line.house.alive = {"here/0"}
    line.house.issue(ClaimContainer(container_id=container_id, claimant="here/0"))
    async with line.served():
        await until(lambda: line.house.state(container_id) is State.RUNNING)


@pytest.mark.parametrize(("exit_code", "state"), [(0, State.REMOVED), (7, State.FAILED)])
async def test_what_the_target_tells_is_looked_at_at_once(line: Line, exit_code: int, state: State) -> None:
    house = line.house
    container_id = house.request()
    async with leading(line):
        await until(lambda: house.state(container_id) is State.RUNNING)
        house.world.crash(container_name(container_id), exit_code)
        await until(lambda: house.state(container_id) is state)
        await until(house.is_consistent)


async def test_all_is_looked_at_when_the_target_is_back(line: Line) -> None:
    house = line.house
    running, lost = house.request(), house.request()
    async with leading(line):
        await until(lambda: {house.state(running), house.state(lost)} == {State.RUNNING})
        house.world.away.add("here")
        await until(lambda: house.told[-1] == (False, "target here is not available: it is away"))
        house.world.lose(container_name(lost))
        await asyncio.sleep(2 * 0.05)  # longer than an absent container is believed to come back
        assert house.state(lost) is State.RUNNING
        house.world.away.clear()
        await until(lambda: house.state(lost) is State.LOST)
        assert house.state(running) is State.RUNNING
        await until(lambda: house.told[-1] == (True, "memory"))


async def test_what_does_not_end_is_told_as_long_as_it_does_not(line: Line) -> None:
    house = line.house
    container_id = house.request()
    async with leading(line):
        await until(lambda: house.state(container_id) is State.RUNNING)
        house.world.immortal.add(container_name(container_id))
        house.issue(StopContainer(container_id=container_id))
        house.world.away.add("here")
        await until(lambda: house.told[-1][0] is False)
        house.world.away.clear()  # which wakes the reconciler
        trouble = f"container {container_id}: rejected: the process does not end"
        await until(lambda: house.told[-3:] == [(False, trouble)] * 3)
