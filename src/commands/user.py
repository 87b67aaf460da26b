"""Accounts: registration, roles, sign-ins and marks."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from calipso.commands.handling import EXPERIMENT, IDENTITY, QUOTA, USER, USER_NAME, Circumstances, Reader, handles
from calipso.commands.texts import check_account
from calipso.errors import AlreadyExists, Conflict, Invalid, NotAMember, NotFound
from calipso.events import user as facts
from calipso.events.envelope import Event
from calipso.events.naming import quota_stream
from calipso.events.user import Role, User

# a user name is a path segment of addresses and of folders
_NAME = re.compile(r"[\w@+-][\w.@+-]{0,149}")
_IDENTITY_LIMIT = 500


def is_user_name(text: str) -> bool:
    """Whether an account can have this name."""
    return _NAME.fullmatch(text) is not None


@dataclass(frozen=True, kw_only=True)
class FederatedIdentity:
    """Who somebody is elsewhere; `identity_id` is the keyed hash of issuer and subject."""

    identity_id: UUID
    issuer: str
    subject: str


@dataclass(frozen=True, kw_only=True)
class RegisterUser:
    """Open an account; `name_id` is the keyed hash of its name, `user_id` is fresh."""

    user_id: UUID
    name_id: UUID
    name: str
    uid: int | None = None
    gid: int | None = None
    roles: frozenset[Role] = frozenset()
    identity: FederatedIdentity | None = None


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
class LinkIdentity(UserCommand):
    """Let a federated identity sign in to the account."""

    identity: FederatedIdentity


@dataclass(frozen=True, kw_only=True)
class UnlinkIdentity(UserCommand):
    """Let a federated identity sign in to the account no more."""

    identity: FederatedIdentity


@dataclass(frozen=True, kw_only=True)
class RecordLogin(UserCommand):
    """Somebody signed in, by this method."""

    method: str


@dataclass(frozen=True, kw_only=True)
class MarkFavorite(UserCommand):
    """The user marks an experiment of theirs, or takes the mark away."""

    experiment_id: UUID
    favorite: bool


@dataclass(frozen=True, kw_only=True)
class EraseUser(UserCommand):
    """Forget who the person of an account is; `identities` are all that it has.

    `despite_containers` lets containers of the account be active, because a restored backup may say so of any.
    """

    identities: tuple[FederatedIdentity, ...]
    despite_containers: bool = False


@dataclass(frozen=True, kw_only=True)
class ReleaseUserName:
    """Let the name of an erased account be taken again; `name_id` is the keyed hash of it."""

    name_id: UUID
    name: str


@handles(RegisterUser)
def register(command: RegisterUser, read: Reader, _: Circumstances) -> Sequence[Event]:
    """Claim the name and open the account, both or nothing.

    Raises:
        AlreadyExists: the name or the identity belongs to an account.
        Invalid: it cannot be a name, or the numeric account is root's.
    """
    if not is_user_name(command.name):
        raise Invalid("username", "must be 1 to 150 letters, digits or any of @ . + - _, and not begin with a dot")
    check_account("uid", command.uid)
    check_account("gid", command.gid)
    if read(USER_NAME, command.name_id) is not None:
        raise AlreadyExists("user", command.name)
    if command.identity is not None and read(IDENTITY, command.identity.identity_id) is not None:
        raise AlreadyExists("identity", command.identity.subject)
    read(USER, command.user_id)
    return [
        facts.UserNameClaimed(name_id=command.name_id, user_id=command.user_id),
        facts.UserRegistered(user_id=command.user_id, name=command.name, uid=command.uid, gid=command.gid),
        *(facts.RoleGranted(user_id=command.user_id, role=role) for role in sorted(command.roles)),
        *(_linked(command.user_id, command.identity) if command.identity else ()),
    ]


def _linked(user_id: UUID, identity: FederatedIdentity) -> Sequence[Event]:
    if not (0 < len(identity.issuer) <= _IDENTITY_LIMIT and 0 < len(identity.subject) <= _IDENTITY_LIMIT):
        raise Invalid("issuer, subject", f"must each have 1 to {_IDENTITY_LIMIT} characters")
    return [
        facts.IdentityClaimed(identity_id=identity.identity_id, user_id=user_id),
        facts.IdentityLinked(user_id=user_id, issuer=identity.issuer, subject=identity.subject),
    ]


@handles(LinkIdentity)
def link(command: LinkIdentity, read: Reader, _: Circumstances) -> Sequence[Event]:
    """Claim the identity for the account.

    Raises:
        AlreadyExists: it belongs to another account.
        NotFound: there is no such account.
    """
    _require(command, read)
    holder = read(IDENTITY, command.identity.identity_id)
    if holder == command.user_id:
        return []
    if holder is not None:
        raise AlreadyExists("identity", command.identity.subject)
    return _linked(command.user_id, command.identity)


@handles(UnlinkIdentity)
def unlink(command: UnlinkIdentity, read: Reader, _: Circumstances) -> Sequence[Event]:
    """Release the identity from the account.

    Raises:
        NotFound: it does not belong to the account, or there is no such account.
    """
    _require(command, read)
    identity = command.identity
    if read(IDENTITY, identity.identity_id) != command.user_id:
        raise NotFound("identity", identity.subject)
    return [
        facts.IdentityReleased(identity_id=identity.identity_id, user_id=command.user_id),
        facts.IdentityUnlinked(user_id=command.user_id, issuer=identity.issuer, subject=identity.subject),
    ]


def _require(command: UserCommand, read: Reader) -> User:
    user = read(USER, command.user_id)
    if user is None or user.erased:
        raise NotFound("user", str(command.user_id))
    return user


@handles(GrantRole)
@handles(RevokeRole)
@handles(RecordLogin)
def handle(command: UserCommand, read: Reader, _: Circumstances) -> Sequence[Event]:
    """Decide on the account as it is."""
    return decide(command, _require(command, read))


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


@handles(EraseUser)
def erase(command: EraseUser, read: Reader, _: Circumstances) -> Sequence[Event]:
    """Let the account be nobody's; its identities may sign in to another one, its name stays taken.

    Raises:
        Conflict: containers of the account are active, or it got an identity meanwhile.
        NotFound: there is no such account.
    """
    user = read(USER, command.user_id)
    if user is None:
        raise NotFound("user", str(command.user_id))
    if user.erased:
        return []
    held = read(QUOTA, quota_stream(command.user_id)).reservations
    if held and not command.despite_containers:
        raise Conflict("user", f"{len(held)} of their containers are active")
    if user.identities != {(identity.issuer, identity.subject) for identity in command.identities}:
        raise Conflict("user", "their identities have changed meanwhile; try again")
    return [
        *(
            facts.IdentityReleased(identity_id=identity.identity_id, user_id=command.user_id)
            for identity in command.identities
            if read(IDENTITY, identity.identity_id) == command.user_id
        ),
        facts.UserErased(user_id=command.user_id),
    ]


@handles(ReleaseUserName)
def release_name(command: ReleaseUserName, read: Reader, _: Circumstances) -> Sequence[Event]:
    """Give the name of an erased account back.

    Raises:
        Conflict: the account that has it is not erased.
        NotFound: nobody has the name.
    """
    holder = read(USER_NAME, command.name_id)
    if holder is None:
        raise NotFound("user", command.name)
    user = read(USER, holder)
    if user is not None and not user.erased:
        raise Conflict("user name", f"{command.name!r} belongs to an account that was not erased")
    return [facts.UserNameReleased(name_id=command.name_id, user_id=holder)]


@handles(MarkFavorite)
def mark(command: MarkFavorite, read: Reader, _: Circumstances) -> Sequence[Event]:
    """Mark or unmark an experiment of which the user is a member."""
    user, experiment = _require(command, read), read(EXPERIMENT, command.experiment_id, guarded=False)
    if experiment is None or command.user_id not in experiment.members:
        raise NotAMember(experiment.proposal_id if experiment else str(command.experiment_id))
    if command.favorite == (command.experiment_id in user.favorites):
        return []
    event_type = facts.ExperimentMarkedFavorite if command.favorite else facts.ExperimentUnmarkedFavorite
    return [event_type(user_id=command.user_id, experiment_id=command.experiment_id)]
