"""Guacamole's tables on every kind of database that it knows: two ages of PostgreSQL, and MariaDB."""

import pwd
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, delete
from tests.guacamole.databases import DEBIAN, Database, DebianPostgres, on_mariadb, on_postgresql
from tests.guacamole.mariadb import MariaDB

from calipso.credentials import MasterKeys
from calipso.projections.guacamole import Guacamole, tables

KEYS = MasterKeys({1: b"1" * 32, 2: b"2" * 32})
GUACD = {"far": ("guacd.example.org", 4823), "near": ("", 4822)}

_has_debian = pytest.mark.skipif(not DEBIAN.is_dir(), reason="Debian's PostgreSQL 15 is not installed")


@pytest.fixture(scope="session")
def mariadb() -> Iterator[MariaDB]:
    """A running server."""
    with tempfile.TemporaryDirectory(prefix="calipso-maria-", dir="/tmp") as folder:
        server = MariaDB(Path(folder))
        server.start()
        yield server
        server.stop()


@pytest.fixture(scope="session")
def debian_postgres() -> Iterator[DebianPostgres]:
    """A running server."""
    with tempfile.TemporaryDirectory(prefix="calipso-pg15-", dir="/tmp") as folder:
        if Path(folder).owner() == "root":
            shutil.chown(folder, pwd.getpwnam("postgres").pw_uid)
        server = DebianPostgres(Path(folder))
        server.start()
        yield server
        server.stop()


@pytest.fixture(
    scope="session",
    params=[
        "postgresql",
        pytest.param("debian", marks=_has_debian),
        pytest.param("mariadb", marks=pytest.mark.mariadb),
    ],
)
def make(request: pytest.FixtureRequest) -> Callable[[], Database]:
    """Makes empty databases of one kind."""
    match request.param:
        case "postgresql":
            make_database: Callable[[], str] = request.getfixturevalue("make_database")
            return lambda: on_postgresql(make_database())
        case "debian":
            debian: DebianPostgres = request.getfixturevalue("debian_postgres")
            return lambda: on_postgresql(debian.make_database())
        case _:
            mariadb: MariaDB = request.getfixturevalue("mariadb")
            return lambda: on_mariadb(mariadb)


@pytest.fixture
def empty(make: Callable[[], Database]) -> Database:
    """A database without tables."""
    return make()


@pytest.fixture(scope="session")
def prepared(make: Callable[[], Database]) -> Engine:
    """A database with Guacamole's tables and ours, which many tests use in turn."""
    engine = make().engine
    with engine.begin() as connection:
        Guacamole(KEYS, GUACD).create_schema(connection)
    return engine


@pytest.fixture
def engine(prepared: Engine) -> Engine:
    """A database with Guacamole's tables and ours, without rows."""
    with prepared.begin() as connection:
        tables.ours.drop_all(connection)
        for table in reversed(tables.guacamole.sorted_tables):
            connection.execute(delete(table))
        Guacamole(KEYS, GUACD).prepare(connection)
    return prepared


@pytest.fixture
def guacamole() -> Guacamole:
    """The projection, with a guacd of its own for one target."""
    return Guacamole(KEYS, GUACD)
