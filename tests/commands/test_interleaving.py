"""Whatever commands come, in whatever order and between whichever calls of others: the quota holds."""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from itertools import groupby
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.commands.interrupted import InterruptedStore
from tests.commands.scenario import (
    ADA,
    ADA_MEMBER,
    ADA_REGISTERED,
    BOB,
    LINK,
    NAMING,
    NOW,
    P1,
    P1_ADDED,
    POLICY,
    S1_ADDED,
    SMALL,
    SPEC,
)

from calipso.commands import container as commands
from calipso.commands.dispatch import Dispatcher, cause_of
from calipso.commands.handling import CONTAINER, QUOTA
from calipso.commands.quota import AssignQuota
from calipso.commands.request import RequestContainer, SessionWanted
from calipso.commands.store import Cause
from calipso.errors import CalipsoError, Refused
from calipso.events import container as container_facts
from calipso.events import quota as quota_facts
from calipso.events.container import Container, ContainerRequested
from calipso.events.envelope import Recorded
from calipso.events.image import ImageAdded
from calipso.events.naming import quota_stream
from calipso.events.quota import Quota, QuotaReleased, QuotaReserved
from calipso.events.values import FailureReason, Limits, Placement, Resources

CONTAINERS = [UUID(int=1000 + number) for number in range(30)]
CLAIMANTS = ["docker-a/1", "docker-a/2"]
PLACEMENTS = [Placement(runtime_id=name, name=name) for name in ("one", "one", "two")]
IMAGES = {
    "desktop": SPEC,
    "large": replace(SPEC, resources=Resources(millicores=2500, memory=5 << 30, disk=4 << 30)),
    "link": LINK,
}
FACTS = [
    ADA_REGISTERED,
    replace(ADA_REGISTERED, user_id=BOB, name="bob"),
    P1_ADDED,
    S1_ADDED,
    ADA_MEMBER,
    *(ImageAdded(image_id=NAMING.image(name), name=name, spec=spec) for name, spec in IMAGES.items()),
]
LIMITS_OF = [
    POLICY.limits,
    Limits(containers=0, resources=POLICY.limits.resources),
    Limits(containers=1, resources=POLICY.limits.resources),
    Limits(containers=9, resources=SMALL),
    Limits(containers=4, resources=Resources(millicores=9000, memory=20 << 30, disk=20 << 30)),
]
SESSION = SessionWanted(experiment_id=P1, proposal_id="P1", session_number="S1")

# much of the same, so that commands meet
ids, users, claimants = (
    st.sampled_from(CONTAINERS),
    st.sampled_from([ADA, ADA, ADA, BOB]),
    st.sampled_from([CLAIMANTS[0], *CLAIMANTS]),
)


@st.composite
def requests(draw: st.DrawFn) -> RequestContainer:
    image, session = (
        draw(st.sampled_from(["desktop", "desktop", *IMAGES])),
        draw(st.sampled_from([None] * 4 + [SESSION])),
    )
    return RequestContainer(
        container_id=draw(ids),
        user_id=draw(users),
        image_id=NAMING.image(image),
        image_name=image,
        label="S1" if session else draw(st.sampled_from(["a", "b", "c", "d"])),
        info="",
        session=session,
    )


endings = st.one_of(
    st.builds(commands.StopContainer, container_id=ids),
    st.builds(commands.RemoveContainer, container_id=ids),
    st.builds(
        commands.RecordContainerFailed, container_id=ids, reason=st.sampled_from(FailureReason), detail=st.just("")
    ),
    st.builds(commands.RecordContainerEnded, container_id=ids, exit_code=st.sampled_from([0, 1])),
    st.builds(commands.RecordContainerStopped, container_id=ids),
    st.builds(commands.RecordContainerRemoved, container_id=ids),
    st.builds(commands.RecordContainerLost, container_id=ids, reason=st.just("")),
    st.builds(commands.ExpireContainer, container_id=ids),
)
starts = st.one_of(
    st.builds(commands.ClaimContainer, container_id=ids, claimant=claimants, dead=st.sampled_from(["", *CLAIMANTS])),
    st.builds(commands.AdoptContainer, container_id=ids, claimant=claimants, dead=claimants, reason=st.just("")),
    st.builds(
        commands.RecordContainerStarted,
        container_id=ids,
        claimant=claimants,
        placement=st.sampled_from(PLACEMENTS),
        image_digest=st.just(""),
    ),
)
assignments = st.builds(AssignQuota, user_id=users, limits=st.sampled_from(LIMITS_OF))


@dataclass(frozen=True)
class Wait:
    """Time passes."""

    minutes: int


waits = st.builds(Wait, st.sampled_from([1, 6]))
KINDS = [*[requests()] * 8, *[starts] * 4, *[endings] * 4, assignments, waits]
steps = st.sampled_from(KINDS).flatmap(lambda kind: kind)
scripts, slips = st.lists(steps, min_size=8, max_size=60), st.lists(st.booleans(), min_size=8, max_size=200)


@dataclass
class World:
    """A store, and dispatchers of processes, which take turns; who is in the middle of a command is not free."""

    store: InterruptedStore = field(default_factory=InterruptedStore)
    minutes: int = 0
    outcomes: list[tuple[object, Cause, Sequence[Recorded] | Refused | None]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.store.append(FACTS, expected={}, cause=cause_of("service:test"))
        self.free = deque([self.process(), self.process()])

    def process(self) -> Dispatcher:
        return Dispatcher(self.store, POLICY, clock=lambda: NOW + timedelta(minutes=self.minutes))

    def issue(self, command: object, cause: Cause) -> Sequence[Recorded] | Refused | None:
        """What was stored or refused; None when something else was said against it."""
        process = self.free.popleft() if self.free else self.process()
        try:
            return process.dispatch(command, cause)
        except Refused as refused:
            return refused
        except CalipsoError:
            return None
        finally:
            self.free.append(process)

    def run(self, script: Iterable[object], slips: Iterable[bool] = ()) -> None:
        """Issue all commands; each `slip` lets the next command through in the middle of the one before."""
        waiting, turns = iter(script), iter(slips)

        def interrupt() -> None:
            if next(turns, False) and (command := next(waiting, None)) is not None:
                step(command)

        def step(command: object) -> None:
            if isinstance(command, Wait):
                self.minutes += command.minutes
                return
            command, cause = self.meeting(command), cause_of("service:test")
            self.outcomes.append((command, cause, self.issue(command, cause)))

        self.store.interrupt = interrupt
        for command in waiting:
            step(command)
        self.store.interrupt = lambda: None

    def meeting(self, command: object) -> object:
        """The command, about a container that was granted if there is one."""
        granted = [r.stream for r in self.log() if isinstance(r.event, ContainerRequested)]
        if not isinstance(command, commands.ContainerCommand) or not granted:
            return command
        return replace(command, container_id=granted[command.container_id.int % len(granted)])

    def log(self) -> Sequence[Recorded]:
        return self.store.read(after=len(FACTS), limit=10_000).events


def check_log(log: Sequence[Recorded]) -> tuple[dict[UUID, Quota], dict[UUID, Container | None]]:
    """What must hold at every event and after every transaction; gives what all of it folds to."""
    quotas: dict[UUID, Quota] = {ADA: Quota(), BOB: Quota()}
    containers: dict[UUID, Container | None] = {}
    for _, transaction in groupby(log, key=lambda recorded: recorded.correlation_id):
        for event in (recorded.event for recorded in transaction):
            if isinstance(event, container_facts.ContainerEvent):
                known = containers.get(event.container_id)
                containers[event.container_id] = container_facts.evolve(known, event)
            if isinstance(event, quota_facts.QuotaEvent):
                before = quotas[event.user_id]
                after = quotas[event.user_id] = quota_facts.evolve(before, event)
                if isinstance(event, QuotaReserved):
                    check_reserved(before, event, after)
                if isinstance(event, QuotaReleased):
                    assert event.container_id in before.reservations
        for user_id, quota in quotas.items():
            active = {key for key, c in containers.items() if c and c.is_active and c.request.user_id == user_id}
            assert quota.reservations.keys() == active
    return quotas, containers


def check_reserved(before: Quota, event: QuotaReserved, after: Quota) -> None:
    limits, used = event.limits, after.used()
    assert limits == (before.limits or POLICY.limits)
    assert event.container_id not in before.reservations
    assert event.label not in {held.label for held in before.reservations.values()}
    assert len(after.reservations) <= limits.containers
    assert used.millicores <= limits.resources.millicores
    assert used.memory <= limits.resources.memory
    assert used.disk <= limits.resources.disk


@settings(max_examples=300, deadline=None)
@given(scripts, slips)
def test_the_quota_holds_under_any_interleaving(script: list[object], turns: list[bool]) -> None:
    world = World()
    world.run(script, turns)
    quotas, containers = check_log(world.log())
    for dispatcher in (*world.free, world.process()):
        assert {user_id: dispatcher.state(QUOTA, quota_stream(user_id)) for user_id in quotas} == quotas
        assert {key: dispatcher.state(CONTAINER, key) for key in containers} == containers


@settings(max_examples=80, deadline=None)
@given(scripts, slips)
def test_a_repeated_command_has_its_first_outcome(script: list[object], turns: list[bool]) -> None:
    world = World()
    world.run(script, turns)
    head = world.store.head()
    for command, cause, outcome in world.outcomes:
        if isinstance(outcome, Refused) and world.store.of_command(cause.command_id):
            again = world.issue(command, cause)
            assert (type(again), str(again)) == (type(outcome), str(outcome))
        elif outcome and not isinstance(outcome, Refused):
            assert world.issue(command, cause) == outcome
    assert world.store.head() == head


@settings(max_examples=80, deadline=None)
@given(scripts)
def test_a_command_that_is_achieved_gives_no_events(script: list[object]) -> None:
    world = World()
    for command in script:
        world.run([command])
        # each adoption is a fact, and a container id is given once
        if isinstance(command, Wait | commands.AdoptContainer | RequestContainer):
            continue
        obeyed, _, outcome = world.outcomes[-1]
        assert not outcome or not world.issue(obeyed, cause_of("service:test"))
