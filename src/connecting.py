"""What is asked of each connection to PostgreSQL: that both sides notice when the other is gone, and soon."""

import select
from typing import Any

import psycopg
from sqlalchemy.exc import DisconnectionError

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


def be_noticed(connection: psycopg.Connection[Any], _: object) -> None:
    """Let the server notice when our side of a new connection is gone, or stands still in a transaction."""
    connection.execute(NOTICED_BY_SERVER)
    connection.commit()


def be_alive(connection: psycopg.Connection[Any], *_: object) -> None:
    """Let the pool make a new connection in the place of one that its server has left; costs no question to it."""
    idle = select.poll()
    idle.register(connection.fileno(), select.POLLIN)
    if idle.poll(0):  # nothing was asked, so it can only be a farewell
        raise DisconnectionError


def not_wait(connection: psycopg.Connection[Any], _: object) -> None:
    """Let the commits of a new connection not wait for the disk."""
    connection.execute("SET synchronous_commit = off")
    connection.commit()
