"""The runner: batches, outages, poison, and two at once; shown on a read model with a real PostgreSQL."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Column, Connection, Engine, Table, Text, Uuid, create_engine, delete, func, insert, select
from tests.conftest import PATIENCE

from calipso.codec import Codec
from calipso.commands.dispatch import cause_of
from calipso.database import Database
from calipso.engines import engine_of, projecting_engine_of
from calipso.events.envelope import Page, Recorded
from calipso.events.user import Role, RoleGranted, RoleRevoked
from calipso.projections import together
from calipso.projections.pace import Pace
from calipso.projections.runner import BATCH, PoisonEvent, Runner
from calipso.projections.shared_log import SharedLog
from calipso.projections.tables import ReadModel, read_model_metadata
from calipso.projections.together import Group, next_page
from calipso.store_memory import MemoryStore
from calipso.vault import MemorySubjectKeys

_metadata = read_model_metadata("granted")
_granted = Table("granted", _metadata, Column("event_id", Uuid, primary_key=True), Column("role", Text))


class Granted(ReadModel):
    """One row for each role that was granted; an event of `poison` cannot be applied."""

    name = "granted"
    topics = frozenset({RoleGranted.topic()})
    metadata = _metadata

    def __init__(self) -> None:
        self.poison: UUID | None = None
        self.batches: list[int] = []

    def apply(self, connection: Connection, events: Sequence[Recorded]) -> None:
        self.batches.append(len(events))
        rows = [{"event_id": recorded.id, "role": "auditor"} for recorded in events]
        connection.execute(insert(_granted), rows)
        if any(recorded.event.stream == self.poison for recorded in events):
            message = "poison"
            raise ValueError(message)


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    database = Database(database_url)
    made = engine_of(database)
    yield made
    made.dispose()
    database.close()


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore(Codec(MemorySubjectKeys()))


@pytest.fixture
def reports() -> list[tuple[int, bool, str]]:
    return []


@pytest.fixture
def runner(engine: Engine, store: MemoryStore, reports: list[tuple[int, bool, str]]) -> Runner:
    projection = Granted()
    with engine.begin() as connection:
        projection.prepare(connection)
    return Runner(
        projection=projection,
        engine=engine,
        log=store,
        report=lambda position, ok, detail: reports.append((position, ok, detail)),
    )


def write(store: MemoryStore, count: int, user: UUID | None = None) -> list[UUID]:
    """Grant and revoke; gives the ids of the grants."""
    user = user or uuid4()
    granted = []
    for _ in range(count):
        events = [RoleGranted(user_id=user, role=Role.AUDITOR), RoleRevoked(user_id=user, role=Role.AUDITOR)]
        granted.append(store.append(events, expected={}, cause=cause_of("service:test"))[0].id)
    return granted


def rows(engine: Engine) -> set[UUID]:
    with engine.connect() as connection:
        return set(connection.execute(select(_granted.c.event_id)).scalars())


def test_rows_and_position_come_in_batches(
    runner: Runner, store: MemoryStore, engine: Engine, reports: list[tuple[int, bool, str]]
) -> None:
    granted = write(store, BATCH + 100)
    assert runner.catch_up() == store.head() == 2 * BATCH + 200
    assert rows(engine) == set(granted)
    assert runner.projection.batches == [BATCH // 2, BATCH // 2, 100]  # type: ignore[attr-defined]
    assert reports == [(position, True, "") for position in (BATCH, 2 * BATCH, store.head())]
    assert runner.catch_up() == store.head()
    assert len(reports) == 3


def test_who_takes_turns_applies_a_page_at_a_time(runner: Runner, store: MemoryStore) -> None:
    write(store, BATCH + 100)
    assert [runner.advance() for _ in range(4)] == [True, True, True, False]
    assert runner.projection.batches == [BATCH // 2, BATCH // 2, 100]  # type: ignore[attr-defined]


def test_events_of_no_interest_move_the_position_alone(runner: Runner, store: MemoryStore, engine: Engine) -> None:
    store.append([RoleRevoked(user_id=uuid4(), role=Role.AUDITOR)], expected={}, cause=cause_of("service:test"))
    assert runner.catch_up() == 1
    assert rows(engine) == set()


def test_all_before_a_poison_event_is_applied_and_nothing_is_skipped(
    runner: Runner, store: MemoryStore, engine: Engine
) -> None:
    good = write(store, 3)
    poisoned = uuid4()
    write(store, 1, poisoned)
    later = write(store, 2)
    runner.projection.poison = poisoned  # type: ignore[attr-defined]
    with pytest.raises(PoisonEvent, match="position 7"):
        runner.catch_up()
    assert rows(engine) == set(good)
    runner.projection.poison = None  # type: ignore[attr-defined]
    assert runner.catch_up() == store.head()
    assert rows(engine) >= {*good, *later}


def test_two_runners_of_one_projection_do_everything_once(runner: Runner, store: MemoryStore, engine: Engine) -> None:
    granted = write(store, 3 * BATCH)
    runners = [
        runner,
        *(
            Runner(projection=runner.projection, engine=engine, log=SharedLog(store), report=lambda *_: None)
            for _ in range(2)
        ),
    ]

    async def all_at_once() -> None:
        await asyncio.gather(*(asyncio.to_thread(one.catch_up) for one in runners))

    for _ in range(3):
        asyncio.run(all_at_once())
        assert rows(engine) == set(granted)
        granted += write(store, BATCH)
    asyncio.run(all_at_once())
    assert rows(engine) == set(granted)


def test_pages_without_events_of_interest_do_not_touch_the_database(
    runner: Runner, store: MemoryStore, engine: Engine, reports: list[tuple[int, bool, str]]
) -> None:
    revoked = RoleRevoked(user_id=uuid4(), role=Role.AUDITOR)
    granted = write(store, 1)
    runner.catch_up()
    store.append([revoked] * 20, expected={}, cause=cause_of("service:test"))
    assert runner.catch_up() == 22
    assert reports[-1] == (22, True, "")
    with engine.begin() as connection:
        assert runner.projection.lock_position(connection) == 2
    granted += write(store, 1)
    assert runner.catch_up() == 24
    assert rows(engine) == set(granted)


def test_a_shared_reading_gives_each_what_it_wants() -> None:
    store = MemoryStore(Codec(MemorySubjectKeys()))
    log = SharedLog(store)
    write(store, 3)
    wanted = frozenset({RoleRevoked.topic()})
    assert len(log.read(after=0, limit=10).events) == 6
    assert [type(r.event) for r in log.read(after=0, limit=10, topics=wanted).events] == [RoleRevoked] * 3


def test_an_end_is_kept_until_something_may_have_been_stored(
    runner: Runner, store: MemoryStore, engine: Engine
) -> None:
    log = SharedLog(store)
    runner._log = log
    assert not log.read(after=0, limit=BATCH).events
    users = write(store, 3)
    assert runner.catch_up() == 0
    log.renew()
    assert runner.catch_up() == 6
    users += write(store, 2)
    log.renew()
    assert runner.catch_up() == store.head()
    assert rows(engine) == set(users)


def test_an_end_that_was_read_while_something_was_stored_is_not_given_to_those_who_are_woken_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = MemoryStore(Codec(MemorySubjectKeys()))
    log, read = SharedLog(store), store.read
    write(store, 1)

    def overtaken(**given: Any) -> Page:  # noqa: ANN401 - passed on
        page = read(**given)
        monkeypatch.setattr(store, "read", read)
        write(store, 1)
        log.renew()
        return page

    monkeypatch.setattr(store, "read", overtaken)
    assert log.read(after=0, limit=BATCH).last == 2
    assert log.read(after=2, limit=BATCH).last == 4


@pytest.fixture
def asked(store: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> Counter[int]:
    """Counts the readings of the store, by the position after which they begin."""
    counted, read = Counter[int](), store.read

    def counting(*, after: int, **given: Any) -> Page:  # noqa: ANN401 - passed on
        counted[after] += 1
        return read(after=after, **given)

    monkeypatch.setattr(store, "read", counting)
    return counted


def test_readers_that_are_some_pages_apart_read_each_page_once(store: MemoryStore, asked: Counter[int]) -> None:
    log = SharedLog(store)
    write(store, 50)
    for position in range(0, 100, 10):
        assert log.read(after=position, limit=10).last == position + 10
        assert log.read(after=max(0, position - 50), limit=10).last == max(0, position - 50) + 10
    assert asked == Counter(range(0, 100, 10))


def test_who_looks_seldom_finds_all_small_pages_in_one(store: MemoryStore, asked: Counter[int]) -> None:
    log = SharedLog(store)
    for position in range(0, 100, 2):
        write(store, 1)
        log.renew()
        assert log.read(after=position, limit=BATCH).last == position + 2
    assert [r.position for r in log.read(after=0, limit=BATCH).events] == [*range(1, 101)]
    assert asked == Counter(range(0, 100, 2))


def test_no_page_is_kept_for_long(store: MemoryStore, asked: Counter[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("calipso.projections.shared_log._SECONDS", 0)
    log = SharedLog(store)
    for position in (0, 2):
        write(store, 1)
        log.renew()
        assert log.read(after=position, limit=BATCH).last == position + 2
    assert log.read(after=0, limit=BATCH).last == 4
    assert asked == Counter([0, 2, 0])


def test_readers_that_are_some_events_apart_read_each_event_once(store: MemoryStore, asked: Counter[int]) -> None:
    log = SharedLog(store)
    write(store, 3)
    assert log.read(after=0, limit=BATCH).last == 6
    log.renew()
    assert [r.position for r in log.read(after=4, limit=BATCH).events] == [5, 6]
    assert [r.position for r in log.read(after=2, limit=1).events] == [3]
    assert log.read(after=2, limit=1).last == 3
    assert log.read(after=6, limit=BATCH).last == log.read(after=6, limit=BATCH).last == 6
    assert asked == {0: 1, 6: 1}


def test_a_connection_that_the_server_has_left_is_replaced(database_url: str) -> None:
    database = Database(database_url)
    engine, other = projecting_engine_of(database), engine_of(database)
    own = select(func.pg_backend_pid())
    with engine.connect() as connection:
        left = connection.execute(own).scalar_one()
    with other.connect() as connection:
        assert connection.execute(select(func.pg_terminate_backend(left, int(1000 * PATIENCE)))).scalar_one()
    with engine.connect() as connection:
        assert connection.execute(own).scalar_one() != left
    for each in (engine, other):
        each.dispose()
    database.close()


@pytest.mark.parametrize(
    ("most", "applied", "seconds", "wanted"),
    [
        (2000, 2000, 1.2, 1000),
        (2000, 450, 1.2, 225),
        (300, 150, 9.0, 100),
        (300, 300, 0.5, 300),
        (300, 300, 0.2, 600),
        (1500, 3, 0.01, 2000),
    ],
)
def test_pages_are_as_long_as_they_may_take(most: int, applied: int, seconds: float, wanted: int) -> None:
    assert next_page(most, applied, seconds) == wanted


def test_pages_that_take_too_long_get_shorter(
    runner: Runner, store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(together, "_PAGE_SECONDS", 0.0)
    write(store, 2 * BATCH)
    group = Group([runner])
    while group.advance():
        pass
    assert runner.seen == store.head() == 4 * BATCH
    assert runner.projection.batches[:4] == [1000, 500, 250, 125]  # type: ignore[attr-defined]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 - the condition is in a database
            await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def following(runner: Runner, woken: asyncio.Event):  # type: ignore[no-untyped-def]  # noqa: ANN201
    task = asyncio.create_task(Group([runner]).follow(woken, Pace(lead=0)))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def test_following_ends_also_when_it_is_woken_in_the_same_moment(
    runner: Runner, reports: list[tuple[int, bool, str]]
) -> None:
    woken = asyncio.Event()
    task = asyncio.create_task(Group([runner]).follow(woken, Pace(lead=0)))
    await until(lambda: reports[:1] == [(0, True, "")])
    await asyncio.sleep(0.05)  # it waits to be woken by now; if not, it ends all the more
    woken.set()
    # what it waits for is there, and has not come to it yet
    await asyncio.sleep(0)
    task.cancel()
    done, _ = await asyncio.wait([task], timeout=PATIENCE)
    task.cancel()
    assert done


async def test_following_catches_up_when_woken(
    runner: Runner, store: MemoryStore, reports: list[tuple[int, bool, str]]
) -> None:
    woken = asyncio.Event()
    async with following(runner, woken):
        await until(lambda: reports[:1] == [(0, True, "")])
        write(store, 1)
        woken.set()
        await until(lambda: (2, True, "") in reports)


async def test_a_database_that_went_back_is_caught_up_again(
    runner: Runner, store: MemoryStore, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("calipso.projections.together._HEARTBEAT_SECONDS", 0)
    granted = write(store, 2)
    runner.catch_up()
    with engine.begin() as connection:  # as after a crash that lost the last commits, or a restored backup
        connection.execute(delete(_granted))
        runner.projection.save_position(connection, 0)
    async with following(runner, asyncio.Event()):
        await until(lambda: rows(engine) == set(granted))


async def test_a_poison_event_is_told_and_stops_this_projection(
    runner: Runner, store: MemoryStore, reports: list[tuple[int, bool, str]]
) -> None:
    poisoned = uuid4()
    runner.projection.poison = poisoned  # type: ignore[attr-defined]
    write(store, 1, poisoned)
    async with following(runner, asyncio.Event()):
        await until(lambda: any(not ok and "position 1" in detail for _, ok, detail in reports))


async def test_an_outage_is_told_and_survived(store: MemoryStore, reports: list[tuple[int, bool, str]]) -> None:
    away = create_engine("postgresql+psycopg://nobody@127.0.0.1:1/none")
    runner = Runner(
        projection=Granted(),
        engine=away,
        log=store,
        report=lambda position, ok, detail: reports.append((position, ok, detail)),
    )
    async with following(runner, asyncio.Event()):
        await until(lambda: len([ok for _, ok, _ in reports if not ok]) > 1)
    assert "does not answer" in reports[0][2]
