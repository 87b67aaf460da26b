"""The provisioner makes the world follow the record, whatever comes in between."""

import asyncio
from collections.abc import Callable
from uuid import uuid4

import pytest
from tests.builders import PLACEMENT
from tests.conftest import PATIENCE, wait_until
from tests.provisioning.conftest import House

from calipso.commands.container import AdoptContainer, RecordContainerStarted, RemoveContainer, StopContainer
from calipso.events.container import ContainerRequested, State
from calipso.events.naming import container_name
from calipso.events.values import FailureReason


async def until(condition: Callable[[], bool]) -> None:
    await asyncio.to_thread(wait_until, condition, "the provisioner")


async def test_a_request_becomes_a_running_container(house: House) -> None:
    container_id = house.request()
    await house.provisioner().attend(container_id)
    assert house.events(container_id) == ["ContainerRequested", "ContainerStarting", "ContainerStarted"]
    placement = house.container(container_id).placement
    assert placement is not None
    assert placement.port
    assert placement.name == container_name(container_id)
    assert house.is_consistent()


async def test_attending_again_does_nothing(house: House) -> None:
    container_id = house.request()
    provisioner = house.provisioner()
    await asyncio.gather(*(provisioner.attend(container_id) for _ in range(4)))
    assert house.events(container_id) == ["ContainerRequested", "ContainerStarting", "ContainerStarted"]
    assert len(house.in_world()) == 1


async def test_a_message_about_an_unknown_container_is_dropped(house: House) -> None:
    await house.provisioner().attend(uuid4())
    assert not house.in_world()


async def test_two_provisioners_make_one_container(house: House) -> None:
    container_id = house.request("memory/slow?delay=0.3")
    house.alive = {"here/0", "here/1"}
    await asyncio.gather(
        house.provisioner("here/0").attend(container_id), house.provisioner("here/1").attend(container_id)
    )
    assert house.events(container_id) == ["ContainerRequested", "ContainerStarting", "ContainerStarted"]
    assert house.is_consistent()


async def test_stop_and_removal(house: House) -> None:
    container_id = house.request()
    provisioner = house.provisioner()
    await provisioner.attend(container_id)
    house.issue(StopContainer(container_id=container_id))
    await provisioner.attend(container_id)
    assert house.state(container_id) is State.STOPPED
    assert not house.held()
    house.issue(RemoveContainer(container_id=container_id))
    await provisioner.attend(container_id)
    assert house.state(container_id) is State.REMOVED
    assert not house.world.kept


async def test_removal_of_a_running_container_stops_it_first(house: House) -> None:
    container_id = house.request("memory/stubborn?stubborn=1")
    provisioner = house.provisioner()
    await provisioner.attend(container_id)
    house.issue(RemoveContainer(container_id=container_id))
    await provisioner.attend(container_id)
    assert house.events(container_id)[-3:] == ["ContainerRemovalRequested", "ContainerStopped", "ContainerRemoved"]
    assert not house.world.kept
    assert house.is_consistent()


async def test_a_stop_cuts_a_start_short(house: House) -> None:
    container_id = house.request("memory/silent?silent=1")
    provisioner = house.provisioner()
    start = asyncio.create_task(provisioner.attend(container_id))
    await until(lambda: house.state(container_id) is State.STARTING and bool(house.in_world()))
    house.issue(StopContainer(container_id=container_id))
    provisioner.interrupt(container_id)
    await provisioner.attend(container_id)
    await start
    assert house.state(container_id) is State.STOPPED
    assert house.is_consistent()


async def test_a_stop_that_another_provisioner_obeys_leaves_nothing_behind(house: House) -> None:
    container_id = house.request("memory/slow?delay=0.5")
    starting, stopping = house.provisioner("here/0"), house.provisioner("here/1")
    start = asyncio.create_task(starting.attend(container_id))
    await until(lambda: bool(house.in_world()))
    house.issue(RemoveContainer(container_id=container_id))
    await stopping.attend(container_id)
    await start
    assert house.state(container_id) is State.REMOVED
    assert not house.world.kept
    assert house.is_consistent()


@pytest.mark.parametrize(
    ("reference", "reason"),
    [
        ("memory/crash?crash=3", FailureReason.CRASHED),
        ("elsewhere/absent", FailureReason.IMAGE_MISSING),
    ],
)
async def test_a_start_that_fails_is_recorded_and_cleared_away(
    house: House, reference: str, reason: FailureReason
) -> None:
    container_id = house.request(reference)
    await house.provisioner().attend(container_id)
    failure = house.container(container_id).failure
    assert failure is not None
    assert failure.reason is reason
    assert not house.world.kept
    assert house.is_consistent()


async def test_a_container_that_is_never_usable_fails_at_its_deadline() -> None:
    house = House(run_limit=0.5)
    container_id = house.request("memory/silent?silent=1")
    await house.provisioner().attend(container_id)
    failure = house.container(container_id).failure
    assert failure is not None
    assert failure.reason is FailureReason.TIMEOUT
    assert house.is_consistent()


async def test_a_target_that_is_away_fails_the_start(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("calipso.runtimes.provisioner._UNREACHABLE_SECONDS", 0.2)
    container_id = house.request()
    house.world.away.add("here")
    await house.provisioner().attend(container_id)
    failure = house.container(container_id).failure
    assert failure is not None
    assert failure.reason is FailureReason.UNREACHABLE
    assert not house.held()


async def test_a_target_that_comes_back_in_time_starts(house: House) -> None:
    container_id = house.request()
    house.world.away.add("here")
    start = asyncio.create_task(house.provisioner().attend(container_id))
    await until(lambda: house.state(container_id) is State.STARTING)
    house.world.away.clear()
    await start
    assert house.state(container_id) is State.RUNNING


async def test_no_more_than_the_capacity_is_held_and_the_rest_waits() -> None:
    house = House(capacity=3, starts=2, run_limit=PATIENCE)
    provisioner = house.provisioner()
    ids = [house.request() for _ in range(5)]
    tasks = [asyncio.create_task(provisioner.attend(container_id)) for container_id in ids]
    await until(lambda: sum(house.state(c) is State.RUNNING for c in ids) == 3)
    await asyncio.wait(tasks, timeout=1.5)  # meanwhile the others have looked for room again
    running = [c for c in ids if house.state(c) is State.RUNNING]
    assert len(running) == 3 == len(house.in_world())
    for container_id in running:
        house.issue(RemoveContainer(container_id=container_id))
        await provisioner.attend(container_id)
    await asyncio.gather(*tasks)
    assert sum(house.state(c) is State.RUNNING for c in ids) == 2
    assert house.is_consistent()
    house.world.close()


async def test_what_finds_no_room_fails_with_that_reason() -> None:
    house = House(capacity=1, starts=2, run_limit=1.5)
    provisioner = house.provisioner()
    first, second = house.request(), house.request()
    await provisioner.attend(first)
    await provisioner.attend(second)
    failure = house.container(second).failure
    assert failure is not None
    assert failure.reason is FailureReason.CAPACITY
    assert house.is_consistent()
    house.world.close()


async def test_secrets_reach_the_order_and_no_event(house: House) -> None:
    container_id = house.request()
    await house.provisioner().attend(container_id)
    kept = house.world.find(container_name(container_id))
    assert kept is not None
    assert len(kept.order.secret) == 8
    told = "".join(str(recorded.event) for recorded in house.store.read(after=0, limit=100).events)
    assert kept.order.secret not in told
    assert isinstance(kept.order.request, ContainerRequested)


@pytest.mark.parametrize("successor", ["here/0", "here/1"])
async def test_whoever_stood_still_beyond_the_deadline_leaves_alone_what_another_started(successor: str) -> None:
    house = House(run_limit=2)
    container_id = house.request("memory/x?silent")
    stands_still = asyncio.create_task(house.provisioner("here/0").attend(container_id))
    await until(lambda: house.state(container_id) is State.STARTING and bool(house.in_world()))
    # meanwhile its lock went to another, who took the start over
    house.issue(AdoptContainer(container_id=container_id, claimant=successor, dead="here/0", reason="gone"))
    house.issue(
        RecordContainerStarted(container_id=container_id, claimant=successor, placement=PLACEMENT, image_digest="")
    )
    await stands_still
    assert house.state(container_id) is State.RUNNING
    assert house.in_world() == {container_name(container_id)}
    house.world.close()
