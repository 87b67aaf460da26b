"""Fills an empty store from a backup."""

import time
from typing import Any

from psycopg import Connection
from psycopg.sql import SQL, Identifier

from calipso import installation
from calipso.backups import EVENTS, SEQUENCE, SESSION, TABLES, Manifest
from calipso.backups.making import Told, columns_of
from calipso.backups.reading import Backup
from calipso.credentials import MasterKeys
from calipso.database import Database, lock_number
from calipso.errors import Conflict, Invalid, Unavailable

_CLOSING_SECONDS = 5.0


def fill(database: Database, backup: Backup, keys: MasterKeys, *, beyond: int, told: Told) -> None:
    """Put all that a backup holds into the tables of an empty store: all of it, or nothing.

    Args:
        database: the store's, with the tables of this program.
        backup: what to put there.
        keys: the master keys, of which the backup needs those that it was made with.
        beyond: a position that has been given already, as others know it; later events get higher ones.
        told: hears of the progress.

    Raises:
        Conflict: the store is not empty, or a process of Calipso uses it.
        Invalid: the backup is damaged, or has columns that this program does not know.
        Unavailable: a master key is missing, or the database does not answer.
    """
    _require_unused(database)
    with database.alone() as connection:
        connection.execute(SESSION)
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (lock_number("append"),))
        _require_empty(connection)
        connection.execute("DELETE FROM installation")
        for table, content in backup.manifest.tables.items():
            _fill_table(connection, backup, table, content.columns, told)
        _require_keys(connection, keys)
        _continue_after(connection, backup.manifest, beyond)


def _require_unused(database: Database) -> None:
    """Wait a moment for connections that are being closed, such as our own of before."""
    give_up = time.monotonic() + _CLOSING_SECONDS
    while _is_used(database):
        if time.monotonic() > give_up:
            raise Conflict("restore", "processes of Calipso use this database: stop them first")
        time.sleep(_CLOSING_SECONDS / 20)


def _is_used(database: Database) -> bool:
    with database.alone() as connection:
        found = connection.execute(
            "SELECT FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'calipso'"
        ).fetchone()
    return found is not None


def _require_empty(connection: Connection[dict[str, Any]]) -> None:
    for table in TABLES:
        if table == "installation":  # made by `migrate`
            continue
        query = SQL("SELECT EXISTS (SELECT FROM {}) AS found").format(Identifier(table))
        found = connection.execute(query).fetchone()
        if found is None or found["found"]:
            raise Conflict("restore", f"this system is not empty ({table} has rows): restore into an empty one")


def _fill_table(
    connection: Connection[dict[str, Any]], backup: Backup, table: str, columns: tuple[str, ...], told: Told
) -> None:
    if unknown := set(columns) - set(columns_of(connection, table)):
        program = backup.manifest.program
        raise Invalid(
            "backup", f"{table} has the columns {sorted(unknown)}: made by a newer version of Calipso ({program})?"
        )
    query = SQL("COPY {} ({}) FROM STDIN").format(Identifier(table), SQL(", ").join(map(Identifier, columns)))
    with connection.cursor().copy(query) as copy:
        for block in backup.blocks(table, told):
            copy.write(block)


def _require_keys(connection: Connection[dict[str, Any]], keys: MasterKeys) -> None:
    installation.of_row(connection.execute(installation.QUERY).fetchone(), keys)
    used = connection.execute("SELECT DISTINCT key_number FROM subject_keys WHERE wrapped IS NOT NULL").fetchall()
    if missing := {row["key_number"] for row in used} - keys.keys.keys():
        raise Unavailable("the master key", f"number {min(missing)} is missing, under which personal data is sealed")


def _continue_after(connection: Connection[dict[str, Any]], manifest: Manifest, beyond: int) -> None:
    """No position is given a second time, also not one of an event that the backup does not have."""
    last = max(manifest.sequence, manifest.head, beyond, 1)
    connection.execute("SELECT setval(%s, %s, %s)", (SEQUENCE, last, max(manifest.head, beyond) > 0))
    connection.execute(SQL("ANALYZE {}").format(Identifier(EVENTS)))
