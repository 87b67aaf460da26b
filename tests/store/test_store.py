"""One contract for every event store, bound to memory and to PostgreSQL."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from calipso.codec import Codec
from calipso.commands.store import Cause, Store
from calipso.database import Database
from calipso.errors import StaleVersion, Unavailable
from calipso.events.naming import quota_stream
from calipso.events.quota import QuotaReleased
from calipso.events.user import Role, RoleGranted, RoleRevoked, UserRegistered
from calipso.store import PostgresStore
from calipso.store_memory import MemoryStore
from calipso.vault import MemorySubjectKeys


def cause(command_id: UUID | None = None) -> Cause:
    command_id = command_id or uuid4()
    return Cause(command_id=command_id, actor="service:test", correlation_id=command_id, causation_id=command_id)


def granted(user_id: UUID) -> RoleGranted:
    return RoleGranted(user_id=user_id, role=Role.AUDITOR)


@pytest.fixture(scope="module")
def postgres(make_database: Callable[[], str]) -> Iterator[PostgresStore]:
    database = Database(make_database())
    store = PostgresStore(database, Codec(MemorySubjectKeys()))
    store.migrate()
    store.migrate()
    yield store
    database.close()


@pytest.fixture(params=["memory", "postgres"])
def store(request: pytest.FixtureRequest) -> Store:
    if request.param == "memory":
        return MemoryStore(Codec(MemorySubjectKeys()))
    found: PostgresStore = request.getfixturevalue("postgres")
    return found


def test_what_is_appended_is_loaded_with_version_position_time_and_cause(store: Store) -> None:
    user, why, before = uuid4(), cause(), datetime.now(UTC) - timedelta(seconds=1)
    events = [UserRegistered(user_id=user, name="Ada Müller"), granted(user)]
    stored = store.append(events, expected={user: 0}, cause=why)
    assert list(store.load(user)) == list(stored)
    assert [recorded.event for recorded in stored] == events
    assert [recorded.version for recorded in stored] == [1, 2]
    assert stored[1].position > stored[0].position
    assert before < stored[0].time <= stored[1].time
    assert stored[0].time.tzinfo == UTC
    assert {(r.actor, r.correlation_id, r.causation_id) for r in stored} == {
        (why.actor, why.command_id, why.command_id)
    }
    assert stored[0].id != stored[1].id


def test_loading_after_a_version_gives_the_rest(store: Store) -> None:
    user = uuid4()
    store.append([granted(user), granted(user), granted(user)], expected={}, cause=cause())
    assert [recorded.version for recorded in store.load(user, after=1)] == [2, 3]


def test_an_append_comes_through_the_loss_of_its_connection(postgres: PostgresStore) -> None:
    user = uuid4()
    for version in range(1, 4):
        postgres.append([granted(user)], expected={user: version - 1}, cause=cause())
        with postgres._database.appending() as connection:
            lost = connection.info.backend_pid
        with postgres._database.connect() as connection:
            connection.execute("SELECT pg_terminate_backend(%s)", (lost,))
    assert [recorded.version for recorded in postgres.load(user)] == [1, 2, 3]


def test_a_connection_that_the_server_has_ended_is_not_used(postgres: PostgresStore) -> None:
    for _ in range(3):
        with postgres._database.connect() as connection:
            lost = connection.info.backend_pid
        with postgres._database.alone() as connection:
            connection.execute("SELECT pg_terminate_backend(%s, 5000)", (lost,))
        assert postgres.head() == postgres.head()


def test_statements_of_the_store_are_planned_once(make_database: Callable[[], str]) -> None:
    users = [uuid4() for _ in range(12)]
    with closing(Database(make_database(), pool_size=1)) as database:
        store = PostgresStore(database, Codec(MemorySubjectKeys()))
        store.migrate()
        for user in users:
            store.append([granted(user)], expected={user: 0}, cause=cause())
            assert [recorded.stream for recorded in store.load_newer({user: 0})] == [user]
        with database.connect() as connection:
            plans = connection.execute(
                "SELECT custom_plans, generic_plans FROM pg_prepared_statements WHERE statement LIKE '%CROSS JOIN%'"
            ).fetchall()
    assert plans == [{"custom_plans": 0, "generic_plans": len(users)}]


def test_a_stale_version_stores_nothing(store: Store) -> None:
    user, other = uuid4(), uuid4()
    store.append([granted(user)], expected={user: 0}, cause=cause())
    head = store.head()
    with pytest.raises(StaleVersion):
        store.append([granted(other), granted(user)], expected={other: 0, user: 0}, cause=cause())
    assert store.head() == head
    assert not store.load(other)


def test_a_stream_that_was_only_read_is_guarded_too(store: Store) -> None:
    user, other = uuid4(), uuid4()
    store.append([granted(user)], expected={user: 0}, cause=cause())
    with pytest.raises(StaleVersion):
        store.append([granted(other)], expected={user: 0, other: 0}, cause=cause())


def test_a_stream_that_is_not_guarded_takes_the_event_at_any_version(store: Store) -> None:
    user = uuid4()
    for version in (1, 2, 3):
        assert store.append([granted(user)], expected={}, cause=cause())[0].version == version


def test_several_streams_in_one_append(store: Store) -> None:
    user, container = uuid4(), uuid4()
    stored = store.append(
        [granted(user), QuotaReleased(user_id=user, container_id=container), granted(user)],
        expected={user: 0, quota_stream(user): 0},
        cause=cause(),
    )
    assert [(r.stream, r.version) for r in stored] == [(user, 1), (quota_stream(user), 1), (user, 2)]


def test_a_command_repeated_gives_what_it_stored(store: Store) -> None:
    user, why = uuid4(), cause()
    first = store.append([granted(user)], expected={user: 0}, cause=why)
    again = store.append([granted(user)], expected={user: 0}, cause=why)
    assert list(again) == list(first) == list(store.of_command(why.command_id))
    assert len(store.load(user)) == 1


def test_reading_in_pages_of_topics(store: Store) -> None:
    start, user = store.head(), uuid4()
    events = [granted(user), RoleRevoked(user_id=user, role=Role.AUDITOR)] * 3
    store.append(events, expected={}, cause=cause())
    page = store.read(after=start, limit=4, topics=frozenset({RoleRevoked.topic()}))
    assert [type(recorded.event) for recorded in page.events] == [RoleRevoked, RoleRevoked]
    rest = store.read(after=page.last, limit=4)
    assert len(rest.events) == 2
    assert rest.last == store.head()
    assert store.read(after=rest.last, limit=4).last == rest.last


def test_reading_what_concerns_the_reader(store: Store) -> None:
    start, own, other = store.head(), uuid4(), uuid4()
    store.append([granted(own), granted(other), granted(own), granted(other)], expected={}, cause=cause())
    granted_to_own = (own, RoleGranted.topic())
    page = store.read(after=start, limit=9, concerns=lambda *of: of == granted_to_own)
    assert [(recorded.stream, recorded.version) for recorded in page.events] == [(own, 1), (own, 2)]
    assert page.last == store.head()


def test_position_at_a_time(store: Store) -> None:
    user = uuid4()
    stored = store.append([granted(user)], expected={}, cause=cause())[0]
    assert store.position_at(stored.time) >= stored.position
    assert store.position_at(stored.time - timedelta(microseconds=1)) < stored.position
    assert store.position_at(datetime(2000, 1, 1, tzinfo=UTC)) == 0


def test_sixteen_writers_and_a_reader_that_misses_nothing(store: Store) -> None:
    start, each, writers = store.head(), 40, 16
    done = threading.Event()
    seen: list[int] = []

    def follow() -> None:
        position = start
        while not done.is_set() or position < store.head():
            page = store.read(after=position, limit=50)
            seen.extend(recorded.position for recorded in page.events)
            position = page.last

    def write(user: UUID) -> None:
        for _ in range(each):
            store.append([granted(user)], expected={}, cause=cause())

    with ThreadPoolExecutor(writers + 1) as pool:
        follower = pool.submit(follow)
        for writer in [pool.submit(write, uuid4()) for _ in range(writers)]:
            writer.result()
        done.set()
        follower.result()
    assert len(seen) == each * writers
    assert seen == sorted(set(seen))


def test_one_of_many_writers_of_one_version_wins(store: Store) -> None:
    user = uuid4()

    def write(_: int) -> bool:
        try:
            store.append([granted(user)], expected={user: 0}, cause=cause())
        except StaleVersion:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(write, range(8))) == 1


def test_many_commands_at_one_time_are_each_stored_whole_or_not_at_all(store: Store) -> None:
    taken, writers = uuid4(), 16
    store.append([granted(taken)], expected={taken: 0}, cause=cause())

    def write(number: int) -> bool:
        user, is_stale = uuid4(), number % 4 == 0
        expected = {user: 0, quota_stream(user): 0} | ({taken: 0} if is_stale else {taken: 1})
        events = [granted(user), QuotaReleased(user_id=user, container_id=uuid4())]
        try:
            stored = store.append(events, expected=expected, cause=cause())
        except StaleVersion as error:
            return error.stream == str(taken) and is_stale and not store.load_newer({user: 0, quota_stream(user): 0})
        assert [(r.stream, r.version) for r in stored] == [(user, 1), (quota_stream(user), 1)]
        assert stored[1].position == stored[0].position + 1
        return not is_stale and list(store.load(user)) == [stored[0]]

    with ThreadPoolExecutor(writers) as pool:
        assert all(pool.map(write, range(20 * writers)))


def test_loading_what_is_newer_in_several_streams(store: Store) -> None:
    ada, bob, nobody = uuid4(), uuid4(), uuid4()
    store.append([granted(ada), granted(bob), granted(ada), granted(bob)], expected={}, cause=cause())
    newer = store.load_newer({bob: 0, ada: 1, nobody: 0})
    assert [(recorded.stream, recorded.version) for recorded in newer] == [(bob, 1), (ada, 2), (bob, 2)]
    assert not store.load_newer({})


def test_a_database_that_does_not_answer_is_named() -> None:
    database = Database("postgresql://nobody@127.0.0.1:1/none")
    with pytest.raises(Unavailable, match="event store"):
        PostgresStore(database, Codec(MemorySubjectKeys())).head()
    database.close()


def test_events_are_read_at_positions_in_order(store: Store) -> None:
    stored = store.append([granted(uuid4()) for _ in range(4)], expected={}, cause=cause())
    wanted = [stored[2].position, stored[0].position, store.head() + 7]
    assert list(store.at(wanted)) == [stored[0], stored[2]]


def test_a_position_is_found_by_its_time(store: Store) -> None:
    first, last = (store.append([granted(uuid4())], expected={}, cause=cause())[0] for _ in range(2))
    assert store.position_at(first.time - timedelta(days=9999)) == 0
    assert store.position_at(first.time) == first.position
    assert store.position_at(last.time - timedelta(microseconds=1)) == first.position
    assert store.position_at(last.time + timedelta(days=1)) == last.position == store.head()
