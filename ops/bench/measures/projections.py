"""Events applied a second by read models, beside reading and decoding the same events."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from measures.results import Result, rate
from measures.slices import Slice, in_turn
from sqlalchemy.schema import DropSchema

from calipso.backend import Backend
from calipso.bootstrap.databases import migrate
from calipso.projections.containers import Containers
from calipso.projections.protocol import Projection
from calipso.projections.registry import read_models
from calipso.projections.runner import BATCH, Runner
from calipso.projections.shared_log import SharedLog
from calipso.projections.together import Group
from calipso.settings import load, secret

EVENTS = 20_000
_ROUNDS = 3
_MASTER_KEY = "1:" + "A" * 43 + "="


def measure(make_database: Callable[[], str], name: str) -> Result:
    """Measure `projection` (the one of containers) or `rebuild` (all read models together)."""
    backend = Backend(load(database_url=make_database(), master_keys=secret(_MASTER_KEY)))
    try:
        migrate(backend, make_guacamole=False)
        _write_history(backend)
        models = [Containers()] if name == "projection" else list(read_models())
        works = [partial(_read, backend), partial(_apply, backend, models)]
        limit, measured = in_turn(works, rounds=_ROUNDS)
    finally:
        backend.close()
    return rate(name, measured, limit, wanted=0.4 if name == "projection" else 0.2)


def _write_history(backend: Backend) -> None:
    program = [sys.executable, str(Path(__file__).parents[1] / "make_history"), "--events", str(EVENTS)]
    environment = {
        **os.environ,
        "CALIPSO_DATABASE_URL": backend.settings.database_url,
        "CALIPSO_MASTER_KEYS": _MASTER_KEY,
    }
    subprocess.run(program, env=environment, check=True, capture_output=True)


def _timed(work: Callable[[], int]) -> Slice:
    cpu, begun = time.process_time(), time.perf_counter()
    count = work()
    taken = time.perf_counter() - begun
    return Slice(count / taken, time.process_time() - cpu, [taken / count] * count)


def _read(backend: Backend) -> Slice:
    def work() -> int:
        position, count = 0, 0
        while (page := backend.store.read(after=position, limit=BATCH)).events:
            position, count = page.last, count + len(page.events)
        return count

    return _timed(work)


def _apply(backend: Backend, models: Sequence[Projection]) -> Slice:
    """From nothing, as the projector does: all share what is read, and a transaction for each batch."""
    for model in models:
        with backend.engine.begin() as connection:
            connection.execute(DropSchema(f"rm_{model.name}", cascade=True))
            model.prepare(connection)
    log = SharedLog(backend.store)
    runners = [Runner(projection=model, engine=backend.engine, log=log, report=_unheard) for model in models]
    group = Group(runners)

    def work() -> int:
        while group.advance():
            pass
        return min(runner.seen for runner in runners)

    return _timed(work)


def _unheard(position: int, ok: bool, detail: str) -> None:
    """Reports go nowhere."""
