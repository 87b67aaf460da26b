"""Experiments, their sessions and their members."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from types import MappingProxyType
from typing import ClassVar
from uuid import UUID

from calipso.events.envelope import Event, private
from calipso.events.values import Volume

PROVIDER = "provider"


@dataclass(frozen=True, kw_only=True)
class ExperimentEvent(Event, is_base=True):
    """An event of one experiment."""

    kind: ClassVar[str] = "experiment"
    experiment_id: UUID

    @property
    def stream(self) -> UUID:
        """The experiment's stream, a keyed hash of its public number."""
        return self.experiment_id


@dataclass(frozen=True, kw_only=True)
class ExperimentDetails:
    """What an experiment is about; `uid` and `gid` own its data, None meaning that the experiment names none."""

    title: str
    description: str
    beam_line: str
    uid: int | None = None
    gid: int | None = None


@dataclass(frozen=True, kw_only=True)
class SessionDetails:
    """A dated visit of an experiment, and the volumes that hold its data."""

    session_number: str
    start: datetime | None
    end: datetime | None
    subject: str
    body: str
    volumes: tuple[Volume, ...]


@dataclass(frozen=True, kw_only=True)
class ExperimentAdded(ExperimentEvent):
    """Work was granted under a proposal (again, if it had been removed)."""

    proposal_id: str
    details: ExperimentDetails


@dataclass(frozen=True, kw_only=True)
class ExperimentChanged(ExperimentEvent):
    """The experiment says something else of itself now."""

    details: ExperimentDetails


@dataclass(frozen=True, kw_only=True)
class ExperimentRemoved(ExperimentEvent):
    """The experiment is no more offered; its sessions and memberships end with it."""


@dataclass(frozen=True, kw_only=True)
class SessionAdded(ExperimentEvent):
    """The experiment has one more session."""

    session: SessionDetails = private()


@dataclass(frozen=True, kw_only=True)
class SessionChanged(ExperimentEvent):
    """A session says something else of itself now."""

    session: SessionDetails = private()


@dataclass(frozen=True, kw_only=True)
class MemberAdded(ExperimentEvent):
    """A user may reach the experiment's data; `membership_id` is what a request gives as its evidence.

    `source` is `PROVIDER` when the facility's provider of experiments said so, and empty when an operator did.
    """

    user_id: UUID
    membership_id: UUID
    source: str = ""


@dataclass(frozen=True, kw_only=True)
class MemberRemoved(ExperimentEvent):
    """A user may reach the experiment's data no more."""

    user_id: UUID


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """An experiment as its events tell it; `provided` are the members whom the provider of experiments named."""

    experiment_id: UUID
    proposal_id: str
    details: ExperimentDetails
    sessions: Mapping[str, SessionDetails] = field(default_factory=lambda: MappingProxyType({}))
    members: Mapping[UUID, UUID] = field(default_factory=lambda: MappingProxyType({}))
    provided: frozenset[UUID] = frozenset()


def evolve(state: Experiment | None, event: Event) -> Experiment | None:
    """The experiment after one more event; None while it is not offered."""
    if isinstance(event, ExperimentAdded):
        return Experiment(experiment_id=event.experiment_id, proposal_id=event.proposal_id, details=event.details)
    if state is None:
        return None
    match event:
        case ExperimentChanged():
            return replace(state, details=event.details)
        case ExperimentRemoved():
            return None
        case SessionAdded() | SessionChanged():
            return replace(state, sessions={**state.sessions, event.session.session_number: event.session})
        case MemberAdded():
            provided = state.provided | {event.user_id} if event.source == PROVIDER else state.provided
            return replace(state, members={**state.members, event.user_id: event.membership_id}, provided=provided)
        case MemberRemoved():
            members = {k: v for k, v in state.members.items() if k != event.user_id}
            return replace(state, members=members, provided=state.provided - {event.user_id})
        case _:
            return state
