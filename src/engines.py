"""SQLAlchemy engines: those of the read models, in the store's database, and that of Guacamole's tables."""

from typing import Any

import psycopg
from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine import ExceptionContext, make_url
from sqlalchemy.exc import DisconnectionError

from calipso.connections import KEEPALIVES, NOTICED_BY_SERVER, has_left
from calipso.database import Database, unprepared_of
from calipso.errors import Invalid

_DRIVERS = {"postgresql": "postgresql+psycopg", "postgres": "postgresql+psycopg", "mysql": "mysql+pymysql"}
_MYSQL_PATIENCE = {"connect_timeout": 5, "read_timeout": 30, "write_timeout": 30}


def engine_of(database: Database) -> Engine:
    """An engine for the read models of a database."""
    return _engine(database, pool_pre_ping=True)


def projecting_engine_of(database: Database) -> Engine:
    """An engine for projections, whose commits do not wait for the disk.

    What a crash of the database takes of rows, it takes of positions too, and events tell it again.
    """
    made = _engine(database)
    event.listen(made, "connect", _not_wait)
    event.listen(made, "checkout", _be_alive)
    return made


def reading_engine_of(database: Database) -> Engine:
    """An engine for single questions to the read models: no transactions, and no look whether connections live.

    After a restart of the database the first question fails with `connection_invalidated`, and may be asked again.
    """
    return _engine(database, isolation_level="AUTOCOMMIT", pool_reset_on_return=None)


def guacamole_engine_of(address: str) -> Engine:
    """An engine for the database of Guacamole.

    Raises:
        Invalid: the address is of another kind of database.
    """
    url = make_url(address)
    if url.drivername not in _DRIVERS:
        raise Invalid("CALIPSO_GUACAMOLE_DATABASE_URL", "must begin with postgresql:// or mysql://")
    driver = _DRIVERS[url.drivername]
    # a connection that the network lost silently would otherwise hold the projection up for hours
    is_postgresql = driver.startswith("postgresql")
    noticed = KEEPALIVES if is_postgresql else _MYSQL_PATIENCE
    made = create_engine(
        url.set(drivername=driver),
        pool_pre_ping=not is_postgresql,
        hide_parameters=True,
        connect_args={name: value for name, value in noticed.items() if name not in url.query},
    )
    if is_postgresql:
        event.listen(made, "connect", _be_noticed)
        event.listen(made, "checkout", _be_alive)
    return made


def _engine(database: Database, **options: Any) -> Engine:  # noqa: ANN401 - passed on
    made = create_engine(
        "postgresql+psycopg://",
        creator=database.fresh,
        pool_size=8,
        max_overflow=8,
        hide_parameters=True,  # errors are logged, and parameters may be personal
        **options,
    )
    event.listen(made, "connect", _be_noticed)
    event.listen(made, "handle_error", _tell_unprepared)
    return made


def _be_noticed(connection: psycopg.Connection[Any], _: object) -> None:
    """Let the server notice when our side of a new connection is gone, or stands still in a transaction."""
    connection.execute(NOTICED_BY_SERVER)
    connection.commit()


def _be_alive(connection: psycopg.Connection[Any], *_: object) -> None:
    """Let the pool make a new connection in the place of one that its server has left."""
    if has_left(connection):
        raise DisconnectionError


def _not_wait(connection: psycopg.Connection[Any], _: object) -> None:
    """Let the commits of a new connection not wait for the disk."""
    connection.execute("SET synchronous_commit = off")
    connection.commit()


def _tell_unprepared(context: ExceptionContext) -> None:
    if told := unprepared_of(context.original_exception):
        raise told from context.original_exception
