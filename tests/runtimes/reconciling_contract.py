"""What the reconciler does on every runtime: ours is looked after, others' is not touched, silence proves nothing."""

import asyncio
from datetime import timedelta
from uuid import UUID

import pytest
from tests.provisioning.conftest import House
from tests.runtimes.binding import Binding
from tests.runtimes.orders import order

from calipso.commands.container import ClaimContainer, RecordContainerFailed
from calipso.commands.dispatch import cause_of
from calipso.events.container import State
from calipso.events.quota import QuotaReserved
from calipso.events.target import OrphanRemoved
from calipso.events.values import FailureReason, Limits
from calipso.runtimes.protocol import ContainerRuntime, Order
from calipso.runtimes.provisioner import Provisioner
from calipso.runtimes.reconciler import Reconciler


class Record:
    """The record of one target, and who looks after it."""

    def __init__(self) -> None:
        self.house = House()

    def request(self, wanted: Order) -> UUID:
        """Store the request of an order."""
        request = wanted.request
        limits = Limits(containers=9, resources=request.resources)
        reserved = QuotaReserved(
            user_id=request.user_id,
            container_id=request.container_id,
            label=request.container_id.hex,
            resources=request.resources,
            limits=limits,
        )
        self.house.store.append([reserved, request], expected={}, cause=cause_of("service:test"))
        return request.container_id

    def fail(self, wanted: Order) -> None:
        """Store that an order has ended."""
        command = RecordContainerFailed(container_id=self.request(wanted), reason=FailureReason.TIMEOUT, detail="")
        self.house.issue(command)

    def reconciler(self, runtime: ContainerRuntime) -> Reconciler:
        made = self.house.provisioner()
        provisioner = Provisioner(
            target=made.target,
            runtime=runtime,
            dispatcher=made.dispatcher,
            keys=made.keys,
            holdings=made.holdings,
            capacity_lock=made.capacity_lock,
            claimant="here/0",
            stop_grace=timedelta(seconds=1),
        )
        return self.house.reconciler(provisioner)

    async def look(self, runtime: ContainerRuntime) -> None:
        """Look at all once, and finish what that began."""
        reconciler = self.reconciler(runtime)
        await reconciler.look_at_all()
        await reconciler.settled()

    def orphans(self) -> list[tuple[UUID, str]]:
        """What was removed as an orphan, each with the reason."""
        stored = [recorded.event for recorded in self.house.store.read(after=0, limit=1000).events]
        return [(event.container_id, event.reason) for event in stored if isinstance(event, OrphanRemoved)]


class ReconcilingContract:
    """The tests; a subclass needs a fixture `binding`."""

    @pytest.fixture
    def record(self) -> Record:
        return Record()

    async def test_the_reconciler_touches_nothing_but_what_is_ours(self, binding: Binding, record: Record) -> None:
        here, theirs = binding.runtime("here"), binding.runtime("here", "theirs")
        there = binding.runtime("there")
        ours, of_theirs, of_there, of_strangers = (order(binding.image("tiny")) for _ in range(4))
        await asyncio.to_thread(here.start, ours)
        await asyncio.to_thread(theirs.start, of_theirs)
        await asyncio.to_thread(there.start, of_there)
        await asyncio.to_thread(binding.occupy, of_strangers.name)
        for wanted in (ours, of_theirs, of_there, of_strangers):
            record.fail(wanted)  # whatever of it is seen here is an orphan

        await record.look(here)
        for wanted in (of_theirs, of_there, of_strangers):
            await record.reconciler(here).provisioner.clear(wanted.request.container_id)

        assert record.orphans() == [(ours.request.container_id, "its record has ended")]
        assert await asyncio.to_thread(here.list) == {}
        assert set(await asyncio.to_thread(theirs.list)) == {of_theirs.request.container_id}
        assert set(await asyncio.to_thread(there.list)) == {of_there.request.container_id}
        assert await asyncio.to_thread(binding.is_occupied, of_strangers.name)

    async def test_an_unknown_container_of_ours_is_told_and_left(self, binding: Binding, record: Record) -> None:
        here, wanted = binding.runtime("here"), order(binding.image("tiny"))
        await asyncio.to_thread(here.start, wanted)
        await record.look(here)
        assert set(await asyncio.to_thread(here.list)) == {wanted.request.container_id}
        assert record.orphans() == []

    async def test_unreachable_is_never_lost_and_absent_is(self, binding: Binding, record: Record) -> None:
        here, away = binding.runtime("here"), binding.away()
        wanted = order(binding.image("tiny"))
        container_id = record.request(wanted)
        await record.look(here)
        assert record.house.state(container_id) is State.RUNNING
        reconciler = record.reconciler(away)
        for _ in range(3):
            await reconciler.look_at_all()
            await asyncio.sleep(reconciler.lost_grace)
        await reconciler.settled()
        await record.look(here)
        assert record.house.state(container_id) is State.RUNNING

        await asyncio.to_thread(binding.lose, wanted.name)
        reconciler = record.reconciler(here)
        while record.house.state(container_id) is State.RUNNING:
            await reconciler.look_at_all()
            await reconciler.settled()
        assert record.house.state(container_id) in {State.LOST, State.FAILED}

    async def test_what_a_dead_provisioner_made_is_adopted(self, binding: Binding, record: Record) -> None:
        here, wanted = binding.runtime("here"), order(binding.image("tiny"))
        container_id = record.request(wanted)
        record.house.issue(ClaimContainer(container_id=container_id, claimant="here/7"))
        started = await asyncio.to_thread(here.start, wanted)
        await record.look(here)
        assert record.house.events(container_id)[1:] == ["ContainerStarting", "ContainerAdopted", "ContainerStarted"]
        placement = record.house.container(container_id).placement
        assert placement is not None
        assert placement.runtime_id == started.runtime_id
