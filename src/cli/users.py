"""Accounts."""

import sys
from typing import Annotated
from uuid import uuid4

import typer

from calipso.backend import Backend
from calipso.cli.common import Data, dispatch, running, user_id_of
from calipso.commands.user import GrantRole, RegisterUser, RevokeRole
from calipso.events.user import Role

app = typer.Typer(help="Add accounts and change what they may do.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="The user name.")]


@app.command(epilog="Example: `echo secret | calipso users add ada --password-stdin`")
def add(
    name: Name,
    admin: Annotated[bool, typer.Option("--admin", help="Make it an administrator.")] = False,
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read a local password, one line, from standard input.")
    ] = False,
    uid: Annotated[int | None, typer.Option(help="Its numeric account at the facility.")] = None,
    gid: Annotated[int | None, typer.Option(help="Its numeric group at the facility.")] = None,
    data: Data = None,
) -> None:
    """Open an account; without a password it cannot sign in locally."""
    password = sys.stdin.readline().rstrip("\n") if password_stdin else None
    with running(data) as backend:
        register(backend, name, password=password, admin=admin, uid=uid, gid=gid)
    print(f"Successfully inserted user {name}")


@app.command(epilog="Example: `calipso users promote ada`")
def promote(name: Name, data: Data = None) -> None:
    """Make an account an administrator."""
    with running(data) as backend:
        dispatch(backend, GrantRole(user_id=user_id_of(backend, name), role=Role.ADMINISTRATOR))
    print(f"{name} is an administrator")


@app.command(epilog="Example: `calipso users demote ada`")
def demote(name: Name, data: Data = None) -> None:
    """Let an account administrate no more."""
    with running(data) as backend:
        dispatch(backend, RevokeRole(user_id=user_id_of(backend, name), role=Role.ADMINISTRATOR))
    print(f"{name} is no administrator")


def register(
    backend: Backend, name: str, *, password: str | None, admin: bool, uid: int | None = None, gid: int | None = None
) -> None:
    """Open an account and give it its password."""
    user_id = uuid4()
    dispatch(
        backend,
        RegisterUser(
            user_id=user_id,
            name_id=backend.installation.naming.user_name(name),
            name=name,
            uid=uid,
            gid=gid,
            roles=frozenset({Role.ADMINISTRATOR} if admin else ()),
        ),
    )
    if password is not None:
        backend.passwords.set(user_id, password)
