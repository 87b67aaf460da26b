"""Guacamole's tables on both kinds of database that it knows: PostgreSQL, and a private MariaDB."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.pool import NullPool
from tests.conftest import wait_until

from calipso.credentials import MasterKeys
from calipso.projections.guacamole import Guacamole

KEYS = MasterKeys({1: b"1" * 32, 2: b"2" * 32})


@pytest.fixture(scope="session")
def mariadb_socket() -> Iterator[Path]:
    """A MariaDB of the tests' own, that listens on a socket only."""
    server, install = shutil.which("mariadbd", path="/usr/sbin:/usr/bin"), shutil.which("mariadb-install-db")
    assert server, "the program mariadbd is missing: install MariaDB's server"
    assert install, "the program mariadb-install-db is missing: install MariaDB's server"
    with tempfile.TemporaryDirectory(prefix="calipso-maria-", dir="/tmp") as folder:
        data, socket = Path(folder) / "data", Path(folder) / "socket"
        as_user = ["--user=mysql"] if os.geteuid() == 0 else []
        if as_user:
            os.chown(folder, pwd.getpwnam("mysql").pw_uid, -1)
        common = [f"--datadir={data}", *as_user]
        subprocess.run(
            [install, "--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db", *common],
            check=True,
            capture_output=True,
        )
        process = subprocess.Popen(
            [
                server,
                "--no-defaults",
                f"--socket={socket}",
                "--skip-networking",
                "--sql-mode=STRICT_ALL_TABLES",
                *common,
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            wait_until(lambda: _answers(socket), "MariaDB to answer", seconds=60)
            yield socket
        finally:
            process.terminate()
            process.wait()


def _engine(socket: Path, database: str = "") -> Engine:
    return create_engine(f"mysql+pymysql://root@/{database}?unix_socket={socket}", poolclass=NullPool)


def _answers(socket: Path) -> bool:
    admin = shutil.which("mariadb-admin") or "mariadb-admin"
    return subprocess.run([admin, f"--socket={socket}", "ping"], capture_output=True, check=False).returncode == 0


@pytest.fixture(params=["postgresql", pytest.param("mariadb", marks=pytest.mark.mariadb)])
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    """An empty database of one kind."""
    if request.param == "postgresql":
        make: Callable[[], str] = request.getfixturevalue("make_database")
        url = make()
        made = create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(url), poolclass=NullPool)
    else:
        socket: Path = request.getfixturevalue("mariadb_socket")
        name = f"test_{uuid4().hex}"
        with _engine(socket).begin() as connection:
            connection.execute(text(f"CREATE DATABASE {name} CHARACTER SET utf8mb3"))
        made = _engine(socket, name)
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
