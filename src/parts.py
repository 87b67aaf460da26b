"""What each part of the system tells of itself: how far it has come, and whether it works.

Every projection, the relay and every target has one row. Health and waiting requests read them; a report rings the
channel `calipso_shown`, so that those who wait for a projection look at once.
"""

import asyncio
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import structlog

from calipso.database import SHOWN, Database
from calipso.errors import Unavailable

_log = structlog.get_logger()

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
# in one order, so that two processes that report the same parts never wait for each other
# a lost report is told again a moment later: not worth a wait for the disk
_TELL = """
WITH told AS (
    INSERT INTO parts AS p (name, position, ok, detail, at)
    SELECT r.name, r.position, r.ok, r.detail, clock_timestamp()
    FROM unnest(%s::text[], %s::bigint[], %s::boolean[], %s::text[]) AS r (name, position, ok, detail) ORDER BY r.name
    ON CONFLICT (name) DO UPDATE SET
        position = greatest(p.position, excluded.position), ok = excluded.ok, detail = excluded.detail, at = excluded.at
)
SELECT set_config('synchronous_commit', 'off', true), pg_notify(%s, %s)
"""


@dataclass(frozen=True, kw_only=True)
class Part:
    """A part's last word: `position` is the last event it has dealt with, `detail` what it says of itself."""

    name: str
    position: int
    ok: bool
    detail: str
    at: datetime


@dataclass(frozen=True, kw_only=True)
class Report:
    """What a part tells of itself."""

    name: str
    position: int = 0
    ok: bool = True
    detail: str = ""


def format_notice(reports: Sequence[Report]) -> str:
    """The payload of the channel: each part with its position."""
    return ",".join(f"{report.name}:{report.position}" for report in reports)


def parse_notice(payload: str) -> dict[str, int]:
    """The positions of a payload of the channel."""
    pairs = (item.rpartition(":") for item in payload.split(",") if item)
    return {name: int(position) for name, _, position in pairs}


class Parts:
    """The table of parts.

    Args:
        database: the store's database.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def report(self, name: str, *, position: int = 0, ok: bool = True, detail: str = "") -> None:
        """Write a part's row and ring."""
        self.report_all([Report(name=name, position=position, ok=ok, detail=detail)])

    def report_all(self, reports: Sequence["Report"]) -> None:
        """Write the rows of several parts at once, and ring once."""
        columns = [[getattr(report, name) for report in reports] for name in ("name", "position", "ok", "detail")]
        with self._database.connect() as connection:
            connection.execute(_TELL, (*columns, SHOWN, format_notice(reports)), prepare=True)

    def all(self) -> Sequence[Part]:
        """Every part, by name."""
        with self._database.connect() as connection:
            rows = connection.execute("SELECT name, position, ok, detail, at FROM parts ORDER BY name").fetchall()
        return [Part(**row) for row in rows]

    def forget(self, name: str) -> None:
        """Let a part begin anew, as if it had never said how far it has come."""
        with self._database.connect() as connection:
            connection.execute("DELETE FROM parts WHERE name = %s", (name,))

    def position(self, name: str) -> int:
        """How far a part has come, 0 when it never said so."""
        with self._database.connect() as connection:
            row = connection.execute("SELECT position FROM parts WHERE name = %s", (name,)).fetchone()
        return row["position"] if row else 0


class Reporter:
    """Collects the reports of a process' parts and writes together what has gathered.

    Args:
        parts: where reports are written.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._gathered: dict[str, Report] = {}
        self._lock = threading.Lock()
        self._loop = asyncio.get_running_loop()
        self._woken = asyncio.Event()

    def report(self, report: Report) -> None:
        """Take a report, from any thread; a newer one of the same part takes the place of an older."""
        with self._lock:
            is_first = not self._gathered
            self._gathered[report.name] = report
        if is_first:  # the others are written with it
            self._loop.call_soon_threadsafe(self._woken.set)

    async def run(self) -> None:
        """Write reports for ever; what cannot be written now is told again by the next heartbeat."""
        while True:
            await self._woken.wait()
            self._woken.clear()
            with self._lock:
                reports, self._gathered = list(self._gathered.values()), {}
            try:
                await asyncio.to_thread(self._parts.report_all, reports)
            except Unavailable as error:
                _log.warning("could not report", reason=str(error))
