"""What many threads of a process ask at one time is decided and stored together, and each gets its own answer."""

import gc
import threading
import weakref
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from uuid import UUID, uuid4

import pytest
from tests.commands.requests import ask_own
from tests.commands.scenario import ADA_REGISTERED, BOB, DESKTOP_ADDED, LIMITS, NOW, POLICY
from tests.conftest import PATIENCE, wait_until

from calipso.codec import Codec
from calipso.commands.dispatch import Dispatcher, cause_of
from calipso.commands.request import RequestContainer
from calipso.commands.store import Append
from calipso.commands.user import GrantRole
from calipso.errors import QuotaExceeded, StaleVersion, Unavailable
from calipso.events.envelope import Recorded
from calipso.events.user import Role, UserRegistered
from calipso.store_memory import MemoryStore
from calipso.vault import MemorySubjectKeys

LIMIT = 4
OTHERS = [UserRegistered(user_id=UUID(int=number), name=f"user{number}") for number in range(1, 9)]


class HeldStore(MemoryStore):
    """Waits until it is let go before it stores; notes how many were stored together, and how often it was read."""

    def __init__(self) -> None:
        super().__init__(Codec(MemorySubjectKeys()))
        self.is_away = False
        self.batches: list[int] = []
        self.looks: list[int] = []
        self.gate = threading.Event()
        facts = [ADA_REGISTERED, UserRegistered(user_id=BOB, name="bob"), DESKTOP_ADDED, *OTHERS]
        self.append(facts, expected={}, cause=cause_of("service:test"))

    def append_all(self, appends: Sequence[Append]) -> Sequence[Sequence[Recorded] | StaleVersion]:
        self.batches.append(len(appends))
        assert self.gate.wait(60)
        return super().append_all(appends)

    def load_newer(self, versions: Mapping[UUID, int], *, is_tolerant: bool = False) -> Sequence[Recorded]:
        self.looks.append(len(versions))
        if self.is_away:
            raise Unavailable("the event store", "away")
        return super().load_newer(versions, is_tolerant=is_tolerant)


@pytest.fixture
def store() -> HeldStore:
    return HeldStore()


@pytest.fixture
def dispatcher(store: HeldStore) -> Dispatcher:
    return Dispatcher(store, replace(POLICY, limits=replace(LIMITS, containers=LIMIT)), clock=lambda: NOW)


def own(user_id: UUID) -> RequestContainer:
    return replace(ask_own, user_id=user_id, container_id=uuid4(), label=uuid4().hex)


@contextmanager
def waiting_behind_one(
    store: HeldStore, dispatcher: Dispatcher, commands: Sequence[object]
) -> Iterator[list[Future[Sequence[Recorded]]]]:
    """The commands wait, in their order, while a first one is being stored; after the block all are answered."""
    gatherer = dispatcher._orders._gatherer
    with ThreadPoolExecutor(len(commands) + 1) as pool:
        first = pool.submit(dispatcher.dispatch, GrantRole(user_id=BOB, role=Role.AUDITOR), cause_of("service:test"))
        wait_until(lambda: store.batches == [1], "the first command to be stored")
        store.looks.clear()
        futures = []
        for number, command in enumerate(commands, 1):
            futures.append(pool.submit(dispatcher.dispatch, command, cause_of("service:test")))
            wait_until(lambda n=number: len(gatherer._waiting) == n, "a command to wait")  # type: ignore[misc]
        yield futures
        store.gate.set()
        assert first.result(60)


def test_requests_of_several_users_are_looked_at_and_stored_together(store: HeldStore, dispatcher: Dispatcher) -> None:
    commands = [own(event.user_id) for event in OTHERS]
    with waiting_behind_one(store, dispatcher, commands) as futures:
        pass
    assert store.batches == [1, len(OTHERS)]
    assert len(store.looks) == 1, "nobody was known: all were looked at by one look"
    for command, future in zip(commands, futures, strict=True):
        assert {recorded.stream for recorded in future.result()} > {command.container_id}


def test_each_request_of_one_user_is_decided_on_what_those_before_left(
    store: HeldStore, dispatcher: Dispatcher
) -> None:
    with waiting_behind_one(store, dispatcher, [own(BOB) for _ in range(LIMIT + 3)]) as futures:
        pass
    assert store.batches == [1] * (1 + LIMIT)
    granted, refused = futures[:LIMIT], futures[LIMIT:]
    assert all(future.result() for future in granted)
    assert {type(future.exception()) for future in refused} == {QuotaExceeded}


def test_many_of_one_user_do_not_hold_back_the_others(store: HeldStore, dispatcher: Dispatcher) -> None:
    others = [own(event.user_id) for event in OTHERS]
    with waiting_behind_one(store, dispatcher, [*(own(BOB) for _ in range(LIMIT)), *others]):
        pass
    assert store.batches == [1, 1 + len(others), *[1] * (LIMIT - 1)]


def test_a_command_that_breaks_fails_alone(store: HeldStore, dispatcher: Dispatcher) -> None:
    good = [own(event.user_id) for event in OTHERS]
    with waiting_behind_one(store, dispatcher, [good[0], "no command", good[1]]) as futures:
        pass
    assert futures[0].result()
    assert isinstance(futures[1].exception(), KeyError)
    assert futures[2].result()


def test_a_command_whose_streams_always_change_is_given_up() -> None:
    class ChangedStore(HeldStore):
        def append_all(self, appends: Sequence[Append]) -> Sequence[Sequence[Recorded] | StaleVersion]:
            self.batches.append(len(appends))
            return [StaleVersion("changed") for _ in appends]

    changed = ChangedStore()
    with pytest.raises(Unavailable, match="too many other commands"):
        Dispatcher(changed, POLICY).dispatch(GrantRole(user_id=BOB, role=Role.AUDITOR), cause_of("service:test"))
    assert len(changed.batches) == 200


def test_a_store_that_is_away_is_told_to_all(store: HeldStore, dispatcher: Dispatcher) -> None:
    with waiting_behind_one(store, dispatcher, [own(event.user_id) for event in OTHERS]) as futures:
        store.is_away = True
    assert {str(future.exception()) for future in futures} == {"the event store is not available: away"}


def test_what_was_answered_leaves_no_garbage(store: HeldStore, dispatcher: Dispatcher) -> None:
    store.gate.set()
    gc.disable()
    try:
        future = dispatcher._orders.submit(own(BOB), cause_of("service:test"))
        order = weakref.ref(future.result(PATIENCE))
        del future
        wait_until(lambda: order() is None, "the thread that led to let go of it")
    finally:
        gc.enable()
