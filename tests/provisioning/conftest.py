"""A provisioner and a reconciler on a store and a world in memory."""

import asyncio
import contextlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from tests.conftest import PATIENCE

from calipso.codec import Codec
from calipso.commands.container import ContainerCommand
from calipso.commands.dispatch import Dispatcher, cause_of
from calipso.commands.handling import CONTAINER, QUOTA
from calipso.commands.image import AddImage
from calipso.commands.policy import Policy
from calipso.commands.request import RequestContainer, TargetOffered
from calipso.commands.user import RegisterUser
from calipso.credentials import MasterKeys
from calipso.events.container import ACTIVE, Container, ContainerRequested, ContainerStopped, State
from calipso.events.naming import Naming, container_name, quota_stream
from calipso.events.values import ImageSpec, Limits, Protocol, Resources, Runtime
from calipso.runtimes.memory import MemoryRuntime, MemoryWorld
from calipso.runtimes.protocol import Target
from calipso.runtimes.provisioner import Provisioner
from calipso.runtimes.reconciler import Reconciler
from calipso.store_memory import MemoryStore
from calipso.vault import MemorySubjectKeys

TARGET = "here"
NAMING = Naming(b"k" * 32)


@dataclass(kw_only=True)
class House:
    """Everything of one target, in memory.

    `alive` are the claimants that live besides the provisioner itself.
    """

    run_limit: float = PATIENCE
    stop_limit: float = 120
    stopped_limit: float = 3600
    capacity: int = 1000
    starts: int = 8
    world: MemoryWorld = field(default_factory=MemoryWorld)
    alive: set[str] = field(default_factory=set)
    told: list[tuple[bool, str]] = field(default_factory=list)
    counting: asyncio.Lock = field(default_factory=asyncio.Lock)

    def __post_init__(self) -> None:
        policy = Policy(
            limits=Limits(containers=50, resources=Resources(millicores=100_000, memory=2**40, disk=2**40)),
            targets={Runtime.DOCKER: (TARGET,)},
            datasets_root="/d",
            output_root="/o",
            uid=1000,
            gid=1000,
            groups=(100,),
            run_limit=timedelta(seconds=self.run_limit),
            stop_limit=timedelta(seconds=self.stop_limit),
            key_number=1,
        )
        self.store = MemoryStore(Codec(MemorySubjectKeys()))
        self._leap = timedelta()
        self.dispatcher = Dispatcher(self.store, policy, clock=lambda: datetime.now(UTC) + self._leap)
        self.user_id = uuid4()
        self.dispatch(RegisterUser(user_id=self.user_id, name_id=NAMING.user_name("ada"), name="ada"))

    @property
    def runtime(self) -> MemoryRuntime:
        return MemoryRuntime(self.world, self._target(), "installation")

    def _target(self) -> Target:
        return Target(name=TARGET, runtime=Runtime.DOCKER, capacity=self.capacity, starts=self.starts)

    def provisioner(self, claimant: str = "here/0") -> Provisioner:
        return Provisioner(
            target=self._target(),
            runtime=self.runtime,
            dispatcher=self.dispatcher,
            keys=MasterKeys({1: b"m" * 32}),
            holdings=self,
            capacity_lock=lambda: self.counting,
            claimant=claimant,
            stop_grace=timedelta(seconds=0.2),
        )

    def reconciler(self, provisioner: Provisioner | None = None) -> Reconciler:
        return Reconciler(
            provisioner=provisioner or self.provisioner(),
            target_id=NAMING.target(TARGET),
            is_alive=lambda claimant: claimant in self.alive,
            lost_grace=0.05,
            stopped_limit=timedelta(seconds=self.stopped_limit),
            told=lambda ok, detail: self.told.append((ok, detail)),
        )

    @contextmanager
    def clock(self, leap: timedelta) -> Iterator[None]:
        """Let commands see a clock that is off by so much, as before or after it leaps."""
        self._leap = leap
        yield
        self._leap = timedelta()

    def requested(self) -> list[UUID]:
        """Every container that was ever requested."""
        stored = [r.event for r in self.store.read(after=0, limit=10_000).events]
        return [event.container_id for event in stored if isinstance(event, ContainerRequested)]

    def dispatch(self, command: object) -> None:
        self.dispatcher.dispatch(command, cause_of("service:test"))

    def open_account(self, name: str) -> UUID:
        """Another account than that of `user_id`."""
        user_id = uuid4()
        self.dispatch(RegisterUser(user_id=user_id, name_id=NAMING.user_name(name), name=name))
        return user_id

    def request(self, reference: str = "memory/plain", *, label: str = "", user_id: UUID | None = None) -> UUID:
        """Request a container of an image that behaves as its reference says."""
        image_id = NAMING.image(reference)
        spec = ImageSpec(
            reference=reference,
            runtime=Runtime.DOCKER,
            protocol=Protocol.HTTP,
            resources=Resources(millicores=1000, memory=2**30),
        )
        with contextlib.suppress(Exception):  # it is there from an earlier request
            self.dispatch(AddImage(image_id=image_id, name=reference.replace("/", "-"), spec=spec))
        container_id = uuid4()
        self.dispatch(
            RequestContainer(
                container_id=container_id,
                user_id=user_id or self.user_id,
                image_id=image_id,
                image_name=reference,
                label=label or container_id.hex,
                info="",
                targets=(TargetOffered(target_id=NAMING.target(TARGET), name=TARGET),),
            )
        )
        return container_id

    def issue(self, command: ContainerCommand) -> None:
        self.dispatch(command)

    def container(self, container_id: UUID) -> Container:
        found = self.dispatcher.state(CONTAINER, container_id)
        assert found is not None
        return found

    def state(self, container_id: UUID) -> State:
        return self.container(container_id).state

    def events(self, container_id: UUID) -> list[str]:
        return [type(recorded.event).__name__ for recorded in self.store.load(container_id)]

    def held(self) -> set[UUID]:
        """The containers that hold a part of the quota."""
        return set(self.dispatcher.state(QUOTA, quota_stream(self.user_id)).reservations)

    def in_world(self) -> set[str]:
        return {name for name, kept in self.world.kept.items() if kept.process.exit_code is None}

    def open_on(self, target: str) -> dict[UUID, State]:
        requested = [r.event for r in self.store.read(after=0, limit=10_000).events]
        containers = [
            self.container(e.container_id)
            for e in requested
            if isinstance(e, ContainerRequested) and e.target == target
        ]
        return {
            c.request.container_id: c.state
            for c in containers
            if c.state in ACTIVE or (c.state is State.STOPPED and c.removal_requested)
        }

    def held_on(self, target: str) -> int:
        return sum(state is not State.REQUESTED for state in self.open_on(target).values())

    def stopped_on(self, target: str, *, before: datetime) -> list[UUID]:
        early = [r.event for r in self.store.read(after=0, limit=10_000).events if r.time < before]
        stopped = [e for e in early if isinstance(e, ContainerStopped) and e.target == target]
        containers = [self.container(e.container_id) for e in stopped]
        return [c.request.container_id for c in containers if c.state is State.STOPPED and not c.removal_requested]

    def is_consistent(self) -> bool:
        """Whether record, quota and world agree, with nothing in between."""
        requested = [r.event for r in self.store.read(after=0, limit=10_000).events]
        containers = [self.container(e.container_id) for e in requested if isinstance(e, ContainerRequested)]
        running = {container_name(c.request.container_id) for c in containers if c.state is State.RUNNING}
        active = {c.request.container_id for c in containers if c.is_active}
        settled = all(
            c.state in {State.RUNNING, State.STOPPED, State.REMOVED, State.FAILED, State.LOST} for c in containers
        )
        return settled and running == self.in_world() and active == self.held()


@pytest.fixture
def house() -> Iterator[House]:
    made = House()
    yield made
    made.world.close()
