"""Accounts: who they are, what they may do, what they marked."""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import ClassVar
from uuid import UUID

from calipso.events.envelope import Event, personal


class Role(StrEnum):
    """What an account may do beyond its own things."""

    ADMINISTRATOR = "administrator"
    AUDITOR = "auditor"


ERASED_NAME = "(erased)"


@dataclass(frozen=True, kw_only=True)
class UserNameEvent(Event, is_base=True):
    """An event of one user name."""

    kind: ClassVar[str] = "user_name"
    name_id: UUID
    user_id: UUID

    @property
    def stream(self) -> UUID:
        """The stream of the name, a keyed hash of it."""
        return self.name_id


@dataclass(frozen=True, kw_only=True)
class UserNameClaimed(UserNameEvent):
    """A user name belongs to an account from now on."""


@dataclass(frozen=True, kw_only=True)
class UserNameReleased(UserNameEvent):
    """A user name belongs to no account any more; the one that had it was erased."""


@dataclass(frozen=True, kw_only=True)
class IdentityEvent(Event, is_base=True):
    """An event of one federated identity, which is known by its issuer and its subject there."""

    kind: ClassVar[str] = "identity"
    identity_id: UUID
    user_id: UUID

    @property
    def stream(self) -> UUID:
        """The stream of the identity, a keyed hash of issuer and subject."""
        return self.identity_id


@dataclass(frozen=True, kw_only=True)
class IdentityClaimed(IdentityEvent):
    """A federated identity belongs to an account from now on."""


@dataclass(frozen=True, kw_only=True)
class IdentityReleased(IdentityEvent):
    """A federated identity belongs to no account any more."""


@dataclass(frozen=True, kw_only=True)
class UserEvent(Event, is_base=True):
    """An event of one account."""

    kind: ClassVar[str] = "user"
    user_id: UUID

    @property
    def stream(self) -> UUID:
        """The account's own stream."""
        return self.user_id


@dataclass(frozen=True, kw_only=True)
class UserRegistered(UserEvent):
    """An account came to be; `uid` and `gid` are its numeric account at the facility, where it has one."""

    name: str = personal("user_id", erased=ERASED_NAME)
    uid: int | None = personal("user_id", erased=None, default=None)
    gid: int | None = personal("user_id", erased=None, default=None)


@dataclass(frozen=True, kw_only=True)
class IdentityLinked(UserEvent):
    """A federated identity belongs to the account."""

    issuer: str
    subject: str = personal("user_id", erased=ERASED_NAME)


@dataclass(frozen=True, kw_only=True)
class IdentityUnlinked(UserEvent):
    """A federated identity belongs to the account no more."""

    issuer: str
    subject: str = personal("user_id", erased=ERASED_NAME)


@dataclass(frozen=True, kw_only=True)
class RoleGranted(UserEvent):
    """The account may do more."""

    role: Role


@dataclass(frozen=True, kw_only=True)
class RoleRevoked(UserEvent):
    """The account may do less."""

    role: Role


@dataclass(frozen=True, kw_only=True)
class UserLoggedIn(UserEvent):
    """Somebody signed in to the account; not told for each request."""

    method: str


@dataclass(frozen=True, kw_only=True)
class UserErased(UserEvent):
    """The key of the account's personal data was destroyed."""


@dataclass(frozen=True, kw_only=True)
class ExperimentMarkedFavorite(UserEvent):
    """The user marked an experiment."""

    experiment_id: UUID


@dataclass(frozen=True, kw_only=True)
class ExperimentUnmarkedFavorite(UserEvent):
    """The user took the mark away."""

    experiment_id: UUID


@dataclass(frozen=True, kw_only=True)
class User:
    """An account as its events tell it; `identities` are pairs of issuer and subject."""

    user_id: UUID
    name: str
    uid: int | None = None
    gid: int | None = None
    roles: frozenset[Role] = frozenset()
    favorites: frozenset[UUID] = frozenset()
    identities: frozenset[tuple[str, str]] = frozenset()
    erased: bool = False


def evolve(state: User | None, event: Event) -> User | None:
    """The account after one more event; None before it was registered."""
    if isinstance(event, UserRegistered):
        return User(user_id=event.user_id, name=event.name, uid=event.uid, gid=event.gid)
    if state is None:
        return None
    match event:
        case RoleGranted():
            return replace(state, roles=state.roles | {event.role})
        case RoleRevoked():
            return replace(state, roles=state.roles - {event.role})
        case ExperimentMarkedFavorite():
            return replace(state, favorites=state.favorites | {event.experiment_id})
        case ExperimentUnmarkedFavorite():
            return replace(state, favorites=state.favorites - {event.experiment_id})
        case IdentityLinked():
            return replace(state, identities=state.identities | {(event.issuer, event.subject)})
        case IdentityUnlinked():
            return replace(state, identities=state.identities - {(event.issuer, event.subject)})
        case UserErased():
            return User(user_id=state.user_id, name=ERASED_NAME, erased=True)
        case _:
            return state


def evolve_claim(state: UUID | None, event: Event) -> UUID | None:
    """The account that holds a user name after one more event of the name's stream."""
    match event:
        case UserNameClaimed():
            return event.user_id
        case UserNameReleased():
            return None
        case _:
            return state


def evolve_identity(state: UUID | None, event: Event) -> UUID | None:
    """The account to which an identity belongs after one more event of the identity's stream."""
    match event:
        case IdentityClaimed():
            return event.user_id
        case IdentityReleased():
            return None
        case _:
            return state
