"""One burst over one installation, and what must hold behind it."""

import asyncio
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field

from tests.faults.invariants import Invariants
from tests.scale.clients import Answers, burst
from tests.scale.installation import ScaledOut, Size, scaled_out
from tests.scale.shape import Moment, shape

from calipso.events.container import ACTIVE, ContainerRequested, ContainerStarted, State
from calipso.events.envelope import Recorded

_QUIET_SECONDS = 300
_LOOK_SECONDS = 0.5
_TOLD = 5  # of many violations


@dataclass(kw_only=True)
class Outcome:
    """What became of a burst.

    `containers_per_second` counts from the first request to the last start; `commands_per_container` are the durable
    commands of one whole life; `seconds` tells when the last answer came, the last start was, and all had ended;
    `cpu_seconds` is the processor time of each kind of process meanwhile, `rss_mb` what ours held of the memory at the
    end, in megabytes; `violations` what does not hold.
    """

    size: Size
    requests: int
    within: float
    outcomes: dict[str, int]
    statuses: dict[str, int]
    seconds: dict[str, float]
    containers_per_second: float
    commands_per_container: float
    events_per_container: float
    answer_seconds: dict[str, float]
    cpu_seconds: dict[str, float]
    rss_mb: float
    violations: list[str]
    latencies: list[float] = field(repr=False)
    moments: list[Moment] = field(repr=False)

    def as_json(self) -> dict[str, object]:
        """All figures."""
        return asdict(self)


def run(size: Size, requests: int, within: float, say: Callable[[str], None] = lambda _: None) -> Outcome:
    """Run a burst over a fresh installation, wait until all has ended, and check.

    Args:
        size: how many of each.
        requests: how many are sent.
        within: in how many seconds.
        say: hears how it goes.
    """
    with scaled_out(size) as made:
        say(f"{size.replicas} replicas and {size.provisioners} provisioners run, {size.users} users are signed in")
        before = made.cpu()
        answers = asyncio.run(burst(made.urls, made.logins, requests, within))
        say(f"all is answered after {answers.ended - answers.began:.0f} s: {dict(answers.outcomes)}")
        with Invariants(made, answers.told) as invariants:
            _wait_until_none(ACTIVE - {State.RUNNING}, invariants)
            used, memory = _difference(made.cpu(), before), made.memory()
            violations = _disagreements(invariants, rebuilds=False)
            made.engine.end_all()
            ended = _wait_until_none(ACTIVE, invariants)
            say(f"all has ended after {ended - answers.began:.0f} s")
            found = list(_wrong(made, invariants.record.events, answers, requests))
            violations += [
                *_disagreements(invariants, rebuilds=True),
                *found[:_TOLD],
                *([f"{len(found)} in all"] if found[_TOLD:] else []),
            ]
            events = invariants.record.events
            commands = _commands(made, answers.began)
    since = [r for r in events if r.time.timestamp() >= answers.began]
    return _outcome(
        size,
        requests,
        within,
        answers=answers,
        events=since,
        ended=ended,
        used=used,
        violations=violations,
        commands=commands,
        memory=memory,
    )


def _difference(now: dict[str, float], before: dict[str, float]) -> dict[str, float]:
    return {name: seconds - before.get(name, 0) for name, seconds in now.items()}


def _wait_until_none(states: frozenset[State], invariants: Invariants) -> float:
    """Wait until no container is in these states, or for too long; gives when that was."""
    deadline = time.monotonic() + _QUIET_SECONDS
    record = invariants.record
    while time.monotonic() < deadline:
        record.catch_up(invariants.store)
        if not any(container.state in states for container in record.containers.values()):
            break
        time.sleep(_LOOK_SECONDS)
    return time.time()


def _disagreements(invariants: Invariants, *, rebuilds: bool) -> list[str]:
    """What does not agree, once the parts have had their time."""
    deadline = time.monotonic() + _QUIET_SECONDS
    while left := invariants.violations(rebuilds=rebuilds):
        if time.monotonic() > deadline:
            return left
        time.sleep(_LOOK_SECONDS)
    return []


def _commands(made: ScaledOut, began: float) -> int:
    """How many commands were stored since a time."""
    query = "SELECT count(DISTINCT command_id) AS number FROM stored_events WHERE recorded_at >= to_timestamp(%s)"
    with made.backend() as backend, backend.database.connect() as connection:
        row = connection.execute(query, (began,)).fetchone()
    return int(row["number"]) if row else 0


def _wrong(made: ScaledOut, events: Sequence[Recorded], answers: Answers, requests: int) -> Iterator[str]:
    """What the invariants of the harness of faults do not ask for: each request once, each container once."""
    asked = Counter(r.event.label for r in events if isinstance(r.event, ContainerRequested))
    started = Counter(r.event.container_id for r in events if isinstance(r.event, ContainerStarted))
    yield from (f"the request {label} has {n} containers" for label, n in asked.items() if n > 1)
    yield from (f"{key} started {n} times" for key, n in started.items() if n > 1)
    yield from (f"{key} was made {n} times on the target" for key, n in made.engine.made().items() if n > 1)
    yield from (f"{n} requests ended with {told}" for told, n in answers.outcomes.items() if told not in _LAWFUL)
    if (answered := answers.outcomes.total()) != requests:
        yield f"{answered} of {requests} requests were answered"
    accepted = answers.outcomes["accepted"] + answers.outcomes["accepted before"]
    if accepted != len(asked):
        yield f"{accepted} requests were accepted, and {len(asked)} are in the record"


_LAWFUL = {"accepted", "accepted before", "refused"}


def _outcome(
    size: Size,
    requests: int,
    within: float,
    *,
    answers: Answers,
    events: Sequence[Recorded],
    ended: float,
    used: dict[str, float],
    violations: list[str],
    commands: int,
    memory: float,
) -> Outcome:
    starts = [r.time.timestamp() for r in events if isinstance(r.event, ContainerStarted)]
    last = max(starts, default=answers.began)
    containers = max(1, len(starts))
    return Outcome(
        size=size,
        requests=requests,
        within=within,
        outcomes=dict(answers.outcomes),
        statuses=dict(answers.statuses),
        seconds={
            "last answer": round(answers.ended - answers.began, 2),
            "last start": round(last - answers.began, 2),
            "all ended": round(ended - answers.began, 2),
        },
        containers_per_second=round(len(starts) / max(last - answers.began, 0.001), 1),
        commands_per_container=round(commands / containers, 2),
        events_per_container=round(len(events) / containers, 2),
        answer_seconds=_spread(answers.seconds),
        cpu_seconds={name: round(seconds, 2) for name, seconds in sorted(used.items())},
        rss_mb=round(memory, 1),
        violations=violations,
        latencies=answers.seconds,
        moments=shape(events, answers.began),
    )


def _spread(found: Sequence[float]) -> dict[str, float]:
    if len(found) < 2:
        return {}
    parts = statistics.quantiles(found, n=100)
    return {"p50": round(parts[49], 2), "p99": round(parts[98], 2), "most": round(max(found), 2)}
