"""Who this installation is: an id for everything that it makes on targets, and the key of its stream names.

Made once by `migrate`, never by a setting, so that two installations on one engine can never take each other's
containers for their own.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

from calipso.credentials import KEY_BYTES, MasterKeys
from calipso.database import Database
from calipso.errors import Unavailable
from calipso.events.naming import Naming
from calipso.vault import unwrap, wrap

NOT_PREPARED = "it is not prepared: run `calipso migrate`"
NAMING_KEY = "naming key"  # what it is wrapped for

INSTALLATION_DDL = """
CREATE TABLE IF NOT EXISTS installation (
    one integer PRIMARY KEY CHECK (one = 1),
    id uuid NOT NULL,
    key_number integer NOT NULL,
    naming_key bytea NOT NULL
)
"""


QUERY = "SELECT id, key_number, naming_key FROM installation"


@dataclass(frozen=True, kw_only=True)
class Installation:
    """The installation's id, and what makes its stream names."""

    id: UUID
    naming: Naming


def make(database: Database, keys: MasterKeys) -> None:
    """Make the installation's row where it is missing."""
    installation_id, number = uuid4(), keys.newest
    naming_key = wrap(keys, number, NAMING_KEY, installation_id, os.urandom(KEY_BYTES))
    with database.connect() as connection:
        connection.execute(
            "INSERT INTO installation (one, id, key_number, naming_key) VALUES (1, %s, %s, %s) ON CONFLICT DO NOTHING",
            (installation_id, number, naming_key),
        )


def id_of(database: Database) -> UUID:
    """The installation's id alone, for which no key is needed.

    Raises:
        Unavailable: the database was never prepared.
    """
    with database.connect() as connection:
        exists = connection.execute("SELECT to_regclass('installation') IS NOT NULL AS found").fetchone()
        row = connection.execute("SELECT id FROM installation").fetchone() if exists and exists["found"] else None
    if row is None:
        raise Unavailable("the database", NOT_PREPARED)
    found: UUID = row["id"]
    return found


def load(database: Database, keys: MasterKeys) -> Installation:
    """Read the installation's row.

    Raises:
        Unavailable: the database was never prepared, or the master key is not the one that it was prepared with.
    """
    with database.connect() as connection:
        exists = connection.execute("SELECT to_regclass('installation') IS NOT NULL AS found").fetchone()
        if not exists or not exists["found"]:
            raise Unavailable("the database", NOT_PREPARED)
        row = connection.execute(QUERY).fetchone()
    return of_row(row, keys)


def of_row(row: Mapping[str, Any] | None, keys: MasterKeys) -> Installation:
    """The installation of the row that `QUERY` gives.

    Raises:
        Unavailable: there is no row, or the master key is not the one that it was made with.
    """
    if row is None:
        raise Unavailable("the database", NOT_PREPARED)
    try:
        key = unwrap(keys, row["key_number"], NAMING_KEY, row["id"], bytes(row["naming_key"]))
    except (KeyError, ValueError) as error:
        raise Unavailable("the master key", f"number {row['key_number']} is missing or another one") from error
    return Installation(id=row["id"], naming=Naming(key))
