"""The chain is what its recipe says, and covers what is stored, once, whoever makes it."""

import asyncio
import hashlib
import struct
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg.rows import dict_row
from tests.conftest import PATIENCE
from tests.proof.conftest import Log

from calipso.proof.chain import GENESIS


def rows(log: Log, query: str) -> list[dict[str, Any]]:
    url = log.program.environment["CALIPSO_DATABASE_URL"]
    with psycopg.connect(url, row_factory=dict_row) as connection:
        return connection.execute(query.encode()).fetchall()


def canonical(row: dict[str, Any]) -> bytes:
    """The recipe of docs/proof.md in other words."""
    topic = str(row["topic"]).encode()
    microseconds = (row["recorded_at"] - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    return (
        struct.pack(">q", row["notification_id"])
        + UUID(str(row["originator_id"])).bytes
        + struct.pack(">qq", row["originator_version"], microseconds)
        + UUID(str(row["command_id"])).bytes
        + struct.pack(">ii", row["command_index"], len(topic))
        + topic
        + bytes(row["state"])
    )


def test_every_event_is_hashed_with_the_hash_before_it(log: Log) -> None:
    links = {row["position"]: row["hash"] for row in rows(log, "SELECT * FROM event_chain")}
    previous = GENESIS
    for row in rows(log, "SELECT * FROM stored_events ORDER BY notification_id"):
        previous = hashlib.sha256(previous + canonical(row)).digest()
        assert links.pop(row["notification_id"]) == previous
    assert not links


def test_it_does_not_matter_how_much_is_chained_at_once(log: Log) -> None:
    whole = rows(log, "SELECT * FROM event_chain ORDER BY position")
    log.tamper("DELETE FROM event_chain")
    while log.chain.extend(3)[1]:
        pass
    assert rows(log, "SELECT * FROM event_chain ORDER BY position") == whole


def test_many_followers_and_writers_chain_everything_once(log: Log) -> None:
    def work(number: int) -> None:
        for _ in range(10):
            if number % 2:
                log.write(3)
            else:
                log.chain.extend(7)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    log.chain.complete()
    (counts,) = rows(log, "SELECT (SELECT count(*) FROM event_chain) AS links, count(*) AS events FROM stored_events")
    assert counts == {"links": 140, "events": 140}
    assert log.found() == []


def test_gaps_between_positions_are_lawful(log: Log) -> None:
    log.tamper("SELECT nextval('stored_events_notification_id_seq') FROM generate_series(1, 50)")
    log.write(3)
    log.chain.complete()
    assert log.chain.last().position == 73
    assert log.found() == []


def test_what_comes_later_is_the_tail(log: Log) -> None:
    assert log.chain.unchained() == {"number": 0, "first": None, "since": None}
    log.write(3)
    tail = log.chain.unchained()
    assert (tail["number"], tail["first"]) == (3, 21)
    assert log.found() == []


def test_an_erasure_changes_nothing(log: Log) -> None:
    ada = log.write(4)
    log.chain.complete()
    before = log.chain.last()
    log.backend.subject_keys.destroy(ada)
    assert log.found() == []
    assert log.chain.last() == before


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 - the condition is in a database
            await asyncio.sleep(0.02)


async def test_a_follower_keeps_up_and_tells_of_trouble(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("calipso.proof.chain._PERIOD_SECONDS", 0.02)
    monkeypatch.setattr("calipso.proof.chain._TROUBLE_SECONDS", 0.02)
    told: list[tuple[int, bool, str]] = []
    task = asyncio.create_task(log.chain.follow(lambda *report: told.append(report)))
    try:
        await until(lambda: (20, True, "") in told)
        log.write(2)
        await until(lambda: (22, True, "") in told)
        log.tamper("ALTER TABLE event_chain RENAME TO elsewhere")
        await until(lambda: not told[-1][1])
        assert "event_chain" in told[-1][2]
        log.tamper("ALTER TABLE elsewhere RENAME TO event_chain")
        log.write(2)
        await until(lambda: told[-1] == (24, True, ""))
    finally:
        task.cancel()
        await asyncio.wait([task])
