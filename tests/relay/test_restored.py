"""A restored store and a stream that knows more: nothing is published until an operator says so."""

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.conftest import wait_until
from tests.relay.test_relay import (
    FACILITY,
    database,
    messages_of,
    nats_here,
    positions_in_store,
    positions_in_stream,
    wait_for_relay,
    write,
)

from calipso import installation
from calipso.accounts import ACCOUNTS_DDL
from calipso.backups.filling import fill
from calipso.backups.making import make
from calipso.backups.reading import opened
from calipso.bus import connected
from calipso.codec import Codec
from calipso.credentials import KEY_BYTES, MasterKeys
from calipso.database import Database
from calipso.errors import Conflict
from calipso.installation import INSTALLATION_DDL
from calipso.login_tokens import LOGIN_TOKENS_DDL
from calipso.parts import PARTS_DDL, Part, Parts
from calipso.proof.chain import CHAIN_DDL
from calipso.relay import PART, republish
from calipso.store import PostgresStore
from calipso.vault import SUBJECT_KEYS_DDL, MemorySubjectKeys

__all__ = ["database", "nats_here"]
KEYS = MasterKeys({1: b"\1" * KEY_BYTES})
Start = Callable[[Database, str], subprocess.Popen[bytes]]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts a relay of a database."""
    started: list[subprocess.Popen[bytes]] = []

    def start(database: Database, nats_url: str) -> subprocess.Popen[bytes]:
        script = Path(__file__).with_name("relay_process.py")
        arguments = [sys.executable, str(script), database.url, nats_url, FACILITY]
        started.append(subprocess.Popen(arguments, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


@pytest.fixture
def store(database: Database) -> PostgresStore:
    prepare(database)
    return PostgresStore(database, Codec(MemorySubjectKeys()))


def prepare(database: Database) -> None:
    """Make the tables that are in backups."""
    with database.connect() as connection:
        for ddl in (PARTS_DDL, SUBJECT_KEYS_DDL, ACCOUNTS_DDL, LOGIN_TOKENS_DDL, INSTALLATION_DDL, CHAIN_DDL):
            connection.execute(ddl.encode())
    installation.make(database, KEYS)
    PostgresStore(database, Codec(MemorySubjectKeys())).migrate()


@pytest.fixture
def restore(make_database: Callable[[], str]) -> Iterator[Callable[[Path], Database]]:
    """Fills an empty database from a backup, without a word about the stream."""
    opened_here: list[Database] = []

    def restore(file: Path) -> Database:
        url = make_database()
        with contextlib.closing(Database(url)) as empty:
            prepare(empty)
        opened_here.append(Database(url))
        with opened(file) as backup:
            fill(opened_here[-1], backup, KEYS, beyond=0, told=lambda *_: None)
        return opened_here[-1]

    yield restore
    for each in opened_here:
        each.close()


def relay_of(database: Database) -> Part | None:
    return next((part for part in Parts(database).all() if part.name == PART), None)


def test_a_stream_that_knows_more_than_a_restored_store_is_told_and_begun_anew(
    store: PostgresStore, restore: Callable[[Path], Database], nats_here: str, start: Start, tmp_path: Path
) -> None:
    database = store._database
    write(store, 10)
    make(database, tmp_path / "backup.zip", lambda *_: None)
    write(store, 5)
    relay = start(database, nats_here)
    wait_for_relay(database, store)
    relay.kill()
    relay.wait()
    before = positions_in_stream(nats_here)

    other = restore(tmp_path / "backup.zip")
    of_other = PostgresStore(other, Codec(MemorySubjectKeys()))
    write(of_other, 7)  # other events at the same positions
    start(other, nats_here)
    wait_until(lambda: (part := relay_of(other)) is not None and not part.ok, "the relay to tell")
    told = relay_of(other)
    assert told is not None
    assert "position 15" in told.detail
    assert "calipso republish" in told.detail
    assert positions_in_stream(nats_here) == before

    asyncio.run(renew(other, nats_here))
    wait_for_relay(other, of_other)
    assert positions_in_stream(nats_here) == positions_in_store(of_other)
    assert len(before) == 15
    assert [message.headers["Nats-Msg-Id"] for message in messages_of(nats_here) if message.headers] == [
        str(recorded.id) for recorded in of_other.read(after=0, limit=100).events
    ]


async def renew(database: Database, nats_url: str) -> None:
    async with connected(nats_url, FACILITY, name="test republish") as bus:
        await republish(database, bus, Parts(database))


def test_a_stream_behind_a_restored_store_is_gone_on_with(
    store: PostgresStore, restore: Callable[[Path], Database], nats_here: str, start: Start, tmp_path: Path
) -> None:
    database = store._database
    write(store, 5)
    relay = start(database, nats_here)
    wait_for_relay(database, store)
    relay.kill()
    relay.wait()
    write(store, 5)
    make(database, tmp_path / "backup.zip", lambda *_: None)
    other = restore(tmp_path / "backup.zip")
    of_other = PostgresStore(other, Codec(MemorySubjectKeys()))
    start(other, nats_here)
    wait_for_relay(other, of_other)
    assert positions_in_stream(nats_here) == positions_in_store(store) == positions_in_store(of_other)


def test_a_stream_that_a_relay_serves_is_left_alone(
    database: Database, store: PostgresStore, nats_here: str, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("calipso.relay._LOCK_SECONDS", 1.0)
    write(store, 3)
    start(database, nats_here)
    wait_for_relay(database, store)
    with pytest.raises(Conflict, match="a relay is publishing"):
        asyncio.run(renew(database, nats_here))
    assert positions_in_stream(nats_here) == positions_in_store(store)
