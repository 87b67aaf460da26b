"""What happens to a container after its request: claims, results, ends."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from calipso.commands.handling import CONTAINER, QUOTA, Circumstances, Reader, handles
from calipso.commands.texts import check_reason
from calipso.errors import Conflict, NotFound
from calipso.events import container as facts
from calipso.events.container import Container, State
from calipso.events.envelope import Event
from calipso.events.naming import quota_stream
from calipso.events.quota import Quota, QuotaReleased
from calipso.events.values import FailureReason, Placement

_BEFORE_RUNNING = frozenset({State.REQUESTED, State.STARTING})


@dataclass(frozen=True, kw_only=True)
class ContainerCommand:
    """A command about one container."""

    container_id: UUID


@dataclass(frozen=True, kw_only=True)
class StopContainer(ContainerCommand):
    """Its owner or an administrator wants it stopped."""


@dataclass(frozen=True, kw_only=True)
class RemoveContainer(ContainerCommand):
    """Its owner or an administrator wants it gone; it is stopped first if need be."""


@dataclass(frozen=True, kw_only=True)
class ClaimContainer(ContainerCommand):
    """A provisioner takes the start on; `dead` names a claimant that is known to be gone."""

    claimant: str
    dead: str = ""


@dataclass(frozen=True, kw_only=True)
class AdoptContainer(ContainerCommand):
    """A provisioner takes on what a dead claimant left on the target."""

    claimant: str
    dead: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class RecordContainerStarted(ContainerCommand):
    """The container can be used."""

    claimant: str
    placement: Placement
    image_digest: str


@dataclass(frozen=True, kw_only=True)
class RecordContainerFailed(ContainerCommand):
    """The container will not become usable."""

    reason: FailureReason
    detail: str
    log: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class RecordContainerEnded(ContainerCommand):
    """The process of the container ended by itself, with this exit code."""

    exit_code: int
    detail: str = ""
    log: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class RecordContainerStopped(ContainerCommand):
    """The container was stopped on request."""

    reason: str = "stopped on request"


@dataclass(frozen=True, kw_only=True)
class RecordContainerRemoved(ContainerCommand):
    """Nothing of the container is left."""


@dataclass(frozen=True, kw_only=True)
class RecordContainerLost(ContainerCommand):
    """The target answered, twice, and the container was not there."""

    reason: str


@dataclass(frozen=True, kw_only=True)
class ExpireContainer(ContainerCommand):
    """The container's deadline may be over: end the request if it is."""

    reason: FailureReason = FailureReason.TIMEOUT
    detail: str = "not usable before its deadline"


@dataclass(frozen=True, kw_only=True)
class EndContainer(ContainerCommand):
    """An administrator ends it in the record, whatever its target does; what is left there becomes an orphan."""

    reason: str


@handles(StopContainer)
@handles(RemoveContainer)
@handles(ClaimContainer)
@handles(AdoptContainer)
@handles(RecordContainerStarted)
@handles(RecordContainerFailed)
@handles(RecordContainerEnded)
@handles(RecordContainerStopped)
@handles(RecordContainerRemoved)
@handles(RecordContainerLost)
@handles(ExpireContainer)
@handles(EndContainer)
def handle(command: ContainerCommand, read: Reader, circumstances: Circumstances) -> Sequence[Event]:
    """Decide on the container's state; whatever ends it gives back its part of the quota."""
    container = read(CONTAINER, command.container_id)
    if container is None:
        raise NotFound("container", str(command.container_id))
    events = decide(command, container, circumstances.now, circumstances.policy.stop_limit)
    after: Container | None = container
    for event in events:
        after = facts.evolve(after, event)
    if after is None or after.is_active or not container.is_active:
        return events
    quota = read(QUOTA, quota_stream(container.request.user_id))
    return [*events, *release(container, quota)]


def release(container: Container, quota: Quota) -> Sequence[Event]:
    """Give back what the container holds of its user's quota, if it holds anything."""
    if container.request.container_id not in quota.reservations:
        return []
    return [QuotaReleased(user_id=container.request.user_id, container_id=container.request.container_id)]


def decide(command: ContainerCommand, container: Container, now: datetime, stop_limit: timedelta) -> Sequence[Event]:
    """What follows from a command about a container in this state; nothing when it is achieved.

    Args:
        command: what is asked for or told.
        container: the state.
        now: the time.
        stop_limit: after which an end that is asked for is forced.

    Raises:
        Conflict: a start is claimed or recorded by one whose claim does not hold.
        Invalid: nobody said why the container is ended.
    """
    match command:
        case StopContainer() | RemoveContainer():
            asked = _stop if isinstance(command, StopContainer) else _remove
            return asked(container, now + stop_limit)
        case ClaimContainer():
            return _claim(command, container, now)
        case AdoptContainer():
            return _adopt(command, container, now)
        case RecordContainerStarted():
            return _started(command, container)
        case RecordContainerFailed() if container.state in {*_BEFORE_RUNNING, State.RUNNING}:
            return [_failed(container, command.reason, command.detail, command.log)]
        case RecordContainerEnded():
            return _ended(command, container, now + stop_limit)
        case RecordContainerStopped() if container.is_active:
            return [_event(container, facts.ContainerStopped, reason=command.reason)]
        case RecordContainerRemoved():
            return _removed(container)
        case RecordContainerLost() if container.state in {State.RUNNING, State.STOPPING}:
            return [_event(container, facts.ContainerLost, reason=command.reason)]
        case ExpireContainer() if container.state in _BEFORE_RUNNING and now >= container.request.deadline:
            return [_failed(container, command.reason, command.detail, ())]
        case EndContainer():
            return _end(command, container)
        case _:
            return []


def _event(container: Container, event_type: type[facts.ContainerEvent], **fields: object) -> facts.ContainerEvent:
    request = container.request
    return event_type(container_id=request.container_id, user_id=request.user_id, target=request.target, **fields)


def _failed(container: Container, reason: FailureReason, detail: str, log: tuple[str, ...]) -> Event:
    return _event(container, facts.ContainerFailed, reason=reason, detail=detail, log=log)


def _stop(container: Container, deadline: datetime) -> Sequence[Event]:
    if container.state is State.REQUESTED:  # nobody claimed it, so nothing was made that would have to be stopped
        return [
            _event(container, facts.ContainerStopRequested, deadline=deadline),
            _event(container, facts.ContainerStopped, reason="stopped before its start"),
        ]
    if container.state in {State.STARTING, State.RUNNING}:
        return [_event(container, facts.ContainerStopRequested, deadline=deadline)]
    return []


def _remove(container: Container, deadline: datetime) -> Sequence[Event]:
    if container.state is State.REQUESTED:
        return [
            *_stop(container, deadline),
            _event(container, facts.ContainerRemovalRequested, deadline=deadline),
            _event(container, facts.ContainerRemoved),
        ]
    removable = {State.STARTING, State.RUNNING, State.STOPPING, State.STOPPED}
    if container.state in removable and not container.removal_requested:
        return [_event(container, facts.ContainerRemovalRequested, deadline=deadline)]
    return []


def _end(command: EndContainer, container: Container) -> Sequence[Event]:
    check_reason(command.reason)
    if container.is_active or container.state is State.STOPPED:
        return [_failed(container, FailureReason.ENDED, command.reason, ())]
    return []


def _claim(command: ClaimContainer, container: Container, now: datetime) -> Sequence[Event]:
    _check_claim(container, command.claimant, command.dead, now)
    if container.claimant == command.claimant:
        return []
    lease = container.request.deadline
    return [_event(container, facts.ContainerStarting, claimant=command.claimant, lease=lease)]


def _adopt(command: AdoptContainer, container: Container, now: datetime) -> Sequence[Event]:
    _check_claim(container, command.claimant, command.dead, now)
    return [
        _event(
            container,
            facts.ContainerAdopted,
            claimant=command.claimant,
            lease=container.request.deadline,
            reason=command.reason,
        )
    ]


def _check_claim(container: Container, claimant: str, dead: str, now: datetime) -> None:
    if container.state not in _BEFORE_RUNNING:
        raise Conflict("claim", f"the container is {container.state}")
    if now >= container.request.deadline:
        raise Conflict("claim", "the deadline is over")
    free = not container.claimant or container.claimant in {claimant, dead}
    over = container.lease is not None and now >= container.lease
    if not free and not over:
        raise Conflict("claim", f"{container.claimant} holds it")


def _started(command: RecordContainerStarted, container: Container) -> Sequence[Event]:
    if container.state is State.RUNNING and container.placement == command.placement:
        return []
    if container.state is not State.STARTING or container.claimant != command.claimant:
        raise Conflict("start", f"the container is {container.state}, claimed by {container.claimant or 'nobody'}")
    return [_event(container, facts.ContainerStarted, placement=command.placement, image_digest=command.image_digest)]


def _ended(command: RecordContainerEnded, container: Container, deadline: datetime) -> Sequence[Event]:
    stopped = _event(container, facts.ContainerStopped, reason=f"ended with exit code {command.exit_code}")
    if container.state is State.STOPPING:
        return [stopped]
    if container.state is State.RUNNING and command.exit_code == 0:
        # what is left of it is of no use; in one step, so that no crash in between keeps it
        return [stopped, _event(container, facts.ContainerRemovalRequested, deadline=deadline)]
    if not container.is_active:
        return []
    detail = command.detail or f"the process ended with exit code {command.exit_code}"
    reason = FailureReason.EXITED if container.state is State.RUNNING else FailureReason.CRASHED
    return [_failed(container, reason, detail, command.log)]


def _removed(container: Container) -> Sequence[Event]:
    if container.state in {State.REMOVED, State.FAILED, State.LOST}:
        return []
    stopped = [_event(container, facts.ContainerStopped, reason="removed")] if container.is_active else []
    return [*stopped, _event(container, facts.ContainerRemoved)]
