"""Experiments with their evidence: which event last told of each session and each member."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from uuid import UUID

from calipso.events import experiment as facts
from calipso.events.envelope import Recorded
from calipso.events.experiment import Experiment, evolve


@dataclass(frozen=True, kw_only=True)
class Traced:
    """An experiment (None while it is not offered), with the event that last told of each session and each member."""

    experiment: Experiment | None = None
    sessions: Mapping[str, Recorded] = field(default_factory=dict)
    members: Mapping[UUID, Recorded] = field(default_factory=dict)


def trace(events: Iterable[Recorded]) -> Traced:
    """The experiment that the events of its stream tell."""
    traced = Traced()
    for recorded in events:
        traced = _step(traced, recorded)
    return traced


def _step(traced: Traced, recorded: Recorded) -> Traced:
    state = evolve(traced.experiment, recorded.event)
    if state is None:
        return Traced()
    match recorded.event:
        case facts.ExperimentAdded():
            return Traced(experiment=state)
        case facts.SessionAdded(session=session) | facts.SessionChanged(session=session):
            return replace(traced, experiment=state, sessions={**traced.sessions, session.session_number: recorded})
        case facts.MemberAdded(user_id=user_id):
            return replace(traced, experiment=state, members={**traced.members, user_id: recorded})
        case facts.MemberRemoved(user_id=user_id):
            members = {key: told for key, told in traced.members.items() if key != user_id}
            return replace(traced, experiment=state, members=members)
        case _:
            return replace(traced, experiment=state)
