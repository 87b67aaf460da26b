"""What the facility's provider says of experiments: it becomes events only where something changed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from uuid import UUID

from calipso.commands.experiment import ExperimentCommand, check_details, check_session
from calipso.commands.handling import EXPERIMENT, USER, Circumstances, Reader, handles
from calipso.commands.policy import Policy
from calipso.commands.texts import check_key
from calipso.errors import NotFound
from calipso.events import experiment as facts
from calipso.events.envelope import Event
from calipso.events.experiment import PROVIDER, Experiment, ExperimentDetails, SessionDetails


@dataclass(frozen=True, kw_only=True)
class SynchronizeExperiment(ExperimentCommand):
    """The provider says this of an experiment, and that the user is a member; `membership_id` is fresh."""

    details: ExperimentDetails
    sessions: tuple[SessionDetails, ...]
    user_id: UUID
    membership_id: UUID


@dataclass(frozen=True, kw_only=True)
class WithdrawMembership(ExperimentCommand):
    """The provider does not name the user as a member any more."""

    user_id: UUID


@handles(SynchronizeExperiment)
@handles(WithdrawMembership)
def handle(command: ExperimentCommand, read: Reader, circumstances: Circumstances) -> Sequence[Event]:
    """Decide on the experiment as it is.

    Raises:
        NotFound: there is no such user.
    """
    experiment = read(EXPERIMENT, command.experiment_id)
    if isinstance(command, SynchronizeExperiment):
        events = list(synchronize(command, experiment, circumstances.policy))
        # almost always nothing is new, and then nobody need be looked for
        user = read(USER, command.user_id) if events else None
        if events and (user is None or user.erased):
            raise NotFound("user", str(command.user_id))
        return events
    return withdraw(command, experiment) if isinstance(command, WithdrawMembership) else []


def synchronize(command: SynchronizeExperiment, experiment: Experiment | None, policy: Policy) -> Iterator[Event]:
    """What is new in what the provider says.

    Raises:
        Invalid: a value is not lawful.
    """
    check_key("public_number", command.proposal_id)
    check_details(command.details)
    if experiment is None:
        yield facts.ExperimentAdded(
            experiment_id=command.experiment_id, proposal_id=command.proposal_id, details=command.details
        )
    elif experiment.details != command.details:
        yield facts.ExperimentChanged(experiment_id=command.experiment_id, details=command.details)
    known = experiment.sessions if experiment else {}
    # a provider may give one number twice, or a stored one would change with each answer
    for session in {session.session_number: session for session in command.sessions}.values():
        check_session(session, policy)
        if session.session_number not in known:
            yield facts.SessionAdded(experiment_id=command.experiment_id, session=session)
        elif known[session.session_number] != session:
            yield facts.SessionChanged(experiment_id=command.experiment_id, session=session)
    if experiment is None or command.user_id not in experiment.members:
        yield facts.MemberAdded(
            experiment_id=command.experiment_id,
            user_id=command.user_id,
            membership_id=command.membership_id,
            source=PROVIDER,
        )


def withdraw(command: WithdrawMembership, experiment: Experiment | None) -> Sequence[Event]:
    """The end of a membership that the provider had given; those that operators gave stay."""
    if experiment is None or command.user_id not in experiment.provided:
        return []
    return [facts.MemberRemoved(experiment_id=command.experiment_id, user_id=command.user_id)]
