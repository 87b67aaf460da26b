"""Experiments, their sessions and their members."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from calipso.commands.handling import EXPERIMENT, USER, Circumstances, Reader, handles
from calipso.commands.policy import Policy
from calipso.commands.texts import check_account, check_key, check_text
from calipso.commands.volumes import check_volume
from calipso.errors import AlreadyExists, Conflict, Invalid, NotFound
from calipso.events import experiment as facts
from calipso.events.envelope import Event
from calipso.events.experiment import Experiment, ExperimentDetails, SessionDetails


@dataclass(frozen=True, kw_only=True)
class ExperimentCommand:
    """A command about one experiment; `experiment_id` is the keyed hash of the proposal id."""

    experiment_id: UUID
    proposal_id: str


@dataclass(frozen=True, kw_only=True)
class AddExperiment(ExperimentCommand):
    """Work was granted under a proposal."""

    details: ExperimentDetails


@dataclass(frozen=True, kw_only=True)
class ChangeExperiment(ExperimentCommand):
    """Let the experiment say something else of itself."""

    details: ExperimentDetails


@dataclass(frozen=True, kw_only=True)
class RemoveExperiment(ExperimentCommand):
    """Offer the experiment no more."""


@dataclass(frozen=True, kw_only=True)
class AddSession(ExperimentCommand):
    """The experiment has one more session."""

    session: SessionDetails


@dataclass(frozen=True, kw_only=True)
class ChangeSession(ExperimentCommand):
    """Let a session say something else of itself."""

    session: SessionDetails


@dataclass(frozen=True, kw_only=True)
class AddMember(ExperimentCommand):
    """Let a user reach the experiment's data; `membership_id` is fresh and becomes the evidence."""

    user_id: UUID
    membership_id: UUID


@dataclass(frozen=True, kw_only=True)
class RemoveMember(ExperimentCommand):
    """Let a user reach the experiment's data no more."""

    user_id: UUID


@handles(AddExperiment)
@handles(ChangeExperiment)
@handles(RemoveExperiment)
@handles(AddSession)
@handles(ChangeSession)
@handles(AddMember)
@handles(RemoveMember)
def handle(command: ExperimentCommand, read: Reader, circumstances: Circumstances) -> Sequence[Event]:
    """Decide on the experiment as it is."""
    if isinstance(command, AddMember):
        user = read(USER, command.user_id)
        if user is None or user.erased:
            raise NotFound("user", str(command.user_id))
    return decide(command, read(EXPERIMENT, command.experiment_id), circumstances.policy)


def decide(command: ExperimentCommand, experiment: Experiment | None, policy: Policy) -> Sequence[Event]:
    """What follows for the experiment; nothing when the command is achieved.

    Raises:
        AlreadyExists: the experiment or the session is there already.
        Conflict: the user is a member already.
        NotFound: there is no such experiment, session or member.
        Invalid: a value is not lawful.
    """
    if isinstance(command, AddExperiment):
        return _add(command, experiment)
    if experiment is None:
        raise NotFound("experiment", command.proposal_id)
    match command:
        case ChangeExperiment():
            check_details(command.details)
            same = experiment.details == command.details
            return (
                [] if same else [facts.ExperimentChanged(experiment_id=command.experiment_id, details=command.details)]
            )
        case RemoveExperiment():
            return [facts.ExperimentRemoved(experiment_id=command.experiment_id)]
        case AddSession():
            return _add_session(command, experiment, policy)
        case ChangeSession():
            return _change_session(command, experiment, policy)
        case AddMember():
            return _add_member(command, experiment)
        case RemoveMember():
            return _remove_member(command, experiment)
        case _:
            message = f"no decision for {type(command).__name__}"
            raise NotImplementedError(message)


def _add(command: AddExperiment, experiment: Experiment | None) -> Sequence[Event]:
    if experiment is not None:
        raise AlreadyExists("experiment", command.proposal_id)
    check_key("public_number", command.proposal_id)
    check_details(command.details)
    return [
        facts.ExperimentAdded(
            experiment_id=command.experiment_id, proposal_id=command.proposal_id, details=command.details
        )
    ]


def _add_session(command: AddSession, experiment: Experiment, policy: Policy) -> Sequence[Event]:
    if command.session.session_number in experiment.sessions:
        raise AlreadyExists("session", command.session.session_number)
    check_session(command.session, policy)
    return [facts.SessionAdded(experiment_id=command.experiment_id, session=command.session)]


def _change_session(command: ChangeSession, experiment: Experiment, policy: Policy) -> Sequence[Event]:
    known = experiment.sessions.get(command.session.session_number)
    if known is None:
        raise NotFound("session", command.session.session_number)
    check_session(command.session, policy)
    if known == command.session:
        return []
    return [facts.SessionChanged(experiment_id=command.experiment_id, session=command.session)]


def _add_member(command: AddMember, experiment: Experiment) -> Sequence[Event]:
    if command.user_id in experiment.members:
        raise Conflict("member", f"the user is a member of experiment {experiment.proposal_id} already")
    return [
        facts.MemberAdded(
            experiment_id=command.experiment_id, user_id=command.user_id, membership_id=command.membership_id
        )
    ]


def _remove_member(command: RemoveMember, experiment: Experiment) -> Sequence[Event]:
    if command.user_id not in experiment.members:
        raise NotFound("member of experiment", experiment.proposal_id)
    return [facts.MemberRemoved(experiment_id=command.experiment_id, user_id=command.user_id)]


def check_details(details: ExperimentDetails) -> None:
    """Refuse what an experiment cannot say of itself.

    Raises:
        Invalid: a text or an account is not lawful.
    """
    check_text("title", details.title)
    check_text("description", details.description, lines=True)
    check_text("beamline_code", details.beam_line)
    check_account("uid", details.uid)
    check_account("gid", details.gid)


def check_session(session: SessionDetails, policy: Policy) -> None:
    """Refuse what a session cannot be.

    Raises:
        Invalid: a text, its dates or its volumes are not lawful.
    """
    check_key("session_number", session.session_number)
    check_text("subject", session.subject)
    check_text("body", session.body, lines=True)
    if session.start and session.end and session.end < session.start:
        raise Invalid("end_date", "lies before start_date")
    for volume in session.volumes:
        check_text("data_set_path", volume.source)
        check_text("data_set_path", volume.bind)
        check_volume(volume, policy)
