"""Snapshots of states: they are believed only when they say what the events say, and hold nothing of erased persons."""

import dataclasses
import inspect
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.builders import ADA, record, user_registered, uuid_of
from tests.commands.scenario import POLICY

from calipso.codec import Codec
from calipso.commands import snapshots as kept_by_commands
from calipso.commands.dispatch import Dispatcher, cause_of
from calipso.commands.handling import QUOTA, USER, Fold
from calipso.commands.quota import AssignQuota
from calipso.commands.snapshots import EVERY, mark_of
from calipso.commands.user import RecordLogin
from calipso.database import Database
from calipso.errors import Unavailable
from calipso.events import quota, user
from calipso.events.envelope import Event, Recorded
from calipso.events.naming import quota_stream
from calipso.events.user import Role
from calipso.events.values import Limits, Resources
from calipso.snapshots import SNAPSHOTS_DDL, StoredSnapshots, to_plain, to_state
from calipso.store_memory import MemoryStore
from calipso.vault import MemorySubjectKeys, NoSubjectKeys

LIMITS = Limits(containers=3, resources=Resources(millicores=1, memory=2, disk=3))
NAMES = st.sampled_from(["a", "b", "c", "d"])


def reserved(name: str) -> Event:
    return quota.QuotaReserved(
        user_id=ADA, container_id=uuid_of(name), label=f"secret {name}", resources=Resources(memory=7), limits=LIMITS
    )


QUOTA_EVENTS = st.lists(
    st.one_of(
        NAMES.map(reserved),
        NAMES.map(lambda name: quota.QuotaReleased(user_id=ADA, container_id=uuid_of(name))),
        st.just(quota.QuotaAssigned(user_id=ADA, limits=LIMITS)),
    )
)
USER_EVENTS = st.lists(
    st.one_of(
        st.sampled_from(Role).map(lambda role: user.RoleGranted(user_id=ADA, role=role)),
        st.sampled_from(Role).map(lambda role: user.RoleRevoked(user_id=ADA, role=role)),
        NAMES.map(lambda name: user.ExperimentMarkedFavorite(user_id=ADA, experiment_id=uuid_of(name))),
        NAMES.map(lambda name: user.IdentityLinked(user_id=ADA, issuer="https://idp", subject=name)),
        st.just(user.UserLoggedIn(user_id=ADA, method="local")),
        st.just(user.UserErased(user_id=ADA)),
    )
).map(lambda events: [user_registered(), *events])


@pytest.fixture(scope="module")
def database(make_database: Callable[[], str]) -> Iterator[Database]:
    made = Database(make_database())
    with made.connect() as connection:
        connection.execute(SNAPSHOTS_DDL.encode())
    yield made
    made.close()


@pytest.fixture
def keys() -> MemorySubjectKeys:
    made = MemorySubjectKeys()
    made.make(ADA)
    return made


@pytest.fixture
def stored(database: Database, keys: MemorySubjectKeys) -> StoredSnapshots:
    with database.connect() as connection:
        connection.execute("TRUNCATE snapshots")
    return StoredSnapshots(database, keys)


def folded(fold: Fold[Any], state: object, events: Sequence[Event]) -> Any:  # noqa: ANN401 - of any fold
    for event in events:
        state = fold.evolve(state, event)
    return state


@pytest.mark.parametrize("fold", [QUOTA, USER], ids=lambda fold: str(fold.name))
@given(data=st.data())
def test_a_snapshot_and_the_later_events_are_all_events(fold: Fold[Any], data: st.DataObject) -> None:
    events = data.draw(QUOTA_EVENTS if fold is QUOTA else USER_EVENTS)
    at = data.draw(st.integers(min_value=min(1, len(events)), max_value=len(events)))
    before = folded(fold, fold.initial, events[:at])
    again = before if at == 0 else to_state(fold, json.loads(json.dumps(to_plain(before))))
    assert folded(fold, again, events[at:]) == folded(fold, fold.initial, events)


class Reading(MemoryStore):
    """Remembers how many events it gave."""

    given = 0

    def load_newer(self, versions: Mapping[UUID, int], *, is_tolerant: bool = False) -> Sequence[Recorded]:
        found = super().load_newer(versions, is_tolerant=is_tolerant)
        self.given += len(found)
        return found


@pytest.fixture
def store(keys: MemorySubjectKeys) -> Reading:
    made = Reading(Codec(keys))
    made.append([user_registered()], expected={}, cause=cause_of("service:test"))
    return made


def sign_in(dispatcher: Dispatcher, times: int) -> None:
    for _ in range(times):
        dispatcher.dispatch(RecordLogin(user_id=ADA, method="local"), cause_of("service:test"))


def cold(store: Reading, stored: StoredSnapshots) -> user.User | None:
    """What a process sees that has just begun, and how many events it had to read for that."""
    store.given = 0
    return Dispatcher(store, POLICY, snapshots=stored).state(USER, ADA)


def test_a_process_that_begins_reads_the_last_events_only(store: Reading, stored: StoredSnapshots) -> None:
    sign_in(Dispatcher(store, POLICY, snapshots=stored), 3 * EVERY)
    assert cold(store, stored) == Dispatcher(store, POLICY).state(USER, ADA)
    assert cold(store, stored) is not None
    assert store.given == 1  # one behind the last multiple


def test_who_had_to_read_much_leaves_a_snapshot(store: Reading, stored: StoredSnapshots) -> None:
    sign_in(Dispatcher(store, POLICY), 2 * EVERY)
    cold(store, stored)
    assert store.given == 2 * EVERY + 1
    cold(store, stored)
    assert store.given == 0


def test_what_other_rules_folded_is_not_believed(
    store: Reading, stored: StoredSnapshots, monkeypatch: pytest.MonkeyPatch
) -> None:
    sign_in(Dispatcher(store, POLICY, snapshots=stored), 2 * EVERY)
    monkeypatch.setattr("calipso.snapshots.mark_of", lambda fold: f"{mark_of(fold)} of another time")
    cold(store, stored)
    assert store.given == 2 * EVERY + 1
    cold(store, stored)
    assert store.given == 0


def test_the_mark_of_a_fold_follows_its_file(monkeypatch: pytest.MonkeyPatch) -> None:
    marks = {mark_of(QUOTA), mark_of(USER)}
    read = inspect.getsource
    monkeypatch.setattr(inspect, "getsource", lambda file: read(file) + "# a change\n")
    kept_by_commands._digest.cache_clear()
    try:
        assert not {mark_of(QUOTA), mark_of(USER)} & marks
    finally:
        monkeypatch.undo()
        kept_by_commands._digest.cache_clear()


def test_nothing_of_a_person_stands_in_it_and_an_erased_one_has_none(
    database: Database, stored: StoredSnapshots, keys: MemorySubjectKeys
) -> None:
    stream = quota_stream(ADA)
    state = folded(QUOTA, QUOTA.initial, [reserved("a")])
    stored.keep(QUOTA, stream, ADA, 1, state)
    with database.connect() as connection:
        (row,) = connection.execute("SELECT * FROM snapshots").fetchall()
    assert "secret" not in str(row)
    assert stored.find({stream: QUOTA}) == {stream: (1, state)}
    keys.destroy(ADA)
    assert stored.find({stream: QUOTA}) == {}
    stored.keep(QUOTA, stream, ADA, 2, state)
    with database.connect() as connection:
        assert [r["version"] for r in connection.execute("SELECT version FROM snapshots").fetchall()] == [1]


@pytest.mark.parametrize(
    "change", ["version = version + 1", "sealed = 'AAAA' || sealed", "subject = gen_random_uuid()"]
)
def test_one_that_somebody_changed_does_not_count(database: Database, stored: StoredSnapshots, change: str) -> None:
    stored.keep(QUOTA, quota_stream(ADA), ADA, 1, folded(QUOTA, QUOTA.initial, [reserved("a")]))
    with database.connect() as connection:
        connection.execute(b"UPDATE snapshots SET " + change.encode())
    assert stored.find({quota_stream(ADA): QUOTA}) == {}


def test_an_older_one_does_not_take_the_place_of_a_newer(stored: StoredSnapshots) -> None:
    states = {n: folded(QUOTA, QUOTA.initial, [reserved(str(n))]) for n in (1, 2)}
    for version in (2, 1):
        stored.keep(QUOTA, quota_stream(ADA), ADA, version, states[version])
    assert stored.find({quota_stream(ADA): QUOTA}) == {quota_stream(ADA): (2, states[2])}


def test_a_command_is_obeyed_although_its_snapshot_cannot_be_kept(store: Reading, stored: StoredSnapshots) -> None:
    class Failing(StoredSnapshots):
        tried = 0

        def keep(self, *_: object) -> None:
            Failing.tried += 1
            raise Unavailable("the event store", "away")

    failing = Dispatcher(store, POLICY, snapshots=Failing(stored.database, NoSubjectKeys()))
    for number in range(EVERY):
        limits = dataclasses.replace(LIMITS, containers=number)
        assert failing.dispatch(AssignQuota(user_id=ADA, limits=limits), cause_of("service:test"))
    assert Failing.tried == 1


def test_marks_are_of_one_fold_alone(stored: StoredSnapshots) -> None:
    stored.keep(USER, ADA, ADA, 1, folded(USER, None, [r.event for r in record(user_registered())]))
    assert stored.find({ADA: QUOTA}) == {}
