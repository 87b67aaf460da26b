"""What a measurement gives: a figure beside the limit that was taken in the same run."""

import resource
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from measures.slices import Slice

_NOT_TOLD = {"wanted", "latencies", "limit_latencies"}


@dataclass(frozen=True, kw_only=True)
class Result:
    """One line of the table.

    Args:
        name: what was measured.
        measured: the figure, in `unit`.
        limit: the figure of what nothing of ours can beat on this machine, or what may not be passed, in `unit`.
        unit: of both; a rate (`/s`) is better when it is higher, a time when it is lower.
        spread: the least and the greatest figure of a slice.
        cpu_ms: processor time of our process for one operation, in milliseconds.
        rss_mb: the most memory that our process ever had, in megabytes.
        wanted: the ratio that is wanted, as `>= 0.3` or `<= 1`.
        latencies: the seconds of each operation, for pictures; none where only many together were timed.
        limit_latencies: the same of the limit.
    """

    name: str
    measured: float
    limit: float
    unit: str
    spread: tuple[float, float]
    cpu_ms: float
    rss_mb: float
    wanted: str
    latencies: Sequence[float] = ()
    limit_latencies: Sequence[float] = ()

    @property
    def ratio(self) -> float:
        """The figure as a part of its limit."""
        return self.measured / self.limit if self.limit else 0.0

    @property
    def is_good(self) -> bool:
        """Whether the ratio is as wanted."""
        sign, number = self.wanted.split()
        return self.ratio >= float(number) if sign == ">=" else self.ratio <= float(number)

    def as_json(self) -> dict[str, Any]:
        """The line as an object."""
        shown = {name: value for name, value in asdict(self).items() if name not in _NOT_TOLD}
        return shown | {"ratio": self.ratio}


def rate(
    name: str, ours: Sequence[Slice], limit: Sequence[Slice], *, wanted: float, rss_mb: float | None = None
) -> Result:
    """Operations a second beside those of the limit; `rss_mb` if they were done by another process than this one."""
    rates = [one.rate for one in ours]
    operations = sum(len(one.latencies) for one in ours)
    return Result(
        name=name,
        measured=statistics.median(rates),
        limit=statistics.median(one.rate for one in limit),
        unit="/s",
        spread=(min(rates), max(rates)),
        cpu_ms=sum(one.cpu_seconds for one in ours) / max(operations, 1) * 1000,
        rss_mb=peak_memory() if rss_mb is None else rss_mb,
        wanted=f">= {wanted}",
        latencies=[seconds for one in ours for seconds in one.latencies],
        limit_latencies=[seconds for one in limit for seconds in one.latencies],
    )


def peak_memory() -> float:
    """The most memory that this process ever had, in megabytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
