"""Forgetting a person: the key of their data is destroyed, and what lies beside the events goes.

Every step may be repeated, so an erasure that was cut short is completed by another.
"""

from uuid import UUID

from calipso.backend import Backend
from calipso.commands.dispatch import cause_of
from calipso.commands.handling import QUOTA, USER
from calipso.commands.user import EraseUser, FederatedIdentity
from calipso.events.naming import quota_stream
from calipso.events.user import User
from calipso.projections import containers
from calipso.projections.guacamole import history


def erase(backend: Backend, user_id: UUID, actor: str, *, despite_containers: bool = False) -> None:
    """Make an account nobody's, for ever.

    Args:
        backend: the bound parts.
        user_id: whose.
        actor: who wants it, for the event.
        despite_containers: also while containers of the account are active, as a restored record may say.

    Raises:
        Conflict: containers of the account are active.
        NotFound: there is no such account.
        Unavailable: the list of erasures cannot be written, or a database does not answer.
    """
    user = backend.dispatcher.state(USER, user_id)
    command = EraseUser(user_id=user_id, identities=_identities(backend, user), despite_containers=despite_containers)
    backend.dispatcher.consider(command)  # nothing is listed that is refused
    # first, so that a crash behind it leaves too much in the list and never too little
    backend.erasures.note(user_id)
    backend.dispatcher.dispatch(command, cause_of(actor))
    backend.subject_keys.destroy(user_id)
    _forget_sign_ins(backend, user_id)
    _forget_addresses(backend, user_id)


def active_containers(backend: Backend, user_id: UUID) -> list[UUID]:
    """The containers of an account that hold a part of its quota."""
    return list(backend.dispatcher.state(QUOTA, quota_stream(user_id)).reservations)


def _identities(backend: Backend, user: User | None) -> tuple[FederatedIdentity, ...]:
    naming = backend.installation.naming
    return tuple(
        FederatedIdentity(identity_id=naming.identity(issuer, subject), issuer=issuer, subject=subject)
        for issuer, subject in sorted(user.identities if user else ())
    )


def _forget_sign_ins(backend: Backend, user_id: UUID) -> None:
    """End logins, with the tokens of their provider, and take the password away."""
    backend.logins.close_all(user_id)
    backend.passwords.forget(user_id)
    backend.sign_in_attempts.forget_old()
    backend.sign_in_flows.forget_old()


def _forget_addresses(backend: Backend, user_id: UUID) -> None:
    """Take the addresses of the user's browsers out of Guacamole's own history."""
    if backend.guacamole_engine is None:
        return
    with backend.engine.connect() as connection:
        known = [row.container_id for row in containers.every_of(connection, user_id)]
    with backend.guacamole_engine.begin() as connection:
        history.forget_addresses(connection, known)
