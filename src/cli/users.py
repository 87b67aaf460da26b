"""Accounts."""

import sys
from dataclasses import replace
from typing import Annotated
from uuid import uuid4

import typer

from calipso.backend import Backend
from calipso.cli.common import Data, dispatch, running, user_id_of
from calipso.cli.import_lines import Kind
from calipso.cli.importing import FileArgument, StrictOption, import_file
from calipso.cli.lazy import Lazy, lazily
from calipso.commands.handling import USER_NAME
from calipso.commands.user import GrantRole, RegisterUser, RevokeRole
from calipso.errors import AlreadyExists
from calipso.events.user import Role

COMMANDS = {
    "link": Lazy(
        "calipso.cli.identities:link",
        "Let a federated identity sign in to an account.",
        epilog="Example: `calipso users link ada --issuer user-office --subject ada`",
    ),
    "unlink": Lazy(
        "calipso.cli.identities:unlink",
        "Let a federated identity sign in to an account no more; its logins are ended.",
        epilog="Example: `calipso users unlink ada --issuer user-office --subject ada`",
    ),
    "erase": Lazy(
        "calipso.cli.erasing:erase_",
        "Destroy what is personal of an account, for ever: it is nobody's then. History and accounting stay.",
        epilog="Examples: `calipso users erase ada`, `calipso users erase --expired --yes` (for cron)",
    ),
    "release": Lazy(
        "calipso.cli.erasing:release",
        "Let the name of an erased account be taken again; whoever takes it has the folders of that name.",
        epilog="Example: `calipso users release ada`",
    ),
    "export": Lazy(
        "calipso.cli.exporting:export",
        "Give all that Calipso holds of a person: their events, and what lies beside them.",
        epilog="Example: `calipso users export ada --output ada.json`",
    ),
}

app = typer.Typer(cls=lazily(COMMANDS), help="Add accounts and change what they may do.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="The user name.")]
RoleName = Annotated[Role, typer.Argument(help="The role.")]


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
    # what is said of an account that is there already would be lost, and a name alone says nothing of it
    says_more = password_stdin or admin or uid is not None or gid is not None
    with running(data) as backend:
        try:
            register(backend, name, password=password, admin=admin, uid=uid, gid=gid)
        except AlreadyExists as error:
            if says_more or error.what != "user":
                raise
            print(f"User {name} already exists")
            return
    print(f"Successfully inserted user {name}")


@app.command("import", epilog="Example: `calipso users import users.csv`, of a file with the column `userlogin`")
def import_(file: FileArgument, strict: StrictOption = False, data: Data = None) -> None:
    """Open an account for each line of a CSV file, where there is none; without a password."""
    with running(data) as backend:
        import_file(backend, _LINES, file, strict=strict)


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


@app.command(epilog="Example: `calipso users grant ada auditor`")
def grant(name: Name, role: RoleName, data: Data = None) -> None:
    """Give an account a role: an auditor reads the history of everybody, an administrator may do everything."""
    with running(data) as backend:
        dispatch(backend, GrantRole(user_id=user_id_of(backend, name), role=role))
    print(f"{name} is an {role}")


@app.command(epilog="Example: `calipso users revoke ada auditor`")
def revoke(name: Name, role: RoleName, data: Data = None) -> None:
    """Take a role from an account."""
    with running(data) as backend:
        dispatch(backend, RevokeRole(user_id=user_id_of(backend, name), role=role))
    print(f"{name} is no {role}")


def register(
    backend: Backend, name: str, *, password: str | None, admin: bool, uid: int | None = None, gid: int | None = None
) -> None:
    """Open an account and give it its password."""
    roles = frozenset({Role.ADMINISTRATOR} if admin else ())
    command = replace(_registration(backend, name), uid=uid, gid=gid, roles=roles)
    dispatch(backend, command)
    if password is not None:
        backend.passwords.set(command.user_id, password)


def _registration(backend: Backend, name: str) -> RegisterUser:
    return RegisterUser(user_id=uuid4(), name_id=backend.installation.naming.user_name(name), name=name)


_LINES: Kind[RegisterUser] = Kind(
    columns=("userlogin",),
    command=lambda backend, values: _registration(backend, values["userlogin"]),
    key=lambda command: command.name_id,
    content=lambda _: True,
    known=lambda backend, command: backend.dispatcher.state(USER_NAME, command.name_id) is not None,
)
