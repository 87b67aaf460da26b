"""What a long history costs: questions about the past, pages of a history, new requests, and room on disk."""

import random
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from urllib.parse import quote

from measures.servers import USER, Server, installation

from calipso.backend import Backend
from calipso.cli.common import running
from calipso.commands.dispatch import Dispatcher
from calipso.commands.handling import QUOTA
from calipso.commands.handling import USER as USERS
from calipso.events.container import ContainerRequested
from calipso.events.naming import quota_stream
from calipso.snapshots import StoredSnapshots

_QUESTIONS = 100
_WAIT_SECONDS = 1800
_SETTINGS = {"CALIPSO_MAX_RESOURCES_PER_USER": "100000", "CALIPSO_LOG_LEVEL": "warning"}
_REQUESTED = (
    "SELECT notification_id AS position, recorded_at AS time, originator_id AS stream,"
    " (convert_from(state, 'UTF8')::json -> 'data' ->> 'user_id')::uuid AS user_id FROM stored_events WHERE topic = %s"
    " ORDER BY random() LIMIT %s"
)


@dataclass(kw_only=True)
class Cost:
    """What was measured with so many events in the store.

    `seconds` has the times of each kind of question; `bytes` the size of each group of tables.
    """

    events: int
    containers: int
    seconds: dict[str, list[float]] = field(default_factory=dict)
    bytes: dict[str, int] = field(default_factory=dict)


def measure(folder: Path, events: int, say: Callable[[str], None]) -> Cost:
    """Write a history into a new installation, and measure.

    Args:
        folder: for its data.
        events: how many.
        say: hears how it goes.
    """
    with installation(folder, _SETTINGS, has_demo=False):
        _write(folder, events)
    # the demo comes behind the history: times never go back in a store
    with installation(folder, _SETTINGS, seconds=_WAIT_SECONDS) as server, running(folder / "d") as backend:
        say(f"{backend.store.head()} events are stored")
        _wait_for_projections(server, backend)
        say("all read models show them")
        return _cost(backend, server)


def _write(folder: Path, events: int) -> None:
    program = [sys.executable, str(Path(__file__).parents[1] / "make_history"), "--data", str(folder / "d")]
    users = min(1000, max(20, events // 50))
    subprocess.run([*program, "--events", str(events), "--users", str(users)], check=True, capture_output=True)


def _wait_for_projections(server: Server, backend: Backend) -> None:
    deadline, head = time.monotonic() + _WAIT_SECONDS, backend.store.head()
    while any(part.position < head for part in backend.parts.all() if part.name in {"containers", "quotas", "audit"}):
        if time.monotonic() > deadline:
            sys.exit(f"the read models of {server.url} are still behind after {_WAIT_SECONDS} s")
        time.sleep(0.5)


def _cost(backend: Backend, server: Server) -> Cost:
    administrator = server.sign_in("admin")
    with backend.database.connect() as connection:
        connection.execute("ANALYZE")
        rows = connection.execute(_REQUESTED, (ContainerRequested.topic(), _QUESTIONS)).fetchall()
        count = connection.execute(
            "SELECT count(*) AS number FROM stored_events WHERE topic = %s", (ContainerRequested.topic(),)
        ).fetchone()
    names = {row["user_id"]: backend.dispatcher.state(USERS, row["user_id"]).name for row in rows}
    cost = Cost(events=backend.store.head(), containers=count["number"])

    def ask(kind: str, path: Callable[[dict], str]) -> None:
        cost.seconds[kind] = [_timed(lambda row=row: administrator.ask("GET", path(row))) for row in rows]

    def then(row: dict) -> str:
        moment = row["time"] + timedelta(seconds=random.uniform(0.01, 3600))  # noqa: S311 - any time does
        return quote(moment.isoformat())

    ask("one user at a time of the past", lambda row: f"/resource/list/{names[row['user_id']]}/?at={then(row)}")
    ask("one container at a time of the past", lambda row: f"/containers/{row['position']}?at={then(row)}")
    ask("a page of a user's history", lambda row: f"/audit/events/?user={names[row['user_id']]}")
    scientist = server.sign_in()
    cost.seconds["a request that starts a link"] = [
        _timed(lambda n=n: scientist.ask("POST", f"/resource/run/{USER}/grown{cost.events}-{n}/manual/"))
        for n in range(_QUESTIONS // 2)
    ]
    cost.seconds["deciding on a user never seen before"] = [_timed(lambda row=row: _see(backend, row)) for row in rows]
    cost.bytes = _bytes(backend)
    return cost


def _see(backend: Backend, row: dict) -> None:
    """Fold the streams of a user in a dispatcher that knows nothing."""
    policy = backend.settings.policy(backend.keys.newest)
    dispatcher = Dispatcher(backend.store, policy, snapshots=StoredSnapshots(backend.database, backend.subject_keys))
    dispatcher.state(USERS, row["user_id"])
    dispatcher.state(QUOTA, quota_stream(row["user_id"]))


def _timed(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def _bytes(backend: Backend) -> dict[str, int]:
    """The tables with their indexes: events, hashes of the chain, read models, all else."""
    query = (
        "SELECT schemaname AS schema, relname AS name, pg_table_size(relid) AS rows, pg_indexes_size(relid) AS indexes"
        " FROM pg_stat_user_tables"
    )
    with backend.database.connect() as connection:
        tables = connection.execute(query).fetchall()
    found = dict.fromkeys(("events", "indexes of the events", "chain of hashes", "read models", "snapshots"), 0)
    for table in tables:
        size = table["rows"] + table["indexes"]
        if table["name"] == "stored_events":
            found["events"], found["indexes of the events"] = table["rows"], table["indexes"]
        elif table["name"] == "event_chain":
            found["chain of hashes"] = size
        elif table["name"] == "snapshots":
            found["snapshots"] = size
        elif table["schema"].startswith("rm_"):
            found["read models"] += size
    return found
