"""Dispatch on a store: races, repetitions, refusals."""

import asyncio
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from tests.commands.requests import ask, ask_own, held
from tests.commands.scenario import (
    ADA,
    ADA_MEMBER,
    ADA_REGISTERED,
    BOB,
    DESKTOP_ADDED,
    LIMITS,
    NOW,
    P1_ADDED,
    POLICY,
    S1_ADDED,
)

from calipso.codec import Codec
from calipso.commands.container import ClaimContainer, RecordContainerFailed, RemoveContainer, StopContainer
from calipso.commands.dispatch import Dispatcher, cause_of
from calipso.commands.handling import CONTAINER, QUOTA
from calipso.commands.quota import AssignQuota
from calipso.commands.request import RequestContainer
from calipso.commands.store import Cause
from calipso.commands.user import GrantRole
from calipso.errors import AlreadyLaunched, QuotaExceeded
from calipso.events.container import ContainerRequested, State
from calipso.events.envelope import Recorded
from calipso.events.naming import quota_stream
from calipso.events.quota import QuotaReleased, QuotaReserved
from calipso.events.refusals import ContainerRequestRefused
from calipso.events.user import Role
from calipso.events.values import FailureReason, Resources
from calipso.store_memory import MemoryStore
from calipso.vault import MemorySubjectKeys

FIVE = replace(LIMITS, containers=5, resources=Resources(millicores=10**6, memory=1 << 50, disk=1 << 50))


@pytest.fixture
def store() -> MemoryStore:
    store = MemoryStore(Codec(MemorySubjectKeys()))
    facts = [ADA_REGISTERED, DESKTOP_ADDED, P1_ADDED, S1_ADDED, ADA_MEMBER]
    store.append(facts, expected={}, cause=cause_of("service:test"))
    return store


@pytest.fixture
def dispatcher(store: MemoryStore) -> Dispatcher:
    return Dispatcher(store, replace(POLICY, limits=FIVE), clock=lambda: NOW)


def cause() -> Cause:
    return cause_of("service:test")


def own(number: int) -> RequestContainer:
    return replace(ask_own, container_id=uuid4(), label=f"own {number}")


def stored(store: MemoryStore, event_type: type) -> int:
    return sum(isinstance(recorded.event, event_type) for recorded in store.read(after=0, limit=10_000).events)


def test_an_end_releases_once_whoever_tells_it(store: MemoryStore, dispatcher: Dispatcher) -> None:
    dispatcher.dispatch(ask, cause())
    ends: list[object] = [
        StopContainer(container_id=ask.container_id),
        RemoveContainer(container_id=ask.container_id),
        RecordContainerFailed(container_id=ask.container_id, reason=FailureReason.CRASHED, detail=""),
    ]
    with ThreadPoolExecutor(9) as pool:
        list(pool.map(lambda end: dispatcher.dispatch(end, cause()), ends * 3))
    assert stored(store, QuotaReleased) == 1
    assert not dispatcher.state(QUOTA, quota_stream(ADA)).reservations


def test_a_request_that_is_repeated_finds_its_own_success(store: MemoryStore, dispatcher: Dispatcher) -> None:
    why = cause()
    first = dispatcher.dispatch(ask, why)
    assert [type(recorded.event) for recorded in first] == [QuotaReserved, ContainerRequested]
    assert dispatcher.dispatch(ask, why) == first
    another_process = Dispatcher(store, POLICY)
    assert another_process.dispatch(ask, why) == first
    assert stored(store, ContainerRequested) == 1
    assert stored(store, ContainerRequestRefused) == 0


@pytest.mark.parametrize(
    "command",
    [
        GrantRole(user_id=ADA, role=Role.AUDITOR),
        AssignQuota(user_id=ADA, limits=LIMITS),
        StopContainer(container_id=ask.container_id),
        ClaimContainer(container_id=ask.container_id, claimant="docker-a/1"),
    ],
)
def test_a_command_that_is_repeated_has_its_first_outcome(dispatcher: Dispatcher, command: object) -> None:
    dispatcher.dispatch(ask, cause())
    why = cause()
    first = dispatcher.dispatch(command, why)
    assert first
    assert dispatcher.dispatch(command, why) == first
    assert not dispatcher.dispatch(command, cause()), "it is achieved"


def test_a_refusal_is_repeated_even_when_it_would_be_granted_now(store: MemoryStore, dispatcher: Dispatcher) -> None:
    dispatcher.dispatch(ask, cause())
    why, command = cause(), replace(ask, container_id=uuid4())
    for end in (None, None, RemoveContainer(container_id=ask.container_id)):
        if end is not None:
            dispatcher.dispatch(end, cause())
        with pytest.raises(AlreadyLaunched):
            dispatcher.dispatch(command, why)
    assert stored(store, ContainerRequestRefused) == 1
    assert dispatcher.dispatch(command, cause())


def test_what_is_stored_says_who_and_why(dispatcher: Dispatcher) -> None:
    request_id, event_id = uuid4(), uuid4()
    why = cause_of("provisioner:docker-a", correlation_id=request_id, causation_id=event_id)
    recorded = dispatcher.dispatch(ask, why)[1]
    assert (recorded.actor, recorded.correlation_id, recorded.causation_id) == (
        "provisioner:docker-a",
        request_id,
        event_id,
    )
    first = cause_of("service:test")
    assert first.correlation_id == first.causation_id == first.command_id


def refuse(dispatcher: Dispatcher, user_id: UUID = ADA) -> None:
    with pytest.raises(QuotaExceeded, match="Max machines exceeded"):
        dispatcher.dispatch(replace(ask_own, user_id=user_id, container_id=uuid4()), cause())


def test_refusals_are_stored_at_a_bounded_rate(store: MemoryStore) -> None:
    now = NOW
    none = replace(LIMITS, containers=0)
    store.append([replace(ADA_REGISTERED, user_id=BOB)], expected={}, cause=cause())
    dispatcher = Dispatcher(store, replace(POLICY, limits=none), clock=lambda: now)
    for _ in range(25):
        refuse(dispatcher)
    assert stored(store, ContainerRequestRefused) == 10
    refuse(dispatcher, BOB)
    assert stored(store, ContainerRequestRefused) == 11, "each user has a rate of their own"
    now += timedelta(minutes=1)
    for _ in range(25):
        refuse(dispatcher)
    assert stored(store, ContainerRequestRefused) == 21


def test_a_stored_refusal_has_the_inputs_of_the_decision(store: MemoryStore) -> None:
    store.append([held(1, "x"), held(2, "y"), held(3, "z")], expected={}, cause=cause())
    refuse(Dispatcher(store, POLICY, clock=lambda: NOW))
    refusal = store.read(after=store.head() - 1, limit=1).events[0].event
    assert isinstance(refusal, ContainerRequestRefused)
    assert (refusal.used_containers, refusal.limits, refusal.requested) == (3, LIMITS, DESKTOP_ADDED.spec.resources)
    assert refusal.used == Resources(millicores=3000, memory=6 << 30, disk=3 << 30)


def test_states_are_kept_and_caught_up(store: MemoryStore, dispatcher: Dispatcher) -> None:
    dispatcher.dispatch(ask, cause())
    assert dispatcher.state(CONTAINER, ask.container_id) is dispatcher.state(CONTAINER, ask.container_id)
    Dispatcher(store, POLICY).dispatch(StopContainer(container_id=ask.container_id), cause())
    container = dispatcher.state(CONTAINER, ask.container_id)
    assert container is not None
    assert container.state is State.STOPPED


def test_a_refusal_by_what_is_kept_is_decided_again_on_what_is_stored(
    store: MemoryStore, dispatcher: Dispatcher
) -> None:
    requests = [own(number) for number in range(5)]
    for request in requests:
        dispatcher.dispatch(request, cause())
    other = Dispatcher(store, dispatcher._policy, clock=lambda: NOW)
    other.dispatch(RemoveContainer(container_id=requests[0].container_id), cause())
    failed = RecordContainerFailed(
        container_id=requests[0].container_id, reason=FailureReason.CRASHED, detail="gone meanwhile"
    )
    other.dispatch(failed, cause())
    assert dispatcher.dispatch(own(5), cause())


def test_a_grant_by_what_is_kept_is_refused_by_what_is_stored(store: MemoryStore, dispatcher: Dispatcher) -> None:
    dispatcher.dispatch(own(0), cause())
    other = Dispatcher(store, dispatcher._policy, clock=lambda: NOW)
    for number in range(1, 5):
        other.dispatch(own(number), cause())
    with pytest.raises(QuotaExceeded):
        dispatcher.dispatch(own(5), cause())
    assert stored(store, QuotaReserved) == 5


def test_what_was_achieved_by_another_is_seen_though_it_is_not_kept(store: MemoryStore, dispatcher: Dispatcher) -> None:
    dispatcher.dispatch(ask, cause())
    other = Dispatcher(store, dispatcher._policy, clock=lambda: NOW)
    assert other.dispatch(StopContainer(container_id=ask.container_id), cause())
    assert dispatcher.dispatch(StopContainer(container_id=ask.container_id), cause()) == []


def test_a_user_with_many_requests_is_decided_without_reading_them_again() -> None:
    class CountingStore(MemoryStore):
        loads = 0

        def load_newer(self, versions: Mapping[UUID, int], *, is_tolerant: bool = False) -> Sequence[Recorded]:
            self.loads += 1
            return super().load_newer(versions, is_tolerant=is_tolerant)

    store = CountingStore(Codec(MemorySubjectKeys()))
    facts = [ADA_REGISTERED, DESKTOP_ADDED, P1_ADDED, S1_ADDED, ADA_MEMBER]
    store.append(facts, expected={}, cause=cause())
    dispatcher = Dispatcher(store, replace(POLICY, limits=FIVE), clock=lambda: NOW)
    dispatcher.dispatch(own(0), cause())
    loads = store.loads
    for number in range(1, 5):
        dispatcher.dispatch(own(number), cause())
    assert store.loads == loads


async def test_an_event_loop_waits_in_no_thread_and_has_the_same_outcomes(
    store: MemoryStore, dispatcher: Dispatcher
) -> None:
    first, *others = [own(number) for number in range(6)]
    known = cause()
    granted = await dispatcher.dispatched(first, known)
    assert [recorded.event for recorded in granted] == [r.event for r in store.of_command(known.command_id)]
    assert await dispatcher.dispatched(first, known) == granted
    outcomes = await asyncio.gather(*(dispatcher.dispatched(o, cause()) for o in others), return_exceptions=True)
    assert sorted(type(outcome) is QuotaExceeded for outcome in outcomes) == [False] * 4 + [True]
    assert stored(store, QuotaReserved) == 5
    stop = StopContainer(container_id=first.container_id)
    assert await dispatcher.dispatched(stop, cause())
    assert await dispatcher.dispatched(stop, cause()) == []
