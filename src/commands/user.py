"""Accounts: registration, roles, sign-ins and marks."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from calipso.commands.handling import EXPERIMENT, USER, USER_NAME, Circumstances, Reader, handles
from calipso.errors import AlreadyExists, Invalid, NotAMember, NotFound
from calipso.events import user as facts
from calipso.events.envelope import Event
from calipso.events.user import Role, User

# a user name is a path segment of addresses and of folders
_NAME = re.compile(r"[\w@+-][\w.@+-]{0,149}")


@dataclass(frozen=True, kw_only=True)
class RegisterUser:
    """Open an account; `name_id` is the keyed hash of its name, `user_id` is fresh."""

    user_id: UUID
    name_id: UUID
    name: str
    uid: int | None = None
    gid: int | None = None
    roles: frozenset[Role] = frozenset()


@dataclass(frozen=True, kw_only=True)
class UserCommand:
    """A command about one account."""

    user_id: UUID


@dataclass(frozen=True, kw_only=True)
class GrantRole(UserCommand):
    """Let the account do more."""

    role: Role


@dataclass(frozen=True, kw_only=True)
class RevokeRole(UserCommand):
    """Let the account do less."""

    role: Role


@dataclass(frozen=True, kw_only=True)
class RecordLogin(UserCommand):
    """Somebody signed in, by this method."""

    method: str


@dataclass(frozen=True, kw_only=True)
class MarkFavorite(UserCommand):
    """The user marks an experiment of theirs, or takes the mark away."""

    experiment_id: UUID
    favorite: bool


@handles(RegisterUser)
def register(command: RegisterUser, read: Reader, _: Circumstances) -> Sequence[Event]:
    """Claim the name and open the account, both or nothing.

    Raises:
        AlreadyExists: the name belongs to an account.
        Invalid: it cannot be a name, or the numeric account is root's.
    """
    if not _NAME.fullmatch(command.name):
        raise Invalid("username", "must be 1 to 150 letters, digits or any of @ . + - _, and not begin with a dot")
    if any(number is not None and number < 1 for number in (command.uid, command.gid)):
        raise Invalid("uid, gid", "must be above 0: nothing runs as root")
    if read(USER_NAME, command.name_id) is not None:
        raise AlreadyExists("user", command.name)
    read(USER, command.user_id)
    return [
        facts.UserNameClaimed(name_id=command.name_id, user_id=command.user_id),
        facts.UserRegistered(user_id=command.user_id, name=command.name, uid=command.uid, gid=command.gid),
        *(facts.RoleGranted(user_id=command.user_id, role=role) for role in sorted(command.roles)),
    ]


@handles(GrantRole)
@handles(RevokeRole)
@handles(RecordLogin)
def handle(command: UserCommand, read: Reader, _: Circumstances) -> Sequence[Event]:
    """Decide on the account as it is."""
    user = read(USER, command.user_id)
    if user is None or user.erased:
        raise NotFound("user", str(command.user_id))
    return decide(command, user)


def decide(command: UserCommand, user: User) -> Sequence[Event]:
    """What follows for the account; nothing when the command is achieved."""
    match command:
        case GrantRole() if command.role not in user.roles:
            return [facts.RoleGranted(user_id=user.user_id, role=command.role)]
        case RevokeRole() if command.role in user.roles:
            return [facts.RoleRevoked(user_id=user.user_id, role=command.role)]
        case RecordLogin():
            return [facts.UserLoggedIn(user_id=user.user_id, method=command.method)]
        case _:
            return []


@handles(MarkFavorite)
def mark(command: MarkFavorite, read: Reader, _: Circumstances) -> Sequence[Event]:
    """Mark or unmark an experiment of which the user is a member."""
    user, experiment = read(USER, command.user_id), read(EXPERIMENT, command.experiment_id, guarded=False)
    if user is None or user.erased:
        raise NotFound("user", str(command.user_id))
    if experiment is None or command.user_id not in experiment.members:
        raise NotAMember(experiment.proposal_id if experiment else str(command.experiment_id))
    if command.favorite == (command.experiment_id in user.favorites):
        return []
    event_type = facts.ExperimentMarkedFavorite if command.favorite else facts.ExperimentUnmarkedFavorite
    return [event_type(user_id=command.user_id, experiment_id=command.experiment_id)]
