"""Backups of the store: one file with all that cannot be derived, made while everything runs.

The file is a zip archive: for each table what PostgreSQL's COPY gives of it as text, from one snapshot, and at its end
a manifest that tells the number of rows and the SHA-256 of each. COPY's text is the same for every version of
PostgreSQL, and the tables are made by the program that restores: so a backup goes to a newer PostgreSQL and to a newer
Calipso alike.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

FORMAT = 1
MANIFEST = "manifest.json"

# in an order in which they can be filled; read models, and what the parts tell of themselves, are made anew
TABLES: Mapping[str, str] = {
    "installation": "one",
    "subject_keys": "subject",
    "passwords": "user_id",
    "logins": "key_hash",
    "login_tokens": "key_hash",
    "sign_in_attempts": "at",
    "sign_in_flows": "key_hash",
    "stored_events": "notification_id",
    "event_chain": "position",
}
NOT_IN_BACKUPS = frozenset({"parts", "snapshots"})
EVENTS = "stored_events"
SEQUENCE = "stored_events_notification_id_seq"


@dataclass(frozen=True, kw_only=True)
class TableContent:
    """What a backup says of one table."""

    columns: tuple[str, ...]
    rows: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What a backup says of itself.

    `program` is the version of Calipso and `server` that of PostgreSQL; `made` is the time of the snapshot (ISO 8601,
    UTC), `head` the position of its last event and `sequence` the last position that was given.
    """

    format: int
    program: str
    server: str
    made: str
    head: int
    sequence: int
    tables: Mapping[str, TableContent] = field(default_factory=dict)


# how COPY's text reads must not depend on the settings of a server or an account
SESSION = "SET bytea_output = 'hex'; SET datestyle = 'ISO, YMD'; SET timezone = 'UTC'; SET client_encoding = 'UTF8'"
