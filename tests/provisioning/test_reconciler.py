"""The reconciler makes record and world agree again after whatever happened."""

import asyncio
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Self
from uuid import UUID

import pytest
from tests.conftest import wait_until
from tests.provisioning.conftest import House

from calipso.commands.container import (
    ClaimContainer,
    EndContainer,
    RecordContainerFailed,
    RecordContainerStopped,
    RemoveContainer,
    StopContainer,
)
from calipso.credentials import MasterKeys, vnc_password
from calipso.events.container import ContainerStopped, State
from calipso.events.naming import container_name
from calipso.events.target import OrphanRemoved
from calipso.events.values import FailureReason
from calipso.runtimes.protocol import Order
from calipso.runtimes.reconciler import Reconciler
from calipso.runtimes.verdict import Verdict, judge


async def look(reconciler: Reconciler) -> None:
    """Look at all once, and finish what that began."""
    await reconciler.look_at_all()
    await reconciler.settled()


def make_in_world(house: House, container_id: UUID) -> None:
    request = house.container(container_id).request
    secret = vnc_password(MasterKeys({1: b"m" * 32}), 1, container_id)
    house.runtime.start(Order(request=request, name=container_name(container_id), secret=secret))


async def test_a_request_that_the_bus_never_brought_is_started(house: House) -> None:
    container_id = house.request()
    await look(house.reconciler())
    assert house.state(container_id) is State.RUNNING


async def test_the_claim_of_a_dead_provisioner_is_taken_over(house: House) -> None:
    container_id = house.request()
    house.issue(ClaimContainer(container_id=container_id, claimant="here/7"))
    await look(house.reconciler())
    assert house.events(container_id)[1:] == ["ContainerStarting", "ContainerStarting", "ContainerStarted"]


async def test_what_a_dead_provisioner_made_is_adopted(house: House) -> None:
    container_id = house.request()
    house.issue(ClaimContainer(container_id=container_id, claimant="here/7"))
    make_in_world(house, container_id)
    await look(house.reconciler())
    assert house.events(container_id)[1:] == ["ContainerStarting", "ContainerAdopted", "ContainerStarted"]
    assert len(house.in_world()) == 1


async def test_the_claim_of_a_living_provisioner_is_left_alone(house: House) -> None:
    container_id = house.request()
    house.alive = {"here/7"}
    house.issue(ClaimContainer(container_id=container_id, claimant="here/7"))
    await look(house.reconciler())
    assert house.state(container_id) is State.STARTING
    assert not house.in_world()


async def test_a_restarted_provisioner_takes_up_its_own_claim(house: House) -> None:
    container_id = house.request()
    house.alive = {"here/0"}
    house.issue(ClaimContainer(container_id=container_id, claimant="here/0"))
    await look(house.reconciler(house.provisioner("here/0")))
    assert house.state(container_id) is State.RUNNING


async def test_a_request_past_its_deadline_fails() -> None:
    house = House(run_limit=0.05)
    container_id = house.request()
    await asyncio.sleep(0.06)
    await look(house.reconciler())
    failure = house.container(container_id).failure
    assert failure is not None
    assert failure.reason is FailureReason.TIMEOUT
    assert not house.held()


@pytest.mark.parametrize(("exit_code", "state"), [(0, State.REMOVED), (1, State.FAILED)])
async def test_a_process_that_ends_by_itself_is_recorded(house: House, exit_code: int, state: State) -> None:
    container_id = house.request()
    await house.provisioner().attend(container_id)
    house.world.crash(container_name(container_id), exit_code)
    await look(house.reconciler())
    assert house.state(container_id) is state
    assert not house.world.kept
    assert house.is_consistent()


async def test_a_vanished_container_is_lost_after_two_listings(house: House) -> None:
    container_id = house.request()
    await house.provisioner().attend(container_id)
    house.world.lose(container_name(container_id))
    reconciler = house.reconciler()
    await look(reconciler)
    assert house.state(container_id) is State.RUNNING
    await asyncio.sleep(0.06)
    await look(reconciler)
    assert house.state(container_id) is State.LOST
    assert house.is_consistent()


async def test_unreachable_is_not_lost(house: House) -> None:
    container_id = house.request()
    await house.provisioner().attend(container_id)
    reconciler = house.reconciler()
    house.world.away.add("here")
    for _ in range(3):
        await look(reconciler)
        await asyncio.sleep(0.06)
    assert house.state(container_id) is State.RUNNING
    house.world.away.clear()
    await look(reconciler)
    assert house.is_consistent()


async def test_an_orphan_whose_record_has_ended_is_removed_and_recorded(house: House) -> None:
    container_id = house.request()
    make_in_world(house, container_id)
    house.issue(RecordContainerFailed(container_id=container_id, reason=FailureReason.TIMEOUT, detail=""))
    await look(house.reconciler())
    assert not house.world.kept
    stored = [recorded.event for recorded in house.store.read(after=0, limit=100).events]
    assert [event.container_id for event in stored if isinstance(event, OrphanRemoved)] == [container_id]


async def test_an_unknown_container_is_told_and_not_touched(house: House) -> None:
    known, unknown = House(), house
    container_id = known.request()
    unknown.world = known.world
    make_in_world(known, container_id)
    await look(unknown.reconciler())
    assert container_name(container_id) in unknown.in_world()


async def test_a_stop_that_nobody_did_is_done(house: House) -> None:
    container_id = house.request()
    await house.provisioner().attend(container_id)
    house.issue(StopContainer(container_id=container_id))
    await look(house.reconciler())
    assert house.state(container_id) is State.STOPPED
    house.issue(RemoveContainer(container_id=container_id))
    await look(house.reconciler())
    assert house.state(container_id) is State.REMOVED
    assert house.is_consistent()


async def test_a_stopped_container_waits_for_its_removal(house: House) -> None:
    container_id = house.request()
    await house.provisioner().attend(container_id)
    house.issue(StopContainer(container_id=container_id))
    await house.provisioner().attend(container_id)
    await look(house.reconciler())
    assert house.state(container_id) is State.STOPPED
    assert container_name(container_id) in house.world.kept


async def stopping(house: House, reference: str) -> UUID:
    """A container that runs, and whose user wants it stopped; the target does not do it."""
    container_id = house.request(reference)
    await house.provisioner().attend(container_id)
    house.issue(StopContainer(container_id=container_id))
    return container_id


class Later(datetime):
    """A clock by which the deadlines of now are over."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> Self:
        return super().now(tz) + timedelta(days=1)


async def test_what_does_not_stop_is_removed_by_force_at_its_deadline(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    reconciler = house.reconciler()
    container_id = await stopping(house, "memory/wedged?wedged")
    await look(reconciler)
    assert (house.state(container_id), house.held()) == (State.STOPPING, {container_id})
    assert reconciler.trouble == f"container {container_id}: rejected: the process does not end"
    monkeypatch.setattr("calipso.runtimes.reconciler.datetime", Later)
    await look(reconciler)
    (stopped,) = [r.event for r in house.store.load(container_id) if isinstance(r.event, ContainerStopped)]
    assert stopped.reason == "removed by force, for it had not stopped in time"
    assert not house.world.kept
    assert reconciler.trouble == ""
    assert house.is_consistent()


async def test_the_deadline_of_a_stop_wakes_the_reconciler() -> None:
    house = House(stop_limit=0.3)
    container_id = await stopping(house, "memory/wedged?wedged")
    running = asyncio.create_task(house.reconciler().run(period=60, woken=asyncio.Event()))
    await asyncio.to_thread(wait_until, lambda: house.state(container_id) is State.STOPPED, "force")
    running.cancel()
    assert house.is_consistent()


async def test_what_cannot_be_ended_is_told_until_it_is(house: House) -> None:
    house.stop_limit = 0
    reconciler = house.reconciler()
    container_id = await stopping(house, "memory/plain")
    house.world.immortal.add(container_name(container_id))
    await look(reconciler)
    assert house.state(container_id) is State.STOPPING
    assert "the process does not end" in reconciler.trouble
    house.world.immortal.clear()
    await look(reconciler)
    assert house.state(container_id) is State.STOPPED
    assert reconciler.trouble == ""
    assert house.is_consistent()


async def test_a_stop_waits_for_a_target_that_is_away_however_long() -> None:
    house = House(stop_limit=0.05)
    reconciler = house.reconciler()
    container_id = await stopping(house, "memory/plain")
    house.world.away.add("here")
    for _ in range(3):
        await asyncio.sleep(0.06)
        await look(reconciler)
    assert (house.state(container_id), reconciler.trouble) == (State.STOPPING, "")
    house.world.away.clear()
    await look(reconciler)
    assert house.state(container_id) is State.STOPPED
    assert container_name(container_id) in house.world.kept  # it stopped in peace, although its time is over
    assert house.is_consistent()


async def test_a_stopped_container_that_nobody_removes_is_removed(house: House) -> None:
    container_id = await stopping(house, "memory/plain")
    await house.provisioner().attend(container_id)
    await look(house.reconciler())
    assert house.state(container_id) is State.STOPPED
    house.stopped_limit = 0
    await look(house.reconciler())
    assert house.state(container_id) is State.REMOVED
    assert not house.world.kept


@pytest.mark.parametrize("ended", ["starting", "running", "stopping"])
async def test_what_an_administrator_ends_is_cleared_away_when_the_target_is_back(house: House, ended: str) -> None:
    container_id = house.request()
    if ended == "starting":
        house.issue(ClaimContainer(container_id=container_id, claimant="here/7"))
        make_in_world(house, container_id)
    else:
        await house.provisioner().attend(container_id)
    if ended == "stopping":
        house.issue(StopContainer(container_id=container_id))
    house.world.away.add("here")
    house.issue(EndContainer(container_id=container_id, reason="its rack burns"))
    assert (house.state(container_id), house.held()) == (State.FAILED, set())
    reconciler = house.reconciler()
    await look(reconciler)
    assert house.world.kept
    house.world.away.clear()
    await look(reconciler)
    assert not house.world.kept
    stored = [recorded.event for recorded in house.store.read(after=0, limit=100).events]
    assert [event.container_id for event in stored if isinstance(event, OrphanRemoved)] == [container_id]


async def test_claims_of_our_name_are_taken_up_at_once_also_by_one_that_does_not_lead(house: House) -> None:
    mine, others = house.request(), house.request()
    house.alive = {"here/0", "here/1"}
    house.issue(ClaimContainer(container_id=mine, claimant="here/1"))
    house.issue(ClaimContainer(container_id=others, claimant="here/0"))
    restarted = house.reconciler(house.provisioner("here/1"))
    await restarted.take_up_claims()
    await restarted.settled()
    assert (house.state(mine), house.state(others)) == (State.RUNNING, State.STARTING)


def test_verdicts_on_what_is_only_in_the_world(house: House) -> None:
    container_id = house.request()
    now = datetime.now(UTC)
    make_in_world(house, container_id)
    observation = house.runtime.observe(container_id)
    assert judge(None, observation, now, claim_lives=False) is Verdict.UNKNOWN
    container = house.container(container_id)
    assert judge(container, observation, now, claim_lives=False) is Verdict.ATTEND
    assert judge(container, None, now + timedelta(days=1), claim_lives=False) is Verdict.EXPIRE
    house.issue(RecordContainerStopped(container_id=container_id))
    assert judge(house.container(container_id), observation, now, claim_lives=False) is Verdict.NOTHING
