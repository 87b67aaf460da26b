"""Containers a second in a burst over HTTP, each until it can be used, beside what the database alone would bear."""

import json
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from measures.commands import raw
from measures.results import Result
from measures.slices import one_slice

_REQUESTS, _USERS, _SECONDS = 900, 300, 1  # three of each user, which is what their quota holds
_CLIENTS, _SLICES, _SLICE_SECONDS = 32, 3, 0.4
_OURS = ("api", "project", "relay", "provision")


def measure(make_database: Callable[[], str], folder: Path) -> Result:
    """Measure `burst`: what is requested, provisioned, shown and answered each second, by all processes together.

    The limit is what the database alone would bear: raw commits a second, at 32 clients, by the number of durable
    commands that a container takes in its whole life. Processors are nowhere in it, though clients, NATS and the target
    share them: so the ratio says how far all of it together is from the disk.
    """
    figures = folder / "burst.json"
    with raw(make_database(), _CLIENTS) as insert:
        before = _slices(insert)
        program = [sys.executable, str(Path(__file__).parents[1] / "scale_out")]
        options = ["--requests", str(_REQUESTS), "--users", str(_USERS), "--seconds", str(_SECONDS), "--replicas", "1"]
        ended = subprocess.run([*program, *options, "--json", figures], capture_output=True, text=True, check=False)
        if ended.returncode:
            sys.exit(f"burst: {ended.stdout[-3000:]}{ended.stderr[-3000:]}")
        commits = statistics.median([*before, *_slices(insert)])
    (found,) = json.loads(figures.read_text())
    rates = _rates(found["moments"])
    return Result(
        name="burst",
        measured=found["containers_per_second"],
        limit=commits / found["commands_per_container"],
        unit="/s",
        spread=(min(rates), max(rates)),
        cpu_ms=1000 * sum(found["cpu_seconds"][kind] for kind in _OURS) / _REQUESTS,
        rss_mb=found["rss_mb"],
        wanted=">= 0.02",  # nothing is promised; less would be a step back
        latencies=found["latencies"],
    )


def _slices(insert: Callable[[int], object]) -> list[float]:
    return [one_slice(insert, clients=_CLIENTS, seconds=_SLICE_SECONDS).rate for _ in range(_SLICES)]


def _rates(moments: Sequence[dict[str, Any]]) -> list[float]:
    """Containers that were started in each second while there was something to start."""
    usable = [moment["running"] + moment["done"] for moment in moments]
    return [float(now - then) for then, now in pairwise(usable) if now > then] or [0.0]
