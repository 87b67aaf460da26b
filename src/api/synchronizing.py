"""Takes over what the provider of experiments says: only what changed becomes an event.

A membership that the provider gave ends when a complete list of the user's experiments does not hold it any more, or
when a run asks for the one experiment and it is not given.
"""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from uuid import UUID, uuid4

import structlog

from calipso.api.outside.dynamic import DynamicProvider
from calipso.api.outside.http import Outside
from calipso.api.outside.icat import IcatProvider
from calipso.api.outside.provider import ExperimentProvider, ProvidedExperiment
from calipso.backend import Backend
from calipso.commands.dispatch import cause_of
from calipso.commands.experiment import check_session
from calipso.commands.handling import EXPERIMENT
from calipso.commands.policy import Policy
from calipso.commands.provided import SynchronizeExperiment, WithdrawMembership
from calipso.errors import Invalid
from calipso.events.envelope import Recorded
from calipso.events.experiment import SessionDetails
from calipso.projections import experiments

_log = structlog.get_logger()

ACTOR = "service:provider"
_NAME_LENGTH = 80
_REASON_LENGTH = 200


def provider_of(backend: Backend, outside: Outside) -> ExperimentProvider | None:
    """The provider of the settings, None when experiments come by the command line alone."""
    if backend.settings.dynamic_experiments_data_retrieval:
        return DynamicProvider(backend.settings, outside)
    if backend.settings.enable_icat_data_retrieval:
        return IcatProvider(backend.settings, outside)
    return None


@dataclass(frozen=True)
class Synchronizer:
    """Takes over what is said of one user's experiments. Blocking.

    Args:
        backend: the bound parts.
        user_id: the user.
        correlation_id: the request by which it was asked.
    """

    backend: Backend
    user_id: UUID
    correlation_id: UUID | None = None

    def take_over(self, provided: Iterable[ProvidedExperiment]) -> Sequence[Recorded]:
        """Store what is new in these experiments; one that cannot be is left out, and told to the log."""
        return [recorded for each in provided for recorded in self._take_over(each)]

    def withdraw_others(self, provided: Iterable[ProvidedExperiment]) -> Sequence[Recorded]:
        """End the memberships that the provider gave and that are not among these, which are all."""
        with self.backend.engine.connect() as connection:
            known = experiments.proposals_of(connection, self.user_id)
        kept = {self._experiment_id(each.proposal_id) for each in provided}
        gone = [proposal_id for experiment_id, proposal_id in known.items() if experiment_id not in kept]
        return [recorded for proposal_id in gone for recorded in self.withdraw(proposal_id)]

    def withdraw(self, proposal_id: str) -> Sequence[Recorded]:
        """End a membership, if the provider gave it."""
        return self._dispatch(
            WithdrawMembership(
                experiment_id=self._experiment_id(proposal_id), proposal_id=proposal_id, user_id=self.user_id
            )
        )

    def is_member_otherwise(self, proposal_id: str) -> bool:
        """Whether an operator made the user a member; then the provider need not confirm it."""
        known = self.backend.dispatcher.state(EXPERIMENT, self._experiment_id(proposal_id))
        return known is not None and self.user_id in known.members and self.user_id not in known.provided

    def _take_over(self, provided: ProvidedExperiment) -> Sequence[Recorded]:
        command = SynchronizeExperiment(
            experiment_id=self._experiment_id(provided.proposal_id),
            proposal_id=provided.proposal_id,
            details=provided.details,
            sessions=tuple(each for each in provided.sessions if self._is_lawful(provided.proposal_id, each)),
            user_id=self.user_id,
            membership_id=uuid4(),
        )
        try:
            return self._dispatch(command)
        except Invalid as error:
            _tell_left_out("experiment left out", error, proposal=provided.proposal_id)
            return []

    def _is_lawful(self, proposal_id: str, session: SessionDetails) -> bool:
        try:
            check_session(session, self._policy)
        except Invalid as error:
            _tell_left_out("session left out", error, proposal=proposal_id, session=session.session_number)
            return False
        return True

    def _dispatch(self, command: object) -> Sequence[Recorded]:
        # almost always nothing is new; to see that takes one question to the store instead of three
        if not self.backend.dispatcher.consider(command):
            return []
        return self.backend.dispatcher.dispatch(command, cause_of(ACTOR, correlation_id=self.correlation_id))

    @cached_property
    def _policy(self) -> Policy:
        return self.backend.settings.policy(self.backend.keys.current)

    def _experiment_id(self, proposal_id: str) -> UUID:
        return self.backend.installation.naming.experiment(proposal_id)


def _tell_left_out(what: str, error: Invalid, **names: str) -> None:
    short = {word: name[:_NAME_LENGTH] for word, name in names.items()}
    _log.warning(what, reason=str(error)[:_REASON_LENGTH], **short)


async def synchronize_all(
    synchronizer: Synchronizer, provided: Sequence[ProvidedExperiment], *, is_complete: bool
) -> Sequence[Recorded]:
    """Take over these experiments; when they are all of the user's, end the other memberships.

    Args:
        synchronizer: of the user.
        provided: what the provider says.
        is_complete: whether that is all.
    """
    stored = await asyncio.to_thread(synchronizer.take_over, provided)
    gone = await asyncio.to_thread(partial(synchronizer.withdraw_others, provided)) if is_complete else []
    return [*stored, *gone]
