"""The kinds of database on which Guacamole's tables may lie, as engines for the tests."""

import os
import signal
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import psycopg
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.pool import NullPool
from tests.conftest import wait_until
from tests.guacamole.mariadb import MariaDB

DEBIAN = Path("/usr/lib/postgresql/15/bin")


@dataclass(frozen=True, kw_only=True)
class Database:
    """An empty database; `limited` makes an account that may only read and write rows, and an engine for it."""

    engine: Engine
    limited: Callable[[], Engine]


def on_postgresql(url: str) -> Database:
    """A database of a PostgreSQL server, of a libpq URL."""
    engine = create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(url), poolclass=NullPool)

    def limited() -> Engine:
        role = f"limited_{uuid4().hex}"
        with engine.begin() as connection:
            connection.execute(text(f"CREATE ROLE {role}"))
            connection.execute(text("REVOKE CREATE ON SCHEMA public FROM PUBLIC"))
            granted = "SELECT, INSERT, UPDATE, DELETE ON ALL TABLES"
            connection.execute(text(f"GRANT {granted} IN SCHEMA public TO {role}"))
        options = f"-c role={role}"
        return create_engine(
            "postgresql+psycopg://", creator=lambda: psycopg.connect(url, options=options), poolclass=NullPool
        )

    return Database(engine=engine, limited=limited)


def on_mariadb(server: MariaDB) -> Database:
    """A database of a MariaDB server."""
    name = server.make_database()

    def limited() -> Engine:
        account = f"limited_{uuid4().hex}"
        with server.engine(name).begin() as connection:
            connection.execute(text(f"CREATE USER {account}@localhost"))
            connection.execute(text(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {name}.* TO {account}@localhost"))
        return create_engine(server.engine(name).url.set(username=account), poolclass=NullPool)

    return Database(engine=server.engine(name), limited=limited)


class DebianPostgres:
    """Debian's PostgreSQL 15 with its data in a folder, on a socket there, in a time zone of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        # the server refuses to run as root
        self._account = "postgres" if os.geteuid() == 0 else None
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Make the data, start the server and wait until it answers."""
        data = self._folder / "data"
        made = ["initdb", "--auth=trust", "--username=postgres", "--no-sync", "--encoding=UTF8", f"--pgdata={data}"]
        subprocess.run(_program(*made), check=True, capture_output=True, user=self._account, cwd="/")
        started = ["postgres", "-D", f"{data}", "-k", f"{self._folder}", "-h", "", "-F", "-c", "timezone=Asia/Tokyo"]
        self._process = subprocess.Popen(
            _program(*started), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, user=self._account, cwd="/"
        )
        wait_until(self._answers, "PostgreSQL 15 to answer")

    def stop(self) -> None:
        """End it and wait for its end."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)  # TERM would wait until everybody has left
            self._process.wait()
            self._process = None

    def make_database(self) -> str:
        """Make an empty database; gives its URL."""
        name = f"test_{uuid4().hex}"
        with psycopg.connect(self._url("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        return self._url(name)

    def _url(self, database: str) -> str:
        return f"postgresql://postgres@/{database}?host={self._folder}"

    def _answers(self) -> bool:
        asked = _program("pg_isready", "-h", f"{self._folder}")
        return subprocess.run(asked, capture_output=True, check=False).returncode == 0


def _program(name: str, *arguments: str) -> list[str]:
    return [f"{DEBIAN / name}", *arguments]
