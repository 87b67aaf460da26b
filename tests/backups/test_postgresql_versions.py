"""A backup goes from one major version of PostgreSQL to another, and back."""

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from tests.backups.test_backups import Place, content, id_of, store
from tests.builders import image_added, role_granted

from calipso import credentials
from calipso.bootstrap.databases import migrate

pytestmark = pytest.mark.postgresql


@pytest.fixture(autouse=True)
def _no_bus(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is none, so nobody should wait for it."""
    monkeypatch.setattr("calipso.bootstrap.relaying._PATIENCE_SECONDS", 0.1)


POSTGRESQL_15 = Path("/usr/lib/postgresql/15/bin")


@pytest.fixture
def older_server() -> Iterator[str]:
    """The URL of a database on a PostgreSQL 15 of the test's own."""
    if not (POSTGRESQL_15 / "postgres").exists():
        pytest.skip("needs the programs of PostgreSQL 15 (Debian: postgresql-15)")
    folder = Path("/tmp") / f"calipso-pg15-{uuid4().hex[:8]}"
    folder.mkdir(mode=0o700)
    shutil.chown(folder, "postgres", "postgres")
    try:
        _as_postgres(POSTGRESQL_15 / "initdb", "-D", folder / "d", "-A", "trust", "--encoding=UTF8", "--locale=C")
        options = f"-c listen_addresses= -c unix_socket_directories={folder} -c timezone=Europe/Madrid"
        _as_postgres(POSTGRESQL_15 / "pg_ctl", "-D", folder / "d", "-w", "-l", folder / "log", "-o", options, "start")
        try:
            url = f"postgresql://postgres@/calipso?host={folder}"
            _as_postgres(POSTGRESQL_15 / "createdb", "-h", folder, "calipso")
            yield url
        finally:
            _as_postgres(POSTGRESQL_15 / "pg_ctl", "-D", folder / "d", "-m", "fast", "stop")
    finally:
        shutil.rmtree(folder)


def _as_postgres(*arguments: str | Path) -> None:
    subprocess.run([*map(str, arguments)], user="postgres", group="postgres", check=True, capture_output=True, cwd="/")


def test_a_major_version_of_postgresql_is_changed_by_a_backup_and_back(
    older_server: str, make_database: Callable[[], str], tmp_path: Path
) -> None:
    common = {
        "CALIPSO_NATS_URL": "nats://127.0.0.1:9",
        "CALIPSO_MASTER_KEYS": credentials.generate_key_line(),
        "CALIPSO_BACKUPS": str(tmp_path),
    }
    older = Place({**common, "CALIPSO_DATABASE_URL": older_server})
    newer = Place({**common, "CALIPSO_DATABASE_URL": make_database()})
    with older.backend() as backend:
        migrate(backend, make_guacamole=False)
    assert older.run("users", "add", "ada").status == 0
    with older.backend() as backend:
        backend.passwords.set(id_of(backend, "ada"), "secret")
        store(backend, image_added(), *(role_granted(uuid4()) for _ in range(500)))
    assert "on PostgreSQL 15" in older.run("backup", tmp_path / "15.zip").out
    assert newer.run("restore", tmp_path / "15.zip").status == 0
    moved, original = (content(place.environment["CALIPSO_DATABASE_URL"]) for place in (newer, older))
    assert moved == original
    assert newer.run("users", "add", "bob").status == 0
    assert newer.run("backup", tmp_path / "new.zip").status == 0
    _empty_again(older_server)
    assert older.run("restore", tmp_path / "new.zip").status == 0
    assert content(older_server) == content(newer.environment["CALIPSO_DATABASE_URL"])


def _empty_again(url: str) -> None:
    server = psycopg.conninfo.make_conninfo(url, dbname="postgres")
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute("DROP DATABASE calipso")
        connection.execute("CREATE DATABASE calipso")
