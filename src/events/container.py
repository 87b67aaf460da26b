"""The life of a container, from its request until it ended."""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar
from uuid import UUID

from calipso.events.envelope import Event, formerly_plain, personal, private
from calipso.events.values import FailureReason, Identity, ImageSpec, Placement, Resources, SessionRef, Volume


class State(StrEnum):
    """Where a container stands in its life."""

    REQUESTED = "requested"
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    STOPPED = "stopped"
    REMOVED = "removed"
    FAILED = "failed"
    LOST = "lost"


ACTIVE = frozenset({State.REQUESTED, State.STARTING, State.RUNNING, State.STOPPING})


@dataclass(frozen=True, kw_only=True)
class ContainerEvent(Event, is_base=True):
    """An event in the life of a container; `target` is the place that it was given at its request."""

    kind: ClassVar[str] = "container"
    container_id: UUID
    user_id: UUID
    target: str

    @property
    def stream(self) -> UUID:
        """The container's own stream."""
        return self.container_id


@dataclass(frozen=True, kw_only=True)
class ContainerRequested(ContainerEvent):
    """A user asked for a container, and the quota held it.

    `label` is what the request called it (a session number, or the user's own word) and `info` the first part of that
    text; `account` is the user's name as the container shows it; `key_number` is the master key from which its
    credentials derive; `deadline` is when it must be usable.
    """

    schema_version: ClassVar[int] = 2
    image_id: UUID
    image_name: str
    image: ImageSpec
    resources: Resources
    label: str = personal("user_id")
    info: str = personal("user_id")
    session: SessionRef | None
    identity: Identity = personal("user_id", erased={"uid": 65534, "gid": 65534})
    volumes: tuple[Volume, ...] = personal("user_id", erased=())
    workdir: str = personal("user_id")
    account: str = personal("user_id", default="")
    key_number: int
    deadline: datetime

    @staticmethod
    def upcast_v1(data: dict[str, Any]) -> dict[str, Any]:
        """What users call their containers was not known to be personal."""
        return formerly_plain(data, "label", "info")


@dataclass(frozen=True, kw_only=True)
class ContainerStarting(ContainerEvent):
    """A provisioner took the request on; the claim is dead when the lease is over or the claimant is."""

    claimant: str
    lease: datetime


@dataclass(frozen=True, kw_only=True)
class ContainerAdopted(ContainerEvent):
    """A provisioner took on what it found on the target, because the claim before was dead."""

    claimant: str
    lease: datetime
    reason: str


@dataclass(frozen=True, kw_only=True)
class ContainerStarted(ContainerEvent):
    """The container can be used."""

    placement: Placement = private()
    image_digest: str


@dataclass(frozen=True, kw_only=True)
class ContainerFailed(ContainerEvent):
    """The container never became usable, or its process ended with an error; the log's last lines are kept."""

    reason: FailureReason
    detail: str = personal("user_id")  # the runtime's own words may name folders of the user
    log: tuple[str, ...] = personal("user_id", erased=())


@dataclass(frozen=True, kw_only=True)
class ContainerStopRequested(ContainerEvent):
    """Somebody wants the container stopped; `deadline` is when it is ended by force."""

    deadline: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class ContainerStopped(ContainerEvent):
    """The container has stopped, on request or because its process ended well."""

    reason: str


@dataclass(frozen=True, kw_only=True)
class ContainerRemovalRequested(ContainerEvent):
    """Somebody wants the container gone; a running one is stopped first, by force at the `deadline`."""

    deadline: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class ContainerRemoved(ContainerEvent):
    """Nothing of the container is left on the target."""


@dataclass(frozen=True, kw_only=True)
class ContainerLost(ContainerEvent):
    """The target answered, and the container was not there any more."""

    reason: str


@dataclass(frozen=True, kw_only=True)
class Container:
    """A container as its events tell it.

    `stop_deadline` is when a container that is stopping is ended by force; None for one that was asked to stop before
    such deadlines were set.
    """

    request: ContainerRequested
    state: State
    claimant: str = ""
    lease: datetime | None = None
    placement: Placement | None = None
    image_digest: str = ""
    failure: ContainerFailed | None = None
    removal_requested: bool = False
    stop_deadline: datetime | None = None

    @property
    def is_active(self) -> bool:
        """Whether it holds a part of the quota."""
        return self.state in ACTIVE


def transition(state: State, event: Event) -> State:
    """The state to which an event of its life leads a container that was in `state`."""
    match event:
        case ContainerStarting() | ContainerAdopted():
            return State.STARTING
        case ContainerStarted():
            return State.RUNNING
        case ContainerFailed():
            return State.FAILED
        case ContainerStopRequested():
            return State.STOPPING
        case ContainerStopped():
            return State.STOPPED
        case ContainerRemovalRequested():
            return State.STOPPING if state in ACTIVE else state
        case ContainerRemoved():
            return State.REMOVED
        case ContainerLost():
            return State.LOST
        case _:
            return state


def evolve(state: Container | None, event: Event) -> Container | None:
    """The container after one more event; None before its request."""
    if state is None:
        return Container(request=event, state=State.REQUESTED) if isinstance(event, ContainerRequested) else None
    changed = replace(state, state=transition(state.state, event))
    match event:
        case ContainerStarting() | ContainerAdopted():
            return replace(changed, claimant=event.claimant, lease=event.lease)
        case ContainerStarted():
            return replace(changed, placement=event.placement, image_digest=event.image_digest)
        case ContainerFailed():
            return replace(changed, failure=event)
        case ContainerStopRequested():
            return replace(changed, stop_deadline=event.deadline)
        case ContainerRemovalRequested():
            # a removal after a stop gives it no more time
            return replace(changed, removal_requested=True, stop_deadline=state.stop_deadline or event.deadline)
        case _:
            return changed
