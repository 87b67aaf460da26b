"""The time of a request of a user with a long past, beside that of a user without."""

import statistics
import time
from collections.abc import Callable
from uuid import UUID

from measures.facility import Facility, facility, register, request
from measures.results import Result, peak_memory

from calipso.commands.container import RecordContainerFailed
from calipso.commands.dispatch import cause_of
from calipso.events.values import FailureReason

_PAST, _REQUESTS = 1000, 300


def measure(make_database: Callable[[], str]) -> Result:
    """Measure `decide_history`: seconds of a request with `_PAST` containers behind it; the limit is without."""
    with facility(make_database()) as made:
        old, *new = register(made, _REQUESTS + 1)
        for _ in range(_PAST):
            _one(made, old)
        without: list[float] = []
        behind: list[float] = []
        cpu = time.process_time()
        for user in new:
            _one(made, user)  # so that its own events are known, too
            without.append(_one(made, user))
            behind.append(_one(made, old))
        cpu = time.process_time() - cpu
    return Result(
        name="decide_history",
        measured=statistics.median(behind),
        limit=statistics.median(without),
        unit="s",
        spread=(min(behind), max(behind)),
        cpu_ms=cpu / (3 * _REQUESTS) * 1000,
        rss_mb=peak_memory(),
        wanted="<= 2",
        latencies=behind,
        limit_latencies=without,
    )


def _one(made: Facility, user: UUID) -> float:
    """Ask for a container, and end it; gives the seconds that the first took."""
    asked = request(user)
    begun = time.perf_counter()
    made.dispatcher.dispatch(asked, cause_of("bench"))
    taken = time.perf_counter() - begun
    failed = RecordContainerFailed(container_id=asked.container_id, reason=FailureReason.CRASHED, detail="")
    made.dispatcher.dispatch(failed, cause_of("bench"))
    return taken
