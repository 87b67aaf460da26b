"""What a run of the harness did and found."""

import json
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(kw_only=True)
class Report:
    """The figures of a run.

    `accepted` counts the requests for containers that the record has, `started` those that became usable;
    `converged` has the seconds of each round from its last fault until everything held; `deaths` counts the processes
    that ended by themselves; memory (bytes) and connections are the most that were seen, of all processes together.
    """

    seed: int
    operations: Counter[str] = field(default_factory=Counter)
    accepted: int = 0
    started: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)
    converged: list[float] = field(default_factory=list)
    deaths: Counter[str] = field(default_factory=Counter)
    events: int = 0
    memory: int = 0
    largest: int = 0
    connections: int = 0

    def as_json(self) -> str:
        """The object that programs read."""
        return json.dumps(
            {
                "seed": self.seed,
                "operations": self.operations.total(),
                "accepted": self.accepted,
                "faults": dict(sorted(self.faults.items())),
                "violations": self.violations,
                "converged_p50_s": _percentile(self.converged, 50),
                "converged_p99_s": _percentile(self.converged, 99),
            }
        )

    def as_text(self) -> str:
        """The same for people, with more beside it."""
        rounds = len(self.converged)
        return "\n".join(
            [
                f"seed {self.seed}, {rounds} rounds that ended in agreement",
                f"operations {self.operations.total()}: {_listed(self.operations)}",
                f"requests accepted {self.accepted}, containers started {self.started}, events {self.events}",
                f"faults {self.faults.total()}: {_listed(self.faults)}",
                f"processes that ended by themselves {self.deaths.total()}: {_listed(self.deaths)}",
                f"agreement after {_percentile(self.converged, 50)} s (p50), {_percentile(self.converged, 99)} s (p99)",
                f"peaks: {self.memory >> 20} MiB in all processes, {self.largest >> 20} MiB in the largest of them",
                f"peak: {self.connections} connections to PostgreSQL",
                f"violations {len(self.violations)}",
                *(f"  {violation}" for violation in self.violations),
            ]
        )


def _percentile(values: Sequence[float], percent: int) -> float | None:
    """The percentile of the values, None of none."""
    if not values:
        return None
    if len(values) == 1:
        return round(values[0], 2)
    return round(statistics.quantiles(values, n=100, method="inclusive")[percent - 1], 2)


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{kind} {count}" for kind, count in sorted(counts.items())) or "none"
