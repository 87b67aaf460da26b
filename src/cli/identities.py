"""Federated identities of accounts: who may sign in to an account by the User Office, Umbrella or OpenID Connect."""

from typing import Annotated

import typer

from calipso.backend import Backend
from calipso.cli.common import Data, dispatch, running, user_id_of
from calipso.commands.user import FederatedIdentity, LinkIdentity, UnlinkIdentity

Name = Annotated[str, typer.Argument(help="The user name.")]
Issuer = Annotated[
    str, typer.Option(help="Who vouches: `user-office`, `umbrella`, or the issuer of an OpenID provider.")
]
Subject = Annotated[str, typer.Option(help="Who it is there: a user name, an EAAHash, or the claim `sub`.")]


def link(name: Name, issuer: Issuer, subject: Subject, data: Data = None) -> None:
    """Let a federated identity sign in to an account."""
    with running(data) as backend:
        dispatch(backend, LinkIdentity(user_id=user_id_of(backend, name), identity=_identity(backend, issuer, subject)))
    print(f"{subject} of {issuer} signs in as {name}")


def unlink(name: Name, issuer: Issuer, subject: Subject, data: Data = None) -> None:
    """Let a federated identity sign in to an account no more; its logins are ended."""
    with running(data) as backend:
        user_id = user_id_of(backend, name)
        dispatch(backend, UnlinkIdentity(user_id=user_id, identity=_identity(backend, issuer, subject)))
        backend.logins.close_all(user_id)
    print(f"{subject} of {issuer} signs in as {name} no more")


def _identity(backend: Backend, issuer: str, subject: str) -> FederatedIdentity:
    return FederatedIdentity(
        identity_id=backend.installation.naming.identity(issuer, subject), issuer=issuer, subject=subject
    )
