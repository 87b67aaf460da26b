"""Connections to PostgreSQL: what lets their loss be noticed, and the pool of those to the store."""

import select
from collections.abc import Callable
from functools import partial
from typing import Any

import psycopg
from eventsourcing.postgres import ConnectionPool, PostgresDatastore
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import DictRow, dict_row

CONNECT_SECONDS = 5.0
RECONNECT_SECONDS = 1.0
# a network that silently loses a connection is noticed after some seconds, not after the two hours of the kernel
KEEPALIVES = {"keepalives_idle": 5, "keepalives_interval": 2, "keepalives_count": 3, "tcp_user_timeout": 15_000}
_STANDSTILL_SECONDS = 60
# by the server as well, which would otherwise keep the locks of a machine that is gone; of no effect on unix sockets
NOTICED_BY_SERVER = "; ".join(
    [
        *(f"SET {name if name.startswith('tcp_') else f'tcp_{name}'} = {value}" for name, value in KEEPALIVES.items()),
        f"SET idle_in_transaction_session_timeout = '{_STANDSTILL_SECONDS}s'",
    ]
).encode()
# the store's statements differ in keys alone, and the server would plan some of them anew each time, which takes longer
# than what it plans
_PLANNED_ONCE = b"SET plan_cache_mode = force_generic_plan"


def has_left(connection: psycopg.Connection[Any]) -> bool:
    """Whether the server has ended a connection on which nothing was asked; costs no question to it."""
    idle = select.poll()
    idle.register(connection.fileno(), select.POLLIN)
    return bool(idle.poll(0))  # nothing was asked, so what came can only be a farewell


def datastore_of(url: str, *, size: int) -> PostgresDatastore:
    """The library's datastore of a database, with a pool that asks nothing before each use of a connection.

    Args:
        url: a libpq connection string.
        size: the most connections.
    """
    parts = conninfo_to_dict(url) | {"application_name": "calipso", "row_factory": dict_row}
    dbname, host, port, user = (str(parts.get(name, "") or "") for name in ("dbname", "host", "port", "user"))
    made = PostgresDatastore(dbname, host, port, user, str(parts.get("password", "") or ""))
    made.pool = ConnectionPool(
        connection_class=psycopg.Connection[DictRow],
        kwargs=parts,
        min_size=1,
        max_size=size,
        open=False,
        configure=partial(_prepare, made.after_connect_func()),
        check=_require_alive,
        timeout=CONNECT_SECONDS,
        # by default the pool tries again after ever longer times, and sleeps on when the database is back
        reconnect_timeout=RECONNECT_SECONDS,
    )
    return made


def _prepare(library: Callable[[psycopg.Connection[Any]], None], connection: psycopg.Connection[Any]) -> None:
    """Make a new connection ready: what the library does, and ours."""
    library(connection)
    connection.execute(_PLANNED_ONCE)


def _require_alive(connection: psycopg.Connection[Any]) -> None:
    if has_left(connection):
        connection.close()  # as which the pool gives it up
        raise psycopg.OperationalError("the server has ended the connection")
