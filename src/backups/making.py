"""Makes a backup."""

import contextlib
import hashlib
import os
import zipfile
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec
from psycopg import Connection
from psycopg.sql import SQL, Identifier

from calipso.backups import FORMAT, MANIFEST, SEQUENCE, SESSION, TABLES, Manifest, TableContent
from calipso.database import Database
from calipso.errors import Invalid, Unavailable

_UNFINISHED = ".unfinished"

Told = Callable[[str, int, int], None]
"""Hears of the progress: the table, the rows that are done, and all its rows."""


def make(database: Database, file: Path, told: Told) -> Manifest:
    """Write a backup of the store as it is now; nobody has to wait for it.

    Args:
        database: the store's database.
        file: a new file, made for its owner alone; it is there when it is whole, and on the disk.
        told: hears of the progress.

    Raises:
        Invalid: the file exists, or its folder is no place for it.
        Unavailable: the database does not answer, or the disk is full.
    """
    if file.exists():
        raise Invalid("file", f"{file} exists already")
    unfinished = file.with_name(f".{file.name}{_UNFINISHED}")
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with open(unfinished, "wb", opener=_private) as raw:
            with zipfile.ZipFile(raw, "w", zipfile.ZIP_DEFLATED, compresslevel=3) as archive:
                manifest = _write(database, archive, told)
            raw.flush()
            os.fsync(raw.fileno())
        unfinished.rename(file)
    except OSError as error:
        raise Unavailable("the backup", f"{file}: {error.strerror or error}") from error
    finally:
        with contextlib.suppress(OSError):
            unfinished.unlink(missing_ok=True)
    return manifest


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, mode=0o600)


def _write(database: Database, archive: zipfile.ZipFile, told: Told) -> Manifest:
    with _snapshot(database) as connection:
        about = _one(
            connection,
            'SELECT to_char(now(), \'YYYY-MM-DD"T"HH24:MI:SS"Z"\') AS made, '
            "current_setting('server_version') AS server, coalesce(max(notification_id), 0) AS head FROM stored_events",
        )
        tables = {table: _write_table(connection, archive, table, told) for table in TABLES}
        sequence = _one(connection, f"SELECT last_value FROM {SEQUENCE}")["last_value"]  # noqa: S608 - our own name
    manifest = Manifest(format=FORMAT, program=version("calipso"), sequence=sequence, tables=tables, **about)
    archive.writestr(MANIFEST, msgspec.json.format(msgspec.json.encode(manifest), indent=2))
    return manifest


@contextlib.contextmanager
def _snapshot(database: Database) -> Iterator[Connection[dict[str, Any]]]:
    """A transaction that sees the database as it is at its beginning."""
    with database.alone() as connection:
        connection.execute(SESSION)
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        yield connection


def _write_table(
    connection: Connection[dict[str, Any]], archive: zipfile.ZipFile, table: str, told: Told
) -> TableContent:
    columns = columns_of(connection, table)
    expected = _one(connection, f"SELECT count(*) AS number FROM {table}")["number"]  # noqa: S608 - our own name
    query = SQL("COPY (SELECT {} FROM {} ORDER BY {}) TO STDOUT").format(
        SQL(", ").join(map(Identifier, columns)), Identifier(table), Identifier(TABLES[table])
    )
    rows, digest = 0, hashlib.sha256()
    with archive.open(member_of(table), "w", force_zip64=True) as member, connection.cursor().copy(query) as copy:
        for row in copy:
            member.write(row)
            digest.update(row)
            rows += 1
            told(table, rows, expected)
    return TableContent(columns=columns, rows=rows, sha256=digest.hexdigest())


def member_of(table: str) -> str:
    """The name of a table's content within the archive."""
    return f"{table}.copy"


def columns_of(connection: Connection[dict[str, Any]], table: str) -> tuple[str, ...]:
    """The columns of a table, in their order.

    Raises:
        Unavailable: there is no such table.
    """
    found = connection.execute(
        "SELECT attname FROM pg_attribute WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped "
        "ORDER BY attnum",
        (table,),
    ).fetchall()
    if not found:
        raise Unavailable("the database", f"it has no table {table}: run `calipso migrate`")
    return tuple(row["attname"] for row in found)


def _one(connection: Connection[dict[str, Any]], query: str) -> dict[str, Any]:
    row = connection.execute(query.encode()).fetchone()
    if row is None:
        raise Unavailable("the database", "it gave no answer")
    return row
