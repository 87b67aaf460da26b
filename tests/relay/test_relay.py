"""The relay on real servers: every event once and in order, whatever is killed when."""

import asyncio
import random
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import msgspec
import nats
import pytest
from nats.js.api import RawStreamMsg
from tests.conftest import nats_server, wait_until

from calipso.bus import POSITION, STREAM
from calipso.codec import Codec
from calipso.commands.dispatch import cause_of
from calipso.database import Database
from calipso.events.container import ContainerStarted, ContainerStopRequested
from calipso.events.user import Role, RoleGranted, UserRegistered
from calipso.events.values import Placement
from calipso.parts import PARTS_DDL, Parts
from calipso.store import PostgresStore
from calipso.vault import MemorySubjectKeys

FACILITY = "fac"


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = Database(database_url)
    with database.connect() as connection:
        connection.execute(PARTS_DDL.encode())
    yield database
    database.close()


@pytest.fixture
def store(database: Database) -> PostgresStore:
    store = PostgresStore(database, Codec(MemorySubjectKeys()))
    store.migrate()
    return store


@pytest.fixture
def nats_here(tmp_path: Path, free_port: int) -> Iterator[str]:
    with nats_server(free_port, tmp_path / "nats"):
        yield f"nats://127.0.0.1:{free_port}"


@pytest.fixture
def start_relay(database: Database) -> Iterator[Callable[[str], subprocess.Popen[bytes]]]:
    started: list[subprocess.Popen[bytes]] = []

    def start(nats_url: str) -> subprocess.Popen[bytes]:
        script = Path(__file__).with_name("relay_process.py")
        arguments = [sys.executable, str(script), database.url, nats_url, FACILITY]
        started.append(subprocess.Popen(arguments, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


def write(store: PostgresStore, count: int) -> None:
    user = uuid4()
    for _ in range(count):
        store.append([RoleGranted(user_id=user, role=Role.AUDITOR)], expected={}, cause=cause_of("service:test"))


def write_until(store: PostgresStore, enough: threading.Event) -> None:
    while not enough.wait(0.005):  # as fast as a busy facility, so that the relays keep up
        write(store, 1)


def wait_for_progress(database: Database, events: int) -> None:
    parts = Parts(database)
    mark = parts.position("relay") + events
    wait_until(lambda: parts.position("relay") >= mark, "the relay to move")


def messages_of(nats_url: str) -> list[RawStreamMsg]:
    """Everything in the stream, in the stream's order."""

    async def read() -> list[RawStreamMsg]:
        client = await nats.connect(nats_url)
        try:
            jetstream = client.jetstream()
            state = (await jetstream.stream_info(STREAM)).state
            return [await jetstream.get_msg(STREAM, seq=n) for n in range(state.first_seq, state.last_seq + 1)]
        finally:
            await client.close()

    return asyncio.run(read())


def positions_in_stream(nats_url: str) -> list[int]:
    return [int((message.headers or {})[POSITION]) for message in messages_of(nats_url)]


def positions_in_store(store: PostgresStore) -> list[int]:
    return [recorded.position for recorded in store.read(after=0, limit=100_000).events]


def wait_for_relay(database: Database, store: PostgresStore) -> None:
    parts = Parts(database)
    wait_until(lambda: parts.position("relay") >= store.head(), "the relay to catch up")


def test_messages_are_cloud_events_with_public_fields_only(
    database: Database, store: PostgresStore, nats_here: str, start_relay: Callable[[str], object]
) -> None:
    user, container = uuid4(), uuid4()
    events = [
        UserRegistered(user_id=user, name="Ada Geheim"),
        ContainerStarted(
            container_id=container,
            user_id=user,
            target="docker-a",
            placement=Placement(runtime_id="r", name="n", host="10.20.30.40", port=5901),
            image_digest="sha256:1",
        ),
        ContainerStopRequested(container_id=container, user_id=user, target="docker-a"),
    ]
    stored = store.append(events, expected={}, cause=cause_of(f"user:{user}"))
    start_relay(nats_here)
    wait_for_relay(database, store)
    registered, started, stop = messages_of(nats_here)
    assert started.subject == "calipso.v1.fac.container.ContainerStarted.docker-a"
    assert registered.subject == "calipso.v1.fac.user.UserRegistered"
    envelope = msgspec.json.decode(started.data or b"")
    assert envelope["specversion"] == "1.0"
    assert envelope["id"] == str(stored[1].id) == (started.headers or {})["Nats-Msg-Id"]
    assert envelope["type"] == "calipso.container.ContainerStarted"
    assert envelope["position"] == str(stored[1].position)
    assert envelope["actor"] == f"user:{user}"
    assert envelope["data"] == {
        "container_id": str(container),
        "user_id": str(user),
        "target": "docker-a",
        "image_digest": "sha256:1",
    }
    everything = b"".join(message.data or b"" for message in (registered, started, stop))
    assert b"Geheim" not in everything
    assert b"10.20.30.40" not in everything


def test_killed_relays_lose_double_and_reorder_nothing(
    database: Database, store: PostgresStore, nats_here: str, start_relay: Callable[[str], subprocess.Popen[bytes]]
) -> None:
    randomness, enough = random.Random(7), threading.Event()
    writers = [threading.Thread(target=write_until, args=(store, enough)) for _ in range(4)]
    relays = [start_relay(nats_here), start_relay(nats_here)]
    for writer in writers:
        writer.start()
    try:
        for _ in range(5):
            wait_for_progress(database, randomness.randint(20, 200))
            victim = relays.pop(randomness.randrange(len(relays)))
            victim.kill()
            victim.wait()
            relays.append(start_relay(nats_here))
    finally:
        enough.set()
        for writer in writers:
            writer.join()
    wait_for_relay(database, store)
    assert positions_in_stream(nats_here) == positions_in_store(store)


def test_events_of_an_outage_of_nats_follow_when_it_is_back(
    database: Database,
    store: PostgresStore,
    tmp_path: Path,
    free_port: int,
    start_relay: Callable[[str], subprocess.Popen[bytes]],
) -> None:
    url = f"nats://127.0.0.1:{free_port}"
    start_relay(url)
    write(store, 10)
    with nats_server(free_port, tmp_path / "nats"):
        wait_for_relay(database, store)
    write(store, 10)
    wait_until(lambda: not _relay_is_well(database), "the relay to tell of the outage")
    with nats_server(free_port, tmp_path / "nats"):
        wait_for_relay(database, store)
        assert positions_in_stream(url) == positions_in_store(store)


def test_an_emptied_stream_goes_on_where_the_record_says(
    database: Database,
    store: PostgresStore,
    tmp_path: Path,
    free_port: int,
    start_relay: Callable[[str], subprocess.Popen[bytes]],
) -> None:
    url = f"nats://127.0.0.1:{free_port}"
    start_relay(url)
    with nats_server(free_port, tmp_path / "nats"):
        write(store, 10)
        wait_for_relay(database, store)
    with nats_server(free_port, tmp_path / "fresh"):
        write(store, 5)
        wait_for_relay(database, store)
        assert positions_in_stream(url) == positions_in_store(store)[10:]


def test_what_somebody_else_puts_into_the_stream_is_passed_over(
    database: Database, store: PostgresStore, nats_here: str, start_relay: Callable[[str], object]
) -> None:
    write(store, 3)
    start_relay(nats_here)
    wait_for_relay(database, store)

    async def throw_in() -> None:
        client = await nats.connect(nats_here)
        for headers in (None, {POSITION: "no number"}):
            await client.jetstream().publish(f"calipso.v1.{FACILITY}.user.RoleGranted", b"{", headers=headers)
        await client.close()

    asyncio.run(throw_in())
    write(store, 3)
    wait_for_relay(database, store)
    found = [(message.headers or {}).get(POSITION) for message in messages_of(nats_here)]
    first, last = positions_in_store(store)[:3], positions_in_store(store)[3:]
    assert found == [*map(str, first), None, "no number", *map(str, last)]


def _relay_is_well(database: Database) -> bool:
    return all(part.ok for part in Parts(database).all() if part.name == "relay")
