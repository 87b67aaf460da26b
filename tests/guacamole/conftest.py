"""Guacamole's tables on both kinds of database that it knows: PostgreSQL, and a private MariaDB."""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import Engine, create_engine
from sqlalchemy.pool import NullPool
from tests.guacamole.mariadb import MariaDB

from calipso.credentials import MasterKeys
from calipso.projections.guacamole import Guacamole

KEYS = MasterKeys({1: b"1" * 32, 2: b"2" * 32})


@pytest.fixture(scope="session")
def mariadb() -> Iterator[MariaDB]:
    """A running server."""
    with tempfile.TemporaryDirectory(prefix="calipso-maria-", dir="/tmp") as folder:
        server = MariaDB(Path(folder))
        server.start()
        yield server
        server.stop()


@pytest.fixture(params=["postgresql", pytest.param("mariadb", marks=pytest.mark.mariadb)])
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    """An empty database of one kind."""
    if request.param == "postgresql":
        make: Callable[[], str] = request.getfixturevalue("make_database")
        url = make()
        made = create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(url), poolclass=NullPool)
    else:
        server: MariaDB = request.getfixturevalue("mariadb")
        made = server.engine(server.make_database())
    yield made
    made.dispose()


@pytest.fixture
def guacamole(engine: Engine) -> Guacamole:
    """The projection on a database with Guacamole's tables."""
    projection = Guacamole(KEYS, {"far": ("guacd.example.org", 4823)})
    for _ in range(2):  # as harmless to repeat as `migrate`
        with engine.begin() as connection:
            projection.create_schema(connection)
            projection.prepare(connection)
    return projection
