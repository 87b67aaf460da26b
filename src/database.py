"""The store's database: connections, the channels on which it rings, and who holds which lock."""

import asyncio
import contextlib
import hashlib
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from typing import Any

import psycopg
from eventsourcing.persistence import InterfaceError, OperationalError, ProgrammingError
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import DictRow, dict_row

from calipso.connections import CONNECT_SECONDS, KEEPALIVES, NOTICED_BY_SERVER, RECONNECT_SECONDS, datastore_of
from calipso.errors import Invalid, Unavailable

STORED = "calipso_stored"  # rings with the kinds and the topics of the events that were stored, comma-separated
ACCOUNTS = "calipso_accounts"  # rings when a login has ended or a password was set
SHOWN = "calipso_shown"  # rings with the parts that reported, each with its position

DEAF = "deaf"  # told when rings cannot be heard for now
HEARING = "hearing"  # told when they can; what rang before is not known

_POLL_SECONDS = 1.0
_COUNTED = 100


# what a newer program looks for in a database that an older one prepared
_MISSING = (
    psycopg.errors.InvalidSchemaName,
    psycopg.errors.UndefinedColumn,
    psycopg.errors.UndefinedFunction,
    psycopg.errors.UndefinedTable,
)

Check = Callable[[], Awaitable[None]]


class Database:
    """The database that holds the events; opens connections only when they are needed.

    Args:
        url: a libpq connection URL, such as `postgresql://user@host/calipso`; what it says of keepalives holds.
        pool_size: the most connections that this process keeps for the store.

    Raises:
        Invalid: it is no such URL.
    """

    def __init__(self, url: str, *, pool_size: int = 8) -> None:
        try:
            self.url = make_conninfo(url, **{k: v for k, v in KEEPALIVES.items() if k not in conninfo_to_dict(url)})
        except psycopg.ProgrammingError as error:
            raise Invalid("database URL", str(error).strip()) from error
        self.datastore = datastore_of(self.url, size=pool_size)
        self._appending: psycopg.Connection[DictRow] | None = None
        self._appending_lock = threading.Lock()

    @contextmanager
    def connect(self) -> Iterator[psycopg.Connection[DictRow]]:
        """A connection in autocommit mode.

        Raises:
            Unavailable: the database does not answer.
        """
        try:
            with self.datastore.get_connection() as connection:
                yield connection
        except (OperationalError, InterfaceError) as error:
            raise Unavailable("the event store", str(error).strip()) from error
        except ProgrammingError as error:
            raise (unprepared_of(error.__cause__) or error) from error

    @contextmanager
    def appending(self) -> Iterator[psycopg.Connection[DictRow]]:
        """The one connection of appends, in autocommit mode, for one thread at a time.

        Nobody looks before whether it still lives, as the pool does: an append is repeated, and comes to a new one.

        Raises:
            Unavailable: the database does not answer.
        """
        with self._appending_lock, _unavailable():
            if self._appending is None or self._appending.closed:
                self._appending = psycopg.connect(
                    self.url,
                    connect_timeout=int(CONNECT_SECONDS),
                    autocommit=True,
                    row_factory=dict_row,
                    application_name="calipso",
                )
                self._appending.execute(NOTICED_BY_SERVER)
            yield self._appending

    @contextmanager
    def alone(self) -> Iterator[psycopg.Connection[DictRow]]:
        """A connection of its own with one transaction, for work that takes long.

        Raises:
            Unavailable: the database does not answer.
        """
        with (
            _unavailable(),
            psycopg.connect(
                self.url, connect_timeout=int(CONNECT_SECONDS), row_factory=dict_row, application_name="calipso alone"
            ) as connection,
        ):
            yield connection

    def fresh(self) -> psycopg.Connection[Any]:
        """A new connection, for a pool elsewhere."""
        return psycopg.connect(self.url, connect_timeout=int(CONNECT_SECONDS))

    def close(self) -> None:
        """Give back all connections."""
        self.datastore.close()
        with self._appending_lock:
            if self._appending is not None:
                self._appending.close()

    async def listen(self, *channels: str, gather: float = 0.0) -> AsyncIterator[tuple[str, str]]:
        """The channel and payload of each notification, and `""` as channel whenever a look for oneself is due.

        That is after each (re)connection, because what was told in between is gone (`("", HEARING)`), and every second,
        because a notification is only ever a hint (`("", "")`, when the server has just answered on this connection).
        `("", DEAF)` says that the connection is lost. Never ends by itself.

        Args:
            channels: those listened to.
            gather: seconds without hearing after each notification: those that come meanwhile are told together, and
                equal ones once.
        """
        while True:
            with contextlib.suppress(Unavailable):
                async with self._lasting() as connection:
                    for channel in channels:
                        await connection.execute(f"LISTEN {channel}".encode())
                    yield "", HEARING
                    while True:
                        end = time.monotonic() + _POLL_SECONDS
                        while (left := end - time.monotonic()) > 0:
                            heard = connection.notifies(timeout=left, stop_after=1)
                            for ring in dict.fromkeys([(each.channel, each.payload) async for each in heard]):
                                yield ring
                            await asyncio.sleep(gather)
                        await _check(connection)
                        yield "", ""
            yield "", DEAF
            await asyncio.sleep(RECONNECT_SECONDS)

    @asynccontextmanager
    async def holding(self, lock: str) -> AsyncIterator[Check]:
        """Wait for an advisory lock and hold it as long as the block and the connection last.

        Gives an async callable that raises `Unavailable` when the connection, and so the lock, is gone.

        Raises:
            Unavailable: the database does not answer.
        """
        async with self._lasting() as connection:
            while not await _try_lock(connection, lock):  # noqa: ASYNC110 - the lock is the server's
                await asyncio.sleep(RECONNECT_SECONDS)
            yield partial(_check, connection)

    @asynccontextmanager
    async def holding_one_of(self, prefix: str) -> AsyncIterator[tuple[str, Check]]:
        """Hold the first free lock of `prefix/0`, `prefix/1`, ...; gives its name, and the check of `holding`."""
        async with self._lasting() as connection:
            number = 0
            while not await _try_lock(connection, f"{prefix}/{number}"):
                number += 1
            yield f"{prefix}/{number}", partial(_check, connection)

    @asynccontextmanager
    async def _lasting(self) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
        """A connection that is kept for long, and whose loss both sides notice; that is `Unavailable` in the block."""
        with _unavailable():
            async with await psycopg.AsyncConnection.connect(self.url, autocommit=True) as connection:
                await connection.execute(NOTICED_BY_SERVER)
                yield connection

    def is_held(self, lock: str) -> bool:
        """Whether some living process holds an advisory lock."""
        with self.connect() as connection, connection.transaction():
            row = connection.execute("SELECT pg_try_advisory_xact_lock(%s) AS free", (lock_number(lock),)).fetchone()
        return row is not None and not row["free"]

    def count_held(self, prefix: str) -> int:
        """How many locks of `holding_one_of` are held, by living processes; of the first hundred."""
        numbers = [lock_number(f"{prefix}/{number}") for number in range(_COUNTED)]
        with self.connect() as connection:
            row = connection.execute(
                "SELECT count(*) AS held FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1 "
                "AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) "
                "AND ((classid::bigint << 32) | objid::bigint) = ANY(%s)",
                (numbers,),
            ).fetchone()
        return row["held"] if row else 0


async def _check(connection: psycopg.AsyncConnection[Any]) -> None:
    with _unavailable():
        await connection.execute("SELECT 1")


def unprepared(reason: str) -> Unavailable:
    """The error that tells of a database that was prepared by an older version of the program."""
    advice = "run `calipso migrate`, and `calipso rebuild --all` if that was done"
    return Unavailable("the database", f"it is not prepared for this version of the program ({reason}): {advice}")


def unprepared_of(error: object) -> Unavailable | None:
    """What an error means that tells of something that is not in the database; None for any other."""
    return unprepared(str(error.diag.message_primary)) if isinstance(error, _MISSING) else None


@contextmanager
def _unavailable() -> Iterator[None]:
    try:
        yield
    except _MISSING as error:
        raise (unprepared_of(error) or error) from error
    except (psycopg.OperationalError, psycopg.InterfaceError) as error:
        raise Unavailable("the event store", str(error).strip()) from error


async def _try_lock(connection: psycopg.AsyncConnection[Any], lock: str) -> bool:
    cursor = await connection.execute("SELECT pg_try_advisory_lock(%s)", (lock_number(lock),))
    row = await cursor.fetchone()
    return row is not None and bool(row[0])


def lock_number(name: str) -> int:
    """The advisory lock number of a name (64 bits, signed)."""
    return int.from_bytes(hashlib.sha256(f"calipso {name}".encode()).digest()[:8], "big", signed=True)
