"""Accounts of people for whom another service vouches. They are known by issuer and subject, never by name alone."""

from uuid import UUID, uuid4

from calipso.backend import Backend
from calipso.commands.dispatch import cause_of
from calipso.commands.handling import IDENTITY, USER, USER_NAME
from calipso.commands.user import FederatedIdentity, LinkIdentity, RegisterUser
from calipso.errors import AlreadyExists, NotPermitted
from calipso.events.user import User

ACTOR = "service:api"
_ATTEMPTS = 3  # another sign-in of the same person may be first


class Federation:
    """Finds the account of a federated identity, and opens one at the first sign-in. Blocking.

    Args:
        backend: the bound parts.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def account_of(self, issuer: str, subject: str, name: str, *, is_authority_of_names: bool = False) -> User:
        """The account of an identity.

        Args:
            issuer: who vouches; the same text at every sign-in.
            subject: who it is there; never given to anybody else by the issuer.
            name: the user name for a new account.
            is_authority_of_names: whether the issuer decides who has which user name at the facility. Then an account
                that was only ever announced (no password, no identity, no role) becomes that of the identity.

        Raises:
            NotPermitted: the name belongs to somebody else, or the account was erased.
            Invalid: the name cannot be a user name.
        """
        naming = self._backend.installation.naming
        identity_id = naming.identity(issuer, subject)
        identity = FederatedIdentity(identity_id=identity_id, issuer=issuer, subject=subject)
        for _ in range(_ATTEMPTS):
            if known := self._known(identity_id):
                return known
            try:
                self._open(identity, name, may_take_over=is_authority_of_names)
            except AlreadyExists:
                continue
        raise _name_taken(name)

    def _known(self, identity_id: UUID) -> User | None:
        dispatcher = self._backend.dispatcher
        user_id = dispatcher.state(IDENTITY, identity_id)
        user = dispatcher.state(USER, user_id) if user_id else None
        if user is not None and user.erased:
            raise NotPermitted("the account was erased")
        return user

    def _open(self, identity: FederatedIdentity, name: str, *, may_take_over: bool) -> None:
        dispatcher, name_id = self._backend.dispatcher, self._backend.installation.naming.user_name(name)
        holder = dispatcher.state(USER_NAME, name_id)
        if holder is not None and _is_erased(dispatcher.state(USER, holder)):
            raise NotPermitted(
                f"the account of the user name {name!r} was erased; an administrator can let the name be taken again: "
                "calipso users release"
            )
        if holder is None:
            command: object = RegisterUser(user_id=uuid4(), name_id=name_id, name=name, identity=identity)
        elif may_take_over and self._is_unclaimed(holder):
            command = LinkIdentity(user_id=holder, identity=identity)
        else:  # by somebody else, or by this very person a moment ago
            raise AlreadyExists("user", name)
        dispatcher.dispatch(command, cause_of(ACTOR))

    def _is_unclaimed(self, user_id: UUID) -> bool:
        user = self._backend.dispatcher.state(USER, user_id)
        is_free = user is not None and not (user.identities or user.roles or user.erased)
        return is_free and not self._backend.passwords.exists(user_id)


def _is_erased(user: User | None) -> bool:
    return user is not None and user.erased


def _name_taken(name: str) -> NotPermitted:
    return NotPermitted(
        f"the user name {name!r} belongs to another account; an administrator can link the two: calipso users link"
    )
