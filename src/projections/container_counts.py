"""What metrics tell of containers, counted in their read model."""

from dataclasses import dataclass

from sqlalchemy import Connection, func, select

from calipso.events.container import ACTIVE, State
from calipso.projections.containers import containers

START_SECONDS = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 240.0)


@dataclass(frozen=True, kw_only=True)
class Counts:
    """What metrics tell of containers.

    `by_state` counts containers; `failures` by runtime and reason; `starts` by runtime: for each bound of
    `START_SECONDS` and for the whole, how many were usable within it, and the sum of all seconds.
    """

    by_state: dict[State, int]
    failures: dict[tuple[str, str], int]
    starts: dict[str, tuple[list[int], float]]


def by_key_number(connection: Connection) -> dict[int, int]:
    """How many containers that may still run have passwords from each master key."""
    active = containers.c.state.in_(sorted({*ACTIVE, State.STOPPED}))
    query = select(containers.c.key_number, func.count()).where(active).group_by(containers.c.key_number)
    return {row[0]: row[1] for row in connection.execute(query)}


def counts(connection: Connection) -> Counts:
    """What metrics tell of containers."""
    states = select(containers.c.state, func.count()).group_by(containers.c.state)
    failed = select(containers.c.runtime, containers.c.failure_reason, func.count())
    failed = failed.where(containers.c.failure_reason != "").group_by(containers.c.runtime, containers.c.failure_reason)
    seconds = func.extract("epoch", containers.c.started - containers.c.created)
    within = [func.count().filter(seconds <= bound) for bound in START_SECONDS]
    starts = select(containers.c.runtime, *within, func.count(), func.sum(seconds))
    starts = starts.where(containers.c.started.is_not(None)).group_by(containers.c.runtime)
    return Counts(
        by_state={State(state): number for state, number in connection.execute(states)},
        failures={(runtime, reason): number for runtime, reason, number in connection.execute(failed)},
        starts={row[0]: ([int(n) for n in row[1:-1]], float(row[-1])) for row in connection.execute(starts)},
    )
