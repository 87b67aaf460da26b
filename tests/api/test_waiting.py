"""Who waits for events hears them, also who comes while they are being read; of others nothing is made."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from tests.builders import container_requested, lost, started, starting
from tests.conftest import wait_until

from calipso.api.memory import Memory
from calipso.api.waiting import Following, Waiting
from calipso.codec import Codec
from calipso.commands.dispatch import cause_of
from calipso.database import SHOWN, Database
from calipso.events.container import ContainerEvent, ContainerLost, ContainerStarted
from calipso.events.envelope import Event, Page
from calipso.parts import PARTS_DDL, Part, Parts, Report
from calipso.store import PostgresStore
from calipso.vault import MemorySubjectKeys


class SlowStore(PostgresStore):
    """A store whose readers wait at a gate until it is opened; `is_reached` when one is there."""

    def __init__(self, database: Database) -> None:
        super().__init__(database, Codec(MemorySubjectKeys()))
        self.gate, self.is_reached = threading.Event(), threading.Event()

    def read(self, **given: Any) -> Page:  # noqa: ANN401 - passed on
        self.is_reached.set()
        assert self.gate.wait(20)
        return super().read(**given)

    async def add(self, *events: Event) -> None:
        await asyncio.to_thread(self.append, events, expected={}, cause=cause_of("service:test"))


@pytest.fixture
def database(make_database: Callable[[], str]) -> Iterator[Database]:
    made = Database(make_database())
    with made.connect() as connection:
        connection.execute(PARTS_DDL.encode())
    yield made
    made.close()


@pytest.fixture
def store(database: Database) -> SlowStore:
    made = SlowStore(database)
    made.migrate()
    return made


@asynccontextmanager
async def listening(database: Database, store: SlowStore) -> AsyncIterator[Waiting]:
    waiting = Waiting(database, store, Parts(database))
    await waiting.begin()
    running = asyncio.create_task(waiting.run())
    try:
        yield waiting
    finally:
        running.cancel()
        await asyncio.wait({running})


async def container_of(following: Following, event_type: type[ContainerStarted | ContainerLost]) -> UUID | None:
    heard = await following.first_of(event_type, until=datetime.now(UTC) + timedelta(seconds=20))
    return heard.stream if heard else None


async def test_who_comes_while_events_are_read_misses_nothing(database: Database, store: SlowStore) -> None:
    first, second, third = (container_requested(uuid4()) for _ in range(3))
    async with listening(database, store) as waiting:
        with waiting.following(first.container_id) as one:
            await store.add(started(first))
            assert await asyncio.to_thread(store.is_reached.wait, 20)
            with waiting.following(second.container_id) as two, waiting.following_all() as everywhere:
                events = [started(second), third]
                await store.add(*events)
                store.gate.set()
                assert await container_of(one, ContainerStarted) == first.container_id
                assert await container_of(two, ContainerStarted) == second.container_id
                async with asyncio.timeout(20):
                    heard = [await everywhere.unread.get() for _ in (first, *events)]
                assert [recorded.event for recorded in heard if recorded] == [started(first), *events]


async def test_who_follows_one_container_hears_nothing_of_others(database: Database, store: SlowStore) -> None:
    store.gate.set()
    other, own = (container_requested(uuid4()) for _ in range(2))
    async with listening(database, store) as waiting:
        with waiting.following(own.container_id) as following:
            await store.add(other, own, started(other), started(own), lost(other), lost(own))
            assert await container_of(following, ContainerStarted) == own.container_id
            assert await container_of(following, ContainerLost) == own.container_id


async def test_who_follows_one_container_hears_of_outcomes_alone(database: Database, store: SlowStore) -> None:
    store.gate.set()
    own = container_requested(uuid4())
    async with listening(database, store) as waiting:
        with waiting.following(own.container_id) as following:
            await store.add(own, starting(own))
            await store.add(started(own))
            heard = await following.first_of(ContainerEvent, until=datetime.now(UTC) + timedelta(seconds=20))
            assert heard is not None
            assert heard.event == started(own)


async def test_what_was_stored_while_nobody_followed_hides_nothing_new(database: Database, store: SlowStore) -> None:
    store.gate.set()
    old, new = (container_requested(uuid4()) for _ in range(2))
    async with listening(database, store) as waiting:
        await store.add(*(container_requested(uuid4()) for _ in range(700)), old)
        with waiting.following(new.container_id) as following:
            await store.add(started(old), new, started(new))
            assert await container_of(following, ContainerStarted) == new.container_id


async def test_answers_are_known_until_a_projection_shows_something_new(
    database: Database, store: SlowStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts, looked, look = Parts(database), 0, Parts.all

    def counted(self: Parts) -> Sequence[Part]:
        nonlocal looked
        looked += 1
        return look(self)

    monkeypatch.setattr(Parts, "all", counted)
    memory: Memory[int] = Memory(lambda channel, _: channel == SHOWN, size=1, seconds=60)

    async def tell(**positions: int) -> None:
        reports = [Report(name=name, position=position, ok=True, detail="") for name, position in positions.items()]
        await asyncio.to_thread(parts.report_all, reports)

    async with listening(database, store) as waiting:
        waiting.memories.append(memory)
        await tell(containers=3)
        await waiting.until_shown(["containers"], 3, "e")
        memory.keep("question", 42, memory.rings)
        enough = looked + 2
        await tell(containers=3)
        await asyncio.to_thread(wait_until, lambda: looked >= enough, "the second look for oneself")
        assert memory.recall("question") == 42
        await tell(others=1, containers=2)
        await waiting.until_shown(["others"], 1, "e")
        assert memory.recall("question") is None
        memory.keep("question", 43, memory.rings)
        await tell(containers=4)
        await waiting.until_shown(["containers"], 4, "e")
        assert memory.recall("question") is None
