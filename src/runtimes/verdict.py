"""What must be done about a container of which record and target say different things."""

from collections.abc import Iterable
from datetime import datetime
from enum import Enum, auto

from calipso.events.container import Container, State
from calipso.runtimes.protocol import Observation, Status

_STARTING = frozenset({State.REQUESTED, State.STARTING})


class Verdict(Enum):
    """What must be done about one container."""

    NOTHING = auto()
    ATTEND = auto()  # the record asks for something that is not done
    TAKE_OVER = auto()  # a start whose claimant is gone
    EXPIRE = auto()  # its deadline is over
    FORCE = auto()  # the deadline of its stop is over
    ENDED = auto()  # its process ended by itself
    ABSENT = auto()  # the target does not have it
    ORPHAN = auto()  # its record has ended, and the target still has it
    RETIRE = auto()  # it has been stopped for long, and nobody removes it
    UNKNOWN = auto()  # no record of it: only told, for it may be younger than a restored backup


def judge(container: Container | None, observation: Observation | None, now: datetime, *, claim_lives: bool) -> Verdict:
    """Compare what the record says of a container with what its target says.

    Args:
        container: the record, None when there is none.
        observation: the target's word, None when it has nothing.
        now: the time, for deadlines.
        claim_lives: whether the claimant of a start is alive.
    """
    if container is None:
        return Verdict.UNKNOWN
    match container.state:
        case State.REQUESTED | State.STARTING if now >= container.request.deadline:
            return Verdict.EXPIRE
        case State.STARTING:
            return Verdict.NOTHING if claim_lives else Verdict.TAKE_OVER
        case State.STOPPING if now >= (container.stop_deadline or now):
            return Verdict.FORCE
        case State.REQUESTED | State.STOPPING:
            return Verdict.ATTEND
        case State.RUNNING if observation is None:
            return Verdict.ABSENT
        case State.RUNNING if observation and observation.status is Status.EXITED:
            return Verdict.ENDED
        case State.STOPPED if container.removal_requested:
            return Verdict.ATTEND
        case State.FAILED | State.LOST | State.REMOVED if observation is not None:
            return Verdict.ORPHAN
    return Verdict.NOTHING


def deadline_of(container: Container) -> datetime | None:
    """When the state that a container is in ends at the latest; None when it lasts as long as somebody wants it."""
    if container.state in _STARTING:
        return container.request.deadline
    return container.stop_deadline if container.state is State.STOPPING else None


def next_deadline(containers: Iterable[Container | None], now: datetime) -> float | None:
    """The seconds until the next deadline of these; None when none comes."""
    deadlines = [deadline for container in containers if container and (deadline := deadline_of(container))]
    # what is over already was acted on, and is tried again after the period
    return min(((deadline - now).total_seconds() for deadline in deadlines if deadline > now), default=None)
