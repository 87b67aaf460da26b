"""What commands share: the system that they speak to, and how they issue a command."""

import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer

from calipso import logs, secrecy, settings
from calipso.backend import Backend
from calipso.commands.dispatch import cause_of
from calipso.commands.handling import USER_NAME
from calipso.embedded import addresses
from calipso.errors import Invalid, NotFound
from calipso.events.envelope import Recorded
from calipso.settings.places import MASTER_KEY_FILE

BACKUPS = "backups"
ACTOR = "service:command-line"

Data = Annotated[
    Path | None,
    typer.Option(
        "--data",
        envvar="CALIPSO_DATA",
        help="Folder of a running embedded system; not needed when CALIPSO_DATABASE_URL names a database.",
    ),
]


@contextmanager
def running(data: Path | None, *, needs_keys: bool = True) -> Iterator[Backend]:
    """The system that the settings name, or the embedded one that runs on a folder.

    Args:
        data: the folder, if one was given.
        needs_keys: whether the master keys must be among the settings.

    Raises:
        EmbeddedError: nothing runs on the folder.
        Invalid: a setting is wrong.
    """
    backend = Backend(_settings(data, needs_keys=needs_keys))
    secrecy.remember(backend.settings.secrets())
    logs.configure(backend.settings.effective_log_level)
    try:
        yield backend
    finally:
        backend.close()


def _settings(data: Path | None, *, needs_keys: bool) -> settings.Settings:
    given = settings.load() if data is None else settings.load(data=data)
    if given.database_url:
        if needs_keys and not given.master_keys.get_secret_value():
            raise Invalid("settings", "CALIPSO_MASTER_KEYS_FILE must name the file with the master keys")
        return given
    return embedded_settings(given)


def embedded_settings(given: settings.Settings) -> settings.Settings:
    """The settings with the addresses and the master keys of the embedded system on their folder."""
    found = addresses(given.data)
    keys = given.master_keys
    if not keys.get_secret_value():
        keys = settings.secret((given.data / MASTER_KEY_FILE).read_text())
    return given.model_copy(
        update={
            "database_url": found.database_url,
            "guacamole_database_url": given.guacamole_database_url or found.guacamole_database_url,
            "nats_url": found.nats_url,
            "backups": given.backups or given.data / BACKUPS,
            "master_keys": keys,
        }
    )


def confirm(question: str, *, yes: bool) -> None:
    """Ask before what cannot be undone; ends the program when the answer is no.

    Raises:
        BadParameter: nobody is there to be asked.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise typer.BadParameter("nobody can be asked here: give --yes")
    typer.confirm(question, abort=True)


def dispatch(backend: Backend, command: object) -> Sequence[Recorded]:
    """Issue a command as the command line; gives what was stored, nothing when it was achieved before."""
    return backend.dispatcher.dispatch(command, cause_of(ACTOR))


def user_id_of(backend: Backend, name: str) -> UUID:
    """The account of a user name.

    Raises:
        NotFound: nobody has the name.
    """
    found = backend.dispatcher.state(USER_NAME, backend.installation.naming.user_name(name))
    if found is None:
        raise NotFound("user", name)
    return found


def parse_number(text: str, field: str) -> int | None:
    """The number of a text, None of an empty one.

    Raises:
        Invalid: it is not a whole number.
    """
    if not text:
        return None
    if not re.fullmatch("[0-9]{1,20}", text):
        raise Invalid(field, f"{text[:40]!r} is not a whole number such as 5001")
    return int(text)
