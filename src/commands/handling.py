"""How a command module tells dispatch what to load for a command and how to decide it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, Protocol, TypeVar
from uuid import UUID

from calipso.commands.policy import Policy
from calipso.events import container, experiment, image, quota, target, user
from calipso.events.envelope import Event

S = TypeVar("S")


@dataclass(frozen=True)
class Fold(Generic[S]):
    """How the state of one kind of stream follows from its events.

    Where streams grow long with time, `state` is the type of the state and `subject` says of an event whose personal
    data may be in it, so that snapshots can be kept.
    """

    name: str
    initial: S
    evolve: Callable[[S, Event], S]
    state: type[S] | None = None
    subject: Callable[[Any], UUID] | None = None


class Reader(Protocol):
    """Gives the state of a stream; what was read must still hold when the decision is stored."""

    def __call__(self, fold: Fold[S], stream: UUID, *, guarded: bool = True) -> S:
        """The state of a stream now.

        Args:
            fold: how the state follows from the events.
            stream: its key.
            guarded: whether the decision is void when the stream changes before it is stored.
        """


@dataclass(frozen=True, kw_only=True)
class Circumstances:
    """What a decision may know beside the command and the state."""

    now: datetime
    policy: Policy


Handler = Callable[[Any, Reader, Circumstances], Sequence[Event]]
HANDLERS: dict[type, Handler] = {}


def handles(command_type: type) -> Callable[[Handler], Handler]:
    """Register the function that loads and decides commands of a type."""

    def register(handler: Handler) -> Handler:
        HANDLERS[command_type] = handler
        return handler

    return register


def _user_of(event: quota.QuotaEvent | user.UserEvent) -> UUID:
    return event.user_id


CONTAINER: Fold[container.Container | None] = Fold("container", None, container.evolve)
EXPERIMENT: Fold[experiment.Experiment | None] = Fold("experiment", None, experiment.evolve)
IDENTITY: Fold[UUID | None] = Fold("identity", None, user.evolve_identity)
IMAGE: Fold[image.Image | None] = Fold("image", None, image.evolve)
QUOTA: Fold[quota.Quota] = Fold("quota", quota.Quota(), quota.evolve, quota.Quota, _user_of)
TARGET: Fold[target.Target] = Fold("target", target.Target(), target.evolve)
USER: Fold[user.User | None] = Fold("user", None, user.evolve, user.User, _user_of)
USER_NAME: Fold[UUID | None] = Fold("user_name", None, user.evolve_claim)
