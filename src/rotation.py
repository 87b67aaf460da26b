"""Master keys change: which one is in use, what is still under another, and how that comes under the new one.

The number of the key in use stands in the database, so that all processes change at one time, when the new key has come
to all of them. Passwords of containers derive from a key by its number and cannot be moved; what is wrapped can.
"""

import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import UUID

from cachetools import TTLCache

from calipso.credentials import MasterKeys, generate_key_line
from calipso.database import Database
from calipso.errors import Unavailable
from calipso.installation import NAMING_KEY
from calipso.vault import SUBJECT_KEY, unwrap, wrap

IN_USE_SECONDS = 2.0  # a running process uses the key of before for so long
_AT_ONCE = 500


class KeyInUse:
    """Tells the number of the master key in use; asks the database from time to time.

    Args:
        database: the store's database.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: TTLCache[None, int | None] = TTLCache(1, IN_USE_SECONDS)

    def __call__(self) -> int | None:
        """The number, None before the database is prepared.

        Raises:
            Unavailable: the database does not answer.
        """
        known = self._known.get(None)
        if known is None:
            known = self._known[None] = _number_in_use(self._database)
        return known


def _number_in_use(database: Database) -> int | None:
    with database.connect() as connection:
        made = connection.execute("SELECT to_regclass('installation') IS NOT NULL AS made").fetchone()
        if made is None or not made["made"]:
            return None
        row = connection.execute("SELECT key_number FROM installation").fetchone()
    return row["key_number"] if row else None


def take_into_use(database: Database, keys: MasterKeys, number: int) -> None:
    """Let everything new be made with a key, from now on and everywhere.

    Args:
        database: the store's database.
        keys: the master keys, with the new one among them.
        number: of the new one.

    Raises:
        Unavailable: a key is missing, or another one than it was.
    """
    with database.connect() as connection, connection.transaction():
        row = connection.execute("SELECT id, key_number, naming_key FROM installation FOR UPDATE").fetchone()
        if row is None:
            raise Unavailable("the database", "it is not prepared: run `calipso migrate`")
        wrapped = _rewrapped(keys, number, NAMING_KEY, row["id"], before=row["key_number"], wrapped=row["naming_key"])
        connection.execute("UPDATE installation SET key_number = %s, naming_key = %s", (number, wrapped))


def rewrap_some(database: Database, keys: MasterKeys, number: int) -> int:
    """Wrap some of the subjects' keys under another master key; gives how many, 0 when all are.

    Args:
        database: the store's database.
        keys: the master keys.
        number: of the one that shall wrap them.

    Raises:
        Unavailable: a key is missing, or another one than it was.
    """
    with database.connect() as connection, connection.transaction():
        rows = connection.execute(
            "SELECT subject, key_number, wrapped FROM subject_keys WHERE key_number <> %s LIMIT %s FOR UPDATE",
            (number, _AT_ONCE),
        ).fetchall()
        with connection.cursor() as cursor:
            cursor.executemany(
                "UPDATE subject_keys SET key_number = %s, wrapped = %s WHERE subject = %s",
                [(number, _under(keys, number, row), row["subject"]) for row in rows],
            )
    return len(rows)


def _under(keys: MasterKeys, number: int, row: Mapping[str, Any]) -> bytes | None:
    if row["wrapped"] is None:  # destroyed: only the number changes
        return None
    return _rewrapped(keys, number, SUBJECT_KEY, row["subject"], before=row["key_number"], wrapped=row["wrapped"])


def _rewrapped(keys: MasterKeys, number: int, purpose: str, owner: UUID, *, before: int, wrapped: bytes) -> bytes:
    try:
        plain = unwrap(keys, before, purpose, owner, bytes(wrapped))
    except (KeyError, ValueError) as error:
        raise Unavailable("the master key", f"number {before} is missing or another one") from error
    return wrap(keys, number, purpose, owner, plain)


def wrapped_by_number(database: Database) -> tuple[Mapping[int, int], Mapping[int, int]]:
    """How many subjects' keys, and how many logins' tokens, are under each master key."""
    with database.connect() as connection:
        subjects = connection.execute(
            "SELECT key_number, count(*) AS number FROM subject_keys WHERE wrapped IS NOT NULL GROUP BY key_number"
        ).fetchall()
        tokens = connection.execute(
            "SELECT key_number, count(*) AS number FROM login_tokens JOIN logins USING (key_hash) "
            "WHERE expires > now() GROUP BY key_number"
        ).fetchall()
    return (
        {row["key_number"]: row["number"] for row in subjects},
        {row["key_number"]: row["number"] for row in tokens},
    )


def add_key(file: Path) -> None:
    """Put a fresh key into a key file, with the next number; a crash leaves the file as it was or complete.

    Raises:
        OSError: the file cannot be written.
    """
    lines = [line for line in file.read_text().splitlines() if line.strip()]
    number = max(int(line.partition(":")[0]) for line in lines) + 1
    _write(file, [*lines, generate_key_line(number).strip()])


def remove_key(file: Path, number: int) -> None:
    """Take a key out of a key file.

    Raises:
        OSError: the file cannot be written.
    """
    lines = [line for line in file.read_text().splitlines() if line.strip()]
    _write(file, [line for line in lines if int(line.partition(":")[0]) != number])


def _write(file: Path, lines: list[str]) -> None:
    real = file.resolve()
    fresh = real.with_name(f".{real.name}.{secrets.token_hex(4)}")
    fresh.touch(mode=0o600)
    try:
        owner = real.stat()
        with fresh.open("w") as writing:
            writing.write("\n".join(lines) + "\n")
            writing.flush()
            os.fsync(writing.fileno())
        os.chown(fresh, owner.st_uid, owner.st_gid)
        fresh.chmod(owner.st_mode & 0o777)
        fresh.rename(real)
    finally:
        fresh.unlink(missing_ok=True)
