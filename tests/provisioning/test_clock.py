"""What a clock that leaps does: it moves deadlines, and nothing else; record, quota and world agree all the same."""

import asyncio
from datetime import timedelta

from tests.bus.conftest import until
from tests.provisioning.conftest import House
from tests.provisioning.test_reconciler import look, make_in_world

from calipso.commands.container import ClaimContainer, ExpireContainer, StopContainer
from calipso.events.container import State
from calipso.events.values import FailureReason

HOUR = timedelta(hours=1)


def failure_of(house: House) -> set[FailureReason]:
    found = [house.container(c).failure for c in house.requested()]
    return {failure.reason for failure in found if failure}


async def test_a_leap_forward_ends_what_is_open_and_a_relaunch_works(house: House) -> None:
    with house.clock(-HOUR):
        waiting, starting = house.request(), house.request()
        house.issue(ClaimContainer(container_id=starting, claimant="here/7"))
        make_in_world(house, starting)
    await look(house.reconciler())
    assert [house.state(c) for c in (waiting, starting)] == [State.FAILED] * 2
    assert failure_of(house) == {FailureReason.TIMEOUT}
    assert house.is_consistent()
    again = house.request()
    await house.provisioner().attend(again)
    assert house.state(again) is State.RUNNING
    assert house.is_consistent()


async def test_a_leap_forward_during_a_start_leaves_nothing_behind(house: House) -> None:
    container_id = house.request("memory/slow?delay=0.5")
    start = asyncio.create_task(house.provisioner().attend(container_id))
    await until(lambda: bool(house.in_world()))
    with house.clock(HOUR):
        house.issue(ExpireContainer(container_id=container_id))
    await start
    assert house.state(container_id) is State.FAILED
    assert house.is_consistent()


async def test_a_leap_back_only_makes_deadlines_later(house: House) -> None:
    with house.clock(HOUR):
        waiting, dead = house.request(), house.request()
        house.issue(ClaimContainer(container_id=dead, claimant="here/7"))
    await look(house.reconciler())  # the claim ends with its claimant, whatever its lease says
    assert [house.state(c) for c in (waiting, dead)] == [State.RUNNING] * 2
    assert house.is_consistent()


async def test_a_claim_of_the_living_holds_whatever_its_lease_says(house: House) -> None:
    house.alive = {"here/7"}
    with house.clock(HOUR):
        container_id = house.request()
        house.issue(ClaimContainer(container_id=container_id, claimant="here/7"))
    await look(house.reconciler())
    assert (house.state(container_id), house.in_world()) == (State.STARTING, set())


async def test_a_stop_is_done_whichever_way_the_clock_leaps(house: House) -> None:
    early, late = house.request(), house.request()
    for container_id in (early, late):
        await house.provisioner().attend(container_id)
    with house.clock(-HOUR):
        house.issue(StopContainer(container_id=early))
    with house.clock(HOUR):
        house.issue(StopContainer(container_id=late))
    await look(house.reconciler())
    assert [house.state(c) for c in (early, late)] == [State.STOPPED] * 2
    assert house.is_consistent()
