"""The chain: for each stored event a hash over it and over the hash before it, in a table of its own.

It is made behind the appends by a follower, so nobody waits for it. It covers events as they are stored, personal
fields sealed, so that an erasure, which destroys a key, changes nothing of it.
"""

import asyncio
import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import structlog

from calipso.database import Database, lock_number
from calipso.errors import Unavailable
from calipso.parts import HEARTBEAT_SECONDS

_log = structlog.get_logger()

PART = "chain"
GENESIS = bytes(32)
BATCH = 1000

CHAIN_DDL = """
CREATE TABLE IF NOT EXISTS event_chain (
    position bigint PRIMARY KEY,
    hash bytea NOT NULL CHECK (octet_length(hash) = 32)
)
"""

# position, stream, version, time in microseconds since 1970, command id, index, topic behind its length, and the state
CANONICAL = (
    "int8send(notification_id) || uuid_send(originator_id) || int8send(originator_version)"
    " || int8send((extract(epoch FROM recorded_at) * 1000000)::bigint) || uuid_send(command_id)"
    " || int4send(command_index) || int4send(octet_length(convert_to(topic, 'UTF8'))) || convert_to(topic, 'UTF8')"
    " || state"
)
_NEXT = f"SELECT notification_id AS position, {CANONICAL} AS content FROM stored_events WHERE notification_id > %s"  # noqa: S608 - our own words
_NEXT += " ORDER BY notification_id LIMIT %s"
_LAST = "SELECT position, hash FROM event_chain WHERE position <= %s ORDER BY position DESC LIMIT 1"
_ADD = (
    "INSERT INTO event_chain (position, hash) SELECT position, decode(hash, 'hex')"
    " FROM unnest(%s::bigint[], %s::text[]) AS links (position, hash)"
)
_UNCHAINED = (
    "SELECT count(*) AS number, min(notification_id) AS first, min(recorded_at) AS since FROM stored_events"
    " WHERE notification_id > %s"
)
_GREATEST = 2**63 - 1

_PERIOD_SECONDS = 1.0
_TROUBLE_SECONDS = 30.0

Report = Callable[[int, bool, str], None]


@dataclass(frozen=True, kw_only=True)
class Link:
    """The hash of the event at a position, over all up to it; position 0 stands for the beginning."""

    position: int
    hash: bytes


BEGINNING = Link(position=0, hash=GENESIS)


def hash_of(previous: bytes, content: bytes) -> bytes:
    """The hash of an event (SHA-256) from the hash before it and the event's canonical bytes."""
    return hashlib.sha256(previous + content).digest()


class Chain:
    """The table of the chain.

    Args:
        database: the store's database.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def extend(self, limit: int = BATCH) -> tuple[int, bool]:
        """Chain the next events; gives the position of the last link, and whether there may be more to chain.

        Raises:
            Unavailable: the database does not answer.
        """
        with self._database.connect() as connection, connection.transaction():
            # two followers take turns, and what a crash forgets is chained again
            connection.execute("SELECT pg_advisory_xact_lock(%s)", (lock_number("chain"),))
            connection.execute("SET LOCAL synchronous_commit = off")
            last = _last(connection, _GREATEST)
            rows = connection.cursor(binary=True).execute(_NEXT.encode(), (last.position, limit)).fetchall()
            links = _links(last, rows)
            if links:
                connection.execute(_ADD, _columns(links))
        return (links[-1] if links else last).position, len(rows) == limit

    def complete(self) -> None:
        """Chain all that is stored now."""
        while self.extend()[1]:
            pass

    def last(self, upto: int = _GREATEST) -> Link:
        """The last link at or before a position."""
        with self._database.connect() as connection:
            return _last(connection, upto)

    def unchained(self) -> dict[str, Any]:
        """What is stored behind the last link: its `number`, the position of the `first`, and the time `since`."""
        with self._database.connect() as connection:
            row = connection.execute(_UNCHAINED, (_last(connection, _GREATEST).position,)).fetchone()
        return row or {}

    async def follow(self, report: Report) -> None:
        """Chain what was stored, every second, for ever; takes at most half of the time when there is much.

        Args:
            report: told the position, whether it works, and a detail.
        """
        told = (0.0, 0)
        while True:
            began = time.monotonic()
            pause = _PERIOD_SECONDS
            try:
                position, has_more = await asyncio.to_thread(self.extend)
                if told[1] != position or began - told[0] >= HEARTBEAT_SECONDS:
                    report(position, True, "")
                    told = (began, position)
                pause = time.monotonic() - began if has_more else _PERIOD_SECONDS
            except Exception as error:  # noqa: BLE001 - proof must never stop what runs beside it
                _log.error("the chain of events stands still", detail=str(error))
                report(0, False, str(error))
                pause = _PERIOD_SECONDS if isinstance(error, Unavailable) else _TROUBLE_SECONDS
            await asyncio.sleep(pause)


def _links(last: Link, rows: Sequence[dict[str, Any]]) -> Sequence[Link]:
    links = []
    for row in rows:
        last = Link(position=row["position"], hash=hash_of(last.hash, row["content"]))
        links.append(last)
    return links


def _columns(links: Sequence[Link]) -> tuple[str, str]:
    """Positions and hashes, as texts of arrays: the library looks at each value, and takes longer than hashing."""
    positions, hashes = (str(link.position) for link in links), (link.hash.hex() for link in links)
    return f"{{{','.join(positions)}}}", f"{{{','.join(hashes)}}}"


def _last(connection: Any, upto: int) -> Link:  # noqa: ANN401 - a connection of the store's client
    row = connection.execute(_LAST, (upto,)).fetchone()
    return Link(position=row["position"], hash=bytes(row["hash"])) if row else BEGINNING
