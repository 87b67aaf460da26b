"""What each part of the system tells of itself: how far it has come, and whether it works.

Every projection, the relay and every target has one row. Health and waiting requests read them; a report rings the
channel `calipso_shown`, so that those who wait for a projection look at once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from calipso.database import SHOWN, Database

HEARTBEAT_SECONDS = 5.0  # a part that lives tells so at least this often

PARTS_DDL = """
CREATE TABLE IF NOT EXISTS parts (
    name text PRIMARY KEY,
    position bigint NOT NULL,
    ok boolean NOT NULL,
    detail text NOT NULL,
    at timestamptz NOT NULL
)
"""

# a report may come late from a process that lost the race for a batch: a position never goes back
_UPSERT = """
INSERT INTO parts AS p (name, position, ok, detail, at) VALUES (%s, %s, %s, %s, clock_timestamp())
ON CONFLICT (name) DO UPDATE SET
    position = greatest(p.position, excluded.position), ok = excluded.ok, detail = excluded.detail, at = excluded.at
"""


@dataclass(frozen=True, kw_only=True)
class Part:
    """A part's last word: `position` is the last event it has dealt with, `detail` what it says of itself."""

    name: str
    position: int
    ok: bool
    detail: str
    at: datetime


class Parts:
    """The table of parts.

    Args:
        database: the store's database.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def report(self, name: str, *, position: int = 0, ok: bool = True, detail: str = "") -> None:
        """Write a part's row and ring."""
        with self._database.connect() as connection, connection.transaction():
            # a lost report is told again a moment later: not worth a wait for the disk
            connection.execute("SET LOCAL synchronous_commit = off")
            connection.execute(_UPSERT, (name, position, ok, detail))
            connection.execute("SELECT pg_notify(%s, %s)", (SHOWN, f"{name}:{position}"))

    def all(self) -> Sequence[Part]:
        """Every part, by name."""
        with self._database.connect() as connection:
            rows = connection.execute("SELECT name, position, ok, detail, at FROM parts ORDER BY name").fetchall()
        return [Part(**row) for row in rows]

    def position(self, name: str) -> int:
        """How far a part has come, 0 when it never said so."""
        with self._database.connect() as connection:
            row = connection.execute("SELECT position FROM parts WHERE name = %s", (name,)).fetchone()
        return row["position"] if row else 0
