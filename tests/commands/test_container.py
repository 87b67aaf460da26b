"""Every command in every state of a container."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID, uuid4

import pytest
from tests.commands.scenario import ADA, DESKTOP, LIMITS, NOW, SMALL, SPEC, History, given

from calipso.commands import container as commands
from calipso.commands.container import ContainerCommand
from calipso.commands.handling import CONTAINER
from calipso.errors import CalipsoError, Conflict, Invalid, NotFound
from calipso.events import container as facts
from calipso.events.container import State
from calipso.events.envelope import Event
from calipso.events.quota import QuotaReleased, QuotaReserved
from calipso.events.values import FailureReason, Identity, Placement

ID = UUID("dddddddd-dddd-4ddd-8ddd-dddddddddddd")
US, THEM = "docker-a/1", "docker-a/2"
DEADLINE = NOW + timedelta(minutes=5)
LATE = DEADLINE
PLACEMENT = Placement(runtime_id="9f86", name="calipso-dd", host="10.0.0.7", port=5901)

reserved = QuotaReserved(user_id=ADA, container_id=ID, label="S1", resources=SMALL, limits=LIMITS)
released = QuotaReleased(user_id=ADA, container_id=ID)
requested = facts.ContainerRequested(
    container_id=ID,
    user_id=ADA,
    target="docker-a",
    image_id=DESKTOP,
    image_name="desktop",
    image=SPEC,
    resources=SMALL,
    label="S1",
    info="P1",
    session=None,
    identity=Identity(uid=1000, gid=1000),
    volumes=(),
    workdir="",
    key_number=1,
    deadline=DEADLINE,
)


def event(event_type: type[facts.ContainerEvent], **fields: object) -> facts.ContainerEvent:
    return event_type(container_id=ID, user_id=ADA, target="docker-a", **fields)


def stopped_because(reason: str) -> Event:
    return event(facts.ContainerStopped, reason=reason)


def failed_because(reason: FailureReason, detail: str, *log: str) -> Event:
    return event(facts.ContainerFailed, reason=reason, detail=detail, log=log)


claimed = event(facts.ContainerStarting, claimant=US, lease=DEADLINE)
claimed_by_them = event(facts.ContainerStarting, claimant=THEM, lease=DEADLINE)
adopted = event(facts.ContainerAdopted, claimant=US, lease=DEADLINE, reason="found")
started = event(facts.ContainerStarted, placement=PLACEMENT, image_digest="sha256:1")
FORCED = NOW + timedelta(minutes=2)
stop_requested = event(facts.ContainerStopRequested, deadline=FORCED)
removal_requested = event(facts.ContainerRemovalRequested, deadline=FORCED)
removed = event(facts.ContainerRemoved)
lost = event(facts.ContainerLost, reason="absent")
not_started = failed_because(FailureReason.REJECTED, "no such device", "line")
timed_out = failed_because(FailureReason.TIMEOUT, "not usable before its deadline")

HISTORIES: Mapping[State, History] = {
    State.REQUESTED: (REQUESTED := given(reserved, requested)),
    State.STARTING: (STARTING := REQUESTED.and_then(claimed)),
    State.RUNNING: (RUNNING := STARTING.and_then(started)),
    State.STOPPING: (STOPPING := RUNNING.and_then(stop_requested)),
    State.STOPPED: (STOPPED := STOPPING.and_then(stopped_because("stopped on request"), released)),
    State.REMOVED: STOPPED.and_then(removed),
    State.FAILED: STARTING.and_then(not_started, released),
    State.LOST: RUNNING.and_then(lost, released),
}

stop = commands.StopContainer(container_id=ID)
remove = commands.RemoveContainer(container_id=ID)
claim = commands.ClaimContainer(container_id=ID, claimant=US)
claim_of_them = commands.ClaimContainer(container_id=ID, claimant=THEM)
claim_of_the_dead = commands.ClaimContainer(container_id=ID, claimant=THEM, dead=US)
adopt = commands.AdoptContainer(container_id=ID, claimant=THEM, dead=US, reason="found")
record_started = commands.RecordContainerStarted(
    container_id=ID, claimant=US, placement=PLACEMENT, image_digest="sha256:1"
)
record_failed = commands.RecordContainerFailed(
    container_id=ID, reason=FailureReason.REJECTED, detail="no such device", log=("line",)
)
record_ended_well = commands.RecordContainerEnded(container_id=ID, exit_code=0)
record_ended_badly = commands.RecordContainerEnded(container_id=ID, exit_code=137, detail="killed", log=("line",))
record_stopped = commands.RecordContainerStopped(container_id=ID)
record_removed = commands.RecordContainerRemoved(container_id=ID)
record_lost = commands.RecordContainerLost(container_id=ID, reason="absent")
expire = commands.ExpireContainer(container_id=ID)
end = commands.EndContainer(container_id=ID, reason="the rack is gone")

Expected = list[Event] | CalipsoError
NONE: Expected = []
ASKED_TO_GO: Expected = [removal_requested]


def no_claim(state: str) -> Expected:
    return Conflict("claim", f"the container is {state}")


def no_start(state: str, claimant: str = US) -> Expected:
    return Conflict("start", f"the container is {state}, claimed by {claimant}")


ENDED_WELL = stopped_because("ended with exit code 0")
CRASHED = failed_because(FailureReason.CRASHED, "killed", "line")
ENDED = failed_because(FailureReason.ENDED, "the rack is gone")
ADOPTED = event(facts.ContainerAdopted, claimant=THEM, lease=DEADLINE, reason="found")
NO_CLAIM = [no_claim(state) for state in ("running", "stopping", "stopped", "removed", "failed", "lost")]
HELD = Conflict("claim", "docker-a/1 holds it")

# one row for each command; columns: requested, starting, running, stopping, stopped, removed, failed, lost
MATRIX: list[tuple[str, ContainerCommand, list[Expected]]] = [
    (
        "stop",
        stop,
        [
            [stop_requested, stopped_because("stopped before its start"), released],
            [stop_requested],
            [stop_requested],
            *[NONE] * 5,
        ],
    ),
    (
        "remove",
        remove,
        [
            [stop_requested, stopped_because("stopped before its start"), removal_requested, removed, released],
            *[ASKED_TO_GO] * 4,
            *[NONE] * 3,
        ],
    ),
    ("claim", claim, [[claimed], NONE, *NO_CLAIM]),
    ("claim what others hold", claim_of_them, [[claimed_by_them], HELD, *NO_CLAIM]),
    ("claim what the dead held", claim_of_the_dead, [[claimed_by_them], [claimed_by_them], *NO_CLAIM]),
    ("adopt", adopt, [[ADOPTED], [ADOPTED], *NO_CLAIM]),
    (
        "record started",
        record_started,
        [
            no_start("requested", "nobody"),
            [started],
            NONE,
            *[no_start(state) for state in ("stopping", "stopped", "removed", "failed", "lost")],
        ],
    ),
    ("record failed", record_failed, [*[[not_started, released]] * 3, *[NONE] * 5]),
    (
        "record ended well",
        record_ended_well,
        [
            *[[failed_because(FailureReason.CRASHED, "the process ended with exit code 0"), released]] * 2,
            [ENDED_WELL, removal_requested, released],
            [ENDED_WELL, released],
            *[NONE] * 4,
        ],
    ),
    (
        "record ended badly",
        record_ended_badly,
        [
            *[[CRASHED, released]] * 2,
            [failed_because(FailureReason.EXITED, "killed", "line"), released],
            [stopped_because("ended with exit code 137"), released],
            *[NONE] * 4,
        ],
    ),
    ("record stopped", record_stopped, [*[[stopped_because("stopped on request"), released]] * 4, *[NONE] * 4]),
    (
        "record removed",
        record_removed,
        [*[[stopped_because("removed"), removed, released]] * 4, [removed], *[NONE] * 3],
    ),
    ("record lost", record_lost, [NONE, NONE, *[[lost, released]] * 2, *[NONE] * 4]),
    ("expire in time", expire, [NONE] * 8),
    ("end", end, [*[[ENDED, released]] * 4, [ENDED], *[NONE] * 3]),
]

CASES = [
    pytest.param(state, command, expected, id=f"{name}, {state}")
    for name, command, row in MATRIX
    for state, expected in zip(HISTORIES, row, strict=True)
]


@pytest.mark.parametrize(("state", "command", "expected"), CASES)
def test_every_command_in_every_state(state: State, command: ContainerCommand, expected: Expected) -> None:
    outcome = HISTORIES[state].when(command)
    if isinstance(expected, CalipsoError):
        outcome.then_error(expected)
    else:
        outcome.then(*expected)


# each adoption is a fact of its own
OBEYED = [
    pytest.param(HISTORIES[state].and_then(*expected), command, id=f"{name}, {state}")
    for name, command, row in MATRIX
    for state, expected in zip(HISTORIES, row, strict=True)
    if not isinstance(expected, CalipsoError) and not isinstance(command, commands.AdoptContainer)
]


@pytest.mark.parametrize(("history", "command"), OBEYED)
def test_a_command_that_was_obeyed_is_achieved(history: History, command: ContainerCommand) -> None:
    history.when(command).then()


def test_the_matrix_is_complete() -> None:
    assert set(HISTORIES) == set(State)
    assert {type(command) for _, command, _ in MATRIX} == set(ContainerCommand.__subclasses__())


@pytest.mark.parametrize("state", State)
def test_only_what_has_not_run_expires(state: State) -> None:
    open_states = {State.REQUESTED, State.STARTING}
    HISTORIES[state].when(expire, now=LATE).then(*([timed_out, released] if state in open_states else []))


def test_a_container_expires_at_its_deadline_and_not_before() -> None:
    REQUESTED.when(expire, now=DEADLINE - timedelta(microseconds=1)).then()


def test_the_reason_of_an_expiry_can_be_said() -> None:
    command = replace(expire, reason=FailureReason.CAPACITY, detail="no room")
    REQUESTED.when(command, now=LATE).then(failed_because(FailureReason.CAPACITY, "no room"), released)


@pytest.mark.parametrize("command", [claim, claim_of_the_dead, adopt], ids=["claim", "claim of the dead", "adopt"])
@pytest.mark.parametrize("history", [REQUESTED, STARTING], ids=["requested", "starting"])
def test_nothing_is_claimed_after_the_deadline(history: History, command: ContainerCommand) -> None:
    history.when(command, now=LATE).then_error(Conflict("claim", "the deadline is over"))


def test_a_claim_ends_with_its_lease() -> None:
    short = event(facts.ContainerStarting, claimant=US, lease=NOW)
    REQUESTED.and_then(short).when(claim_of_them).then(claimed_by_them)


@pytest.mark.parametrize("dead", ["", "docker-a/9"])
def test_a_claim_is_not_taken_over_because_somebody_else_is_dead(dead: str) -> None:
    STARTING.when(replace(claim_of_them, dead=dead)).then_error(HELD)


def test_a_start_is_recorded_by_its_claimant_only() -> None:
    STARTING.when(replace(record_started, claimant=THEM)).then_raises(Conflict, what="start")
    STARTING.and_then(ADOPTED).when(record_started).then_raises(Conflict, what="start")
    STARTING.and_then(ADOPTED).when(replace(record_started, claimant=THEM)).then(started)


def test_a_running_container_is_not_somewhere_else_too() -> None:
    elsewhere = replace(record_started, placement=replace(PLACEMENT, host="10.0.0.8"))
    RUNNING.when(elsewhere).then_raises(Conflict, what="start")


def test_a_stopped_container_waits_for_its_removal() -> None:
    waiting = STOPPED.and_then(removal_requested)
    waiting.when(remove).then()
    waiting.when(stop).then()
    waiting.when(record_removed).then(removed)


def test_a_removal_of_what_is_stopping_is_remembered() -> None:
    waiting = STOPPING.and_then(removal_requested)
    waiting.when(remove).then()
    waiting.when(record_stopped).then(stopped_because("stopped on request"), released)


def test_what_is_not_held_is_not_released() -> None:
    given(requested, claimed).when(record_failed).then(not_started)
    given(reserved, released, requested).when(record_stopped).then(stopped_because("stopped on request"))


def test_an_unknown_container() -> None:
    unknown = uuid4()
    REQUESTED.when(commands.StopContainer(container_id=unknown)).then_error(NotFound("container", str(unknown)))


@pytest.mark.parametrize("reason", ["", "  ", "x" * 501, "a\0b"])
def test_an_administrator_says_why_a_container_ends(reason: str) -> None:
    RUNNING.when(replace(end, reason=reason)).then_raises(Invalid, field="reason")


@pytest.mark.parametrize(
    ("history", "deadline"),
    [
        (RUNNING.and_then(stop_requested), FORCED),
        (RUNNING.and_then(removal_requested), FORCED),
        (STOPPING.and_then(event(facts.ContainerRemovalRequested, deadline=FORCED + timedelta(hours=1))), FORCED),
        (RUNNING.and_then(event(facts.ContainerStopRequested)), None),
    ],
    ids=["stop", "removal", "a removal after a stop gives no more time", "asked before there were deadlines"],
)
def test_an_end_has_a_deadline(history: History, deadline: datetime | None) -> None:
    container = history(CONTAINER, ID)
    assert (container.state, container.stop_deadline) == (State.STOPPING, deadline)
