"""A message that always fails is given up after bounded tries, is seen, and hinders nobody."""

import asyncio

import pytest
from tests.bus.conftest import FACILITY, Line, until
from tests.conftest import PATIENCE

from calipso.bus import connected
from calipso.bus.dead_letters import DeadLetter
from calipso.commands.container import RemoveContainer, StopContainer
from calipso.errors import NotFound, Unavailable
from calipso.events.container import State
from calipso.events.naming import container_name
from calipso.runtimes.service import MOST_TRIES, queues


async def letters(line: Line, number: int) -> list[DeadLetter]:
    """The dead letters, once there are so many."""
    async with asyncio.timeout(PATIENCE):
        while await line.dead.number() < number:  # noqa: ASYNC110 - what is awaited is not this loop's
            await asyncio.sleep(0.02)
    found = list(await line.dead.read())
    assert len(found) == number
    return found


@pytest.mark.parametrize("payload", [b"", b"{", b"[1]", b'"text"', b'{"id": 1}', b'{"data": {"container_id": "x"}}'])
async def test_what_is_no_message_of_ours_is_given_up_at_once(line: Line, payload: bytes) -> None:
    await line.throw_in("ContainerRequested", payload)
    container_id = line.house.request()
    await line.relay()
    async with line.served():
        await until(lambda: line.house.state(container_id) is State.RUNNING)
        (letter,) = await letters(line, 1)
    assert letter.subject == "calipso.dead.fac.container.ContainerRequested.here"
    assert (letter.queue, letter.tries, letter.payload) == ("provision-here", 1, payload)
    assert letter.reason.startswith("not a message of ours: ")
    assert (letter.position, letter.container_id) == (None, None)


async def test_what_always_fails_is_given_up_after_bounded_tries_and_hinders_nobody(line: Line) -> None:
    house = line.house
    poisoned, other = house.request(), house.request()
    await line.relay()
    async with line.served():
        await until(lambda: {house.state(poisoned), house.state(other)} == {State.RUNNING})
        house.world.immortal.add(container_name(poisoned))
        for container_id in (poisoned, other):
            house.issue(StopContainer(container_id=container_id))
        await line.relay()
        await until(lambda: house.state(other) is State.STOPPED)
        (letter,) = await letters(line, 1)
    assert (letter.tries, letter.queue, letter.container_id) == (MOST_TRIES, "end-here", poisoned)
    assert letter.position == house.store.load(poisoned)[-1].position
    # a runtime's own words are for the log, not for other services
    assert letter.reason == "RuntimeFailed (rejected); the provisioner's log tells more"
    assert house.state(poisoned) is State.STOPPING
    assert poisoned in house.held()


async def test_what_is_tried_again_is_done_when_it_can_be_and_comes_back_when_not(line: Line) -> None:
    house = line.house
    container_id = house.request()
    await line.relay()
    async with line.served():
        await until(lambda: house.state(container_id) is State.RUNNING)
        house.world.immortal.add(container_name(container_id))
        house.issue(RemoveContainer(container_id=container_id))
        await line.relay()
        (letter,) = await letters(line, 1)
        await line.dead.retry(letter.number)
        (again,) = await letters(line, 1)
        assert again.number > letter.number
        assert (again.queue, again.tries, again.container_id) == ("retry-here", MOST_TRIES, container_id)
        house.world.immortal.clear()
        await line.dead.retry(again.number)
        await until(lambda: house.state(container_id) is State.REMOVED)
        assert await line.dead.number() == 0
    assert house.is_consistent()


async def test_a_retry_leaves_the_stream_of_events_as_it_is(line: Line) -> None:
    await line.throw_in("ContainerRequested", b"{")
    async with line.served():
        (letter,) = await letters(line, 1)
        before = await line.bus.tail()
        await line.dead.retry(letter.number)
        (again,) = await letters(line, 1)
        assert again.queue == "retry-here"
        assert await line.bus.tail() == before


async def test_what_ended_whoever_took_it_is_given_up(line: Line) -> None:
    container_id = line.house.request()
    await line.relay()
    taken = 0
    async for delivery in line.bus.deliveries(queues(FACILITY, "here")[0]):
        taken += 1
        assert delivery.attempts == taken
        await delivery.again(0)  # as after the time that a process has which ended
        if taken == MOST_TRIES:
            break
    async with line.served():
        (letter,) = await letters(line, 1)
    assert (letter.tries, letter.container_id) == (MOST_TRIES + 1, container_id)
    assert letter.reason == "every process that took it ended before it was settled"
    assert line.house.state(container_id) is State.REQUESTED  # which the reconciler sees to


async def test_a_target_that_is_away_is_no_fault_of_the_message(line: Line) -> None:
    house = line.house
    container_id = house.request()
    await line.relay()
    async with line.served():
        await until(lambda: house.state(container_id) is State.RUNNING)
        house.world.away.add("here")
        house.issue(StopContainer(container_id=container_id))
        await line.relay()
        await until(lambda: len(house.told) > 2 * MOST_TRIES)
        house.world.away.clear()
        await until(lambda: house.state(container_id) is State.STOPPED)
    assert await line.dead.number() == 0
    assert set(house.told) == {(False, "target here is not available: it is away")}


async def test_ends_do_not_wait_behind_starts(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("calipso.bus._MAX_ACK_PENDING", 2)
    house = line.house
    running = house.request()
    await line.relay()
    async with line.served():
        await until(lambda: house.state(running) is State.RUNNING)
        hanging = [house.request("memory/silent?silent") for _ in range(5)]
        await line.relay()
        await until(lambda: sum(house.state(c) is State.STARTING for c in hanging) == 2)
        house.issue(StopContainer(container_id=running))
        await line.relay()
        await until(lambda: house.state(running) is State.STOPPED)
        # no more are taken from the stream than may be waited for
        assert [house.state(c) for c in hanging].count(State.REQUESTED) == 3


async def test_an_operator_drops_what_is_not_wanted(line: Line) -> None:
    for payload in (b"one", b"two", b"three"):
        await line.throw_in("ContainerStopRequested", payload)
    async with line.served():
        first, second, third = await letters(line, 3)
    await line.dead.drop(second.number)
    assert [letter.number for letter in await line.dead.read()] == [first.number, third.number]
    assert [letter.number for letter in await line.dead.read(after=first.number, limit=1)] == [third.number]
    assert list(await line.dead.read(after=third.number)) == []
    for act in (line.dead.drop, line.dead.retry):
        with pytest.raises(NotFound):
            await act(second.number)


async def test_who_will_not_wait_for_nats_is_told(free_port: int) -> None:
    with pytest.raises(Unavailable, match="NATS"):
        async with connected(f"nats://127.0.0.1:{free_port}", FACILITY, name="test", patience=0.1):
            pass
