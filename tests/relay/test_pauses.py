"""A relay that stands still, whatever happens meanwhile: nothing is doubled or out of order."""

import asyncio
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import nats
from tests.conftest import wait_until
from tests.relay.test_relay import (  # noqa: F401 - fixtures
    database,
    nats_here,
    positions_in_store,
    positions_in_stream,
    start_relay,
    store,
    wait_for_relay,
    write,
)

from calipso.bus import STREAM
from calipso.database import Database, lock_number
from calipso.parts import Parts
from calipso.store import PostgresStore

Relay = subprocess.Popen[bytes]


def pause(relay: Relay) -> None:
    os.kill(relay.pid, signal.SIGSTOP)
    wait_until(lambda: _state(relay) == "T", "the relay to stand still")


def go_on(relay: Relay) -> None:
    os.kill(relay.pid, signal.SIGCONT)


def _state(relay: Relay) -> str:
    return Path(f"/proc/{relay.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0]


def purge(nats_url: str) -> None:
    async def run() -> None:
        client = await nats.connect(nats_url)
        await client.jetstream().purge_stream(STREAM)
        await client.close()

    asyncio.run(run())


def cut_lock(database: Database) -> None:  # noqa: F811 - the fixture
    """End the connection that holds the relay's lock, as a failover of the database does."""
    number = lock_number("relay") & (2**64 - 1)
    with database.connect() as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted "
            "AND classid = %s::bigint::oid AND objid = %s::bigint::oid",
            (number >> 32, number & (2**32 - 1)),
        )


def test_a_relay_that_stood_still_while_its_stream_was_emptied_goes_on(
    database: Database,  # noqa: F811
    store: PostgresStore,  # noqa: F811
    nats_here: str,  # noqa: F811
    start_relay: Callable[[str], Relay],  # noqa: F811
) -> None:
    relay = start_relay(nats_here)
    write(store, 10)
    wait_for_relay(database, store)
    before = positions_in_stream(nats_here)
    pause(relay)
    write(store, 250)  # more than the relay publishes at once
    purge(nats_here)
    assert Parts(database).position("relay") < store.head()
    go_on(relay)
    wait_for_relay(database, store)
    assert before + positions_in_stream(nats_here) == positions_in_store(store)


def test_a_relay_that_wakes_up_after_another_took_over_publishes_nothing(
    database: Database,  # noqa: F811
    store: PostgresStore,  # noqa: F811
    nats_here: str,  # noqa: F811
    start_relay: Callable[[str], Relay],  # noqa: F811
) -> None:
    sleeper = start_relay(nats_here)
    write(store, 10)
    wait_for_relay(database, store)
    pause(sleeper)
    cut_lock(database)
    write(store, 150)
    start_relay(nats_here)
    wait_for_relay(database, store)
    go_on(sleeper)
    write(store, 150)
    wait_for_relay(database, store)
    assert positions_in_stream(nats_here) == positions_in_store(store)
    assert sleeper.poll() is None
