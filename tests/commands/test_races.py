"""Commands that come at the same time: each of them at every call of the others, and all of them at once."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from uuid import uuid4

import pytest
from tests.commands.interrupted import InterruptedStore
from tests.commands.requests import ask, ask_own, held
from tests.commands.scenario import (
    ADA,
    ADA_MEMBER,
    ADA_REGISTERED,
    DESKTOP,
    DESKTOP_ADDED,
    LIMITS,
    NAMING,
    NOW,
    P1,
    P1_ADDED,
    POLICY,
    S1_ADDED,
    SPEC,
)

from calipso.commands.container import ClaimContainer, ExpireContainer, RecordContainerStarted, StopContainer
from calipso.commands.dispatch import Dispatcher, cause_of
from calipso.commands.experiment import RemoveMember
from calipso.commands.handling import CONTAINER, QUOTA
from calipso.commands.image import WithdrawImage
from calipso.commands.quota import AssignQuota
from calipso.commands.request import RequestContainer
from calipso.commands.user import GrantRole, RegisterUser
from calipso.errors import AlreadyLaunched, CalipsoError, Conflict, NotAMember, NotFound, QuotaExceeded
from calipso.events.container import ContainerRequested, ContainerStarted
from calipso.events.naming import quota_stream
from calipso.events.quota import QuotaReleased, QuotaReserved
from calipso.events.refusals import ContainerRequestRefused
from calipso.events.user import Role, RoleGranted, UserRegistered
from calipso.events.values import Placement, Resources

FIVE = replace(LIMITS, containers=5, resources=Resources(millicores=10**6, memory=1 << 50, disk=1 << 50))
MANY_CALLS = 12  # more than any command makes

own = replace(ask_own, container_id=uuid4())
other_own = replace(ask_own, container_id=uuid4(), label="another")
same_session = replace(ask, container_id=uuid4())
claim = ClaimContainer(container_id=ask.container_id, claimant="docker-a/1")
started = RecordContainerStarted(
    container_id=ask.container_id,
    claimant="docker-a/1",
    placement=Placement(runtime_id="9f86", name="calipso-dd"),
    image_digest="",
)
stop = StopContainer(container_id=ask.container_id)
grant = GrantRole(user_id=ADA, role=Role.AUDITOR)


@pytest.fixture
def store() -> InterruptedStore:
    store = InterruptedStore()
    store.append(
        [ADA_REGISTERED, DESKTOP_ADDED, P1_ADDED, S1_ADDED, ADA_MEMBER], expected={}, cause=cause_of("service:test")
    )
    return store


def dispatcher(store: InterruptedStore) -> Dispatcher:
    return Dispatcher(store, replace(POLICY, limits=FIVE), clock=lambda: NOW)


def issue(by: Dispatcher, command: object) -> CalipsoError | None:
    try:
        by.dispatch(command, cause_of("service:test"))
    except CalipsoError as error:
        return error
    return None


def stored(store: InterruptedStore, *event_types: type) -> int:
    return sum(isinstance(recorded.event, event_types) for recorded in store.read(after=0, limit=10_000).events)


def issue_with_another_at(
    store: InterruptedStore, call: int, first: object, second: object
) -> tuple[CalipsoError | None, CalipsoError | None]:
    """The outcome of the first command, and of the second, that goes through at this call of the first."""
    calls, outcomes = iter(range(MANY_CALLS)), list[CalipsoError | None]()
    first_process, second_process = dispatcher(store), dispatcher(store)

    def interrupt() -> None:
        if next(calls, None) == call:
            outcomes.append(issue(second_process, second))

    store.interrupt = interrupt
    outcome = issue(first_process, first)
    store.interrupt = lambda: None
    return outcome, outcomes[0] if outcomes else issue(second_process, second)


at_every_call = pytest.mark.parametrize("call", range(MANY_CALLS))


@at_every_call
def test_one_place_and_two_requests(store: InterruptedStore, call: int) -> None:
    taken = [held(number, f"x{number}") for number in range(4)]
    store.append(taken, expected={}, cause=cause_of("service:test"))
    errors = issue_with_another_at(store, call, own, other_own)
    assert sorted(map(str, errors)) == ["Max machines exceeded", "None"]
    assert stored(store, ContainerRequested) == 1


@at_every_call
def test_one_session_and_two_requests(store: InterruptedStore, call: int) -> None:
    errors = issue_with_another_at(store, call, ask, same_session)
    assert sorted(str(type(error)) for error in errors if error) == [str(AlreadyLaunched)]
    assert stored(store, ContainerRequested) == 1


@at_every_call
@pytest.mark.parametrize(
    ("change", "error"),
    [
        (AssignQuota(user_id=ADA, limits=replace(FIVE, containers=0)), QuotaExceeded),
        (RemoveMember(experiment_id=P1, proposal_id="P1", user_id=ADA), NotAMember),
        (WithdrawImage(image_id=DESKTOP, name="desktop"), NotFound),
    ],
)
def test_what_is_granted_rests_on_what_holds(
    store: InterruptedStore, call: int, change: object, error: type[CalipsoError]
) -> None:
    refusal, _ = issue_with_another_at(store, call, ask, change)
    if refusal is not None:
        assert isinstance(refusal, error)
        assert stored(store, QuotaReserved, ContainerRequested) == 0
    else:
        newest = store.read(after=store.head() - 2, limit=2).events
        assert isinstance(newest[0].event, ContainerRequested), "it was granted before the change"


@at_every_call
def test_a_stop_and_a_start(store: InterruptedStore, call: int) -> None:
    process = dispatcher(store)
    for command in (ask, claim):
        assert issue(process, command) is None
    error, _ = issue_with_another_at(store, call, started, stop)
    assert isinstance(error, Conflict | None)
    assert stored(store, ContainerStarted) == (error is None)


@at_every_call
def test_a_stop_and_an_expiry_release_once(store: InterruptedStore, call: int) -> None:
    assert issue(dispatcher(store), ask) is None
    issue_with_another_at(store, call, stop, ExpireContainer(container_id=ask.container_id))
    assert stored(store, QuotaReleased) == 1


@at_every_call
def test_one_name_and_two_accounts(store: InterruptedStore, call: int) -> None:
    accounts = [RegisterUser(user_id=uuid4(), name_id=NAMING.user_name("bob"), name="bob") for _ in range(2)]
    errors = issue_with_another_at(store, call, *accounts)
    assert errors.count(None) == 1
    assert stored(store, UserRegistered) == 2


@at_every_call
def test_the_same_wish_twice(store: InterruptedStore, call: int) -> None:
    assert issue_with_another_at(store, call, grant, grant) == (None, None)
    assert stored(store, RoleGranted) == 1


def all_at_once(
    store: InterruptedStore, processes: Sequence[Dispatcher], commands: Sequence[object]
) -> list[CalipsoError | None]:
    """Issue commands in threads at one time; every process has decided before any of them has stored anything."""
    together = threading.Barrier(len(commands), timeout=60)
    store.before_append = first_times(len(processes), threading.Barrier(len(processes), timeout=60).wait)

    def issue_one(number: int) -> CalipsoError | None:
        together.wait()
        return issue(processes[number % len(processes)], commands[number])

    with ThreadPoolExecutor(len(commands)) as pool:
        return list(pool.map(issue_one, range(len(commands))))


def first_times(number: int, action: Callable[[], object]) -> Callable[[], None]:
    """Acts at the first calls; a process stores one batch at a time, so they come from as many processes."""
    calls = iter(range(number))

    def act() -> None:
        if next(calls, None) is not None:
            action()

    return act


def own_requests(number: int) -> list[RequestContainer]:
    return [replace(ask_own, container_id=uuid4(), label=f"own {n}") for n in range(number)]


@pytest.mark.parametrize("processes", [1, 4])
def test_forty_at_once_under_a_limit_of_five(store: InterruptedStore, processes: int) -> None:
    dispatchers = [dispatcher(store) for _ in range(processes)]
    errors = all_at_once(store, dispatchers, own_requests(40))
    assert errors.count(None) == 5
    assert {(type(error), str(error)) for error in errors if error} == {(QuotaExceeded, "Max machines exceeded")}
    assert len(dispatchers[0].state(QUOTA, quota_stream(ADA)).reservations) == 5
    assert (stored(store, QuotaReserved), stored(store, ContainerRequested)) == (5, 5)
    assert stored(store, ContainerRequestRefused) == min(35, 10 * processes)


def test_forty_at_once_and_room_for_three_of_them(store: InterruptedStore) -> None:
    room = replace(FIVE, containers=40, resources=replace(FIVE.resources, memory=7 << 30))
    process = Dispatcher(store, replace(POLICY, limits=room), clock=lambda: NOW)
    errors = all_at_once(store, [process], own_requests(40))
    assert errors.count(None) == 3
    assert {str(error) for error in errors if error} == {"Max memory exceeded"}
    assert process.state(QUOTA, quota_stream(ADA)).used().memory == 3 * SPEC.resources.memory


def test_the_same_session_eight_times_at_once(store: InterruptedStore) -> None:
    errors = all_at_once(store, [dispatcher(store)], [replace(ask, container_id=uuid4()) for _ in range(8)])
    assert errors.count(None) == 1
    assert {type(error) for error in errors if error} == {AlreadyLaunched}
    assert stored(store, ContainerRequested) == 1


def test_one_of_eight_claims_holds(store: InterruptedStore) -> None:
    process = dispatcher(store)
    assert issue(process, ask) is None
    errors = all_at_once(store, [process], [replace(claim, claimant=str(number)) for number in range(8)])
    container = process.state(CONTAINER, ask.container_id)
    assert container is not None
    assert [number for number, error in enumerate(errors) if error is None] == [int(container.claimant)]
    assert {type(error) for error in errors if error} == {Conflict}
