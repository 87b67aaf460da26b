"""The facility's master keys: what is under which of them, and how a new one comes into use."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from calipso import rotation
from calipso.backend import Backend
from calipso.cli.common import Data, running
from calipso.credentials import generate_key_line, parse_master_keys
from calipso.errors import Conflict, Invalid
from calipso.projections import container_counts

app = typer.Typer(help="Change the master keys, from which the passwords of containers derive.", no_args_is_help=True)


@app.callback()
def keys() -> None:
    """Change the master keys, from which the passwords of containers derive."""


@app.command("list", epilog="Example: `calipso keys list`")
def list_(data: Data = None) -> None:
    """Tell of each master key what is under it; never the key itself."""
    with running(data) as backend:
        in_use, uses = backend.keys.current, _uses(backend)
        for number in sorted({*backend.keys.keys, *uses}):
            state = "in use" if number == in_use else "of before" if number < in_use else "not in use yet"
            missing = "" if backend.keys.has(number) else ", MISSING in CALIPSO_MASTER_KEYS"
            print(f"{number}: {state}{missing}; {uses.get(number) or 'nothing is under it'}")


@app.command(epilog="Example: `calipso keys rotate`")
def rotate(data: Data = None) -> None:
    """Take a new master key into use: for new containers and logins, and for the keys of all persons at once.

    The key is added to the file of the keys, unless a newer one than that in use is there already. Running processes
    take it up by themselves within seconds. With processes on several machines, first bring the file with the new key
    to all of them, then run this.
    """
    with running(data) as backend:
        if backend.keys.newest == backend.keys.current:
            otherwise = f"add this line on every machine, then run this again:\n{_line(backend)}"
            _change(backend, rotation.add_key, otherwise)
        number, before = backend.keys.newest, backend.keys.current
        rotation.take_into_use(backend.database, backend.keys, number)
        print(f"key {number} is in use, after key {before}")
        time.sleep(rotation.IN_USE_SECONDS)  # until then a process may still wrap with the key of before
        total = 0
        while count := rotation.rewrap_some(backend.database, backend.keys, number):
            total += count
            print(f"{total} keys of persons are under key {number}", flush=True)
        print("back up the file of the keys now; `calipso keys list` tells what is still under the keys of before")


@app.command(epilog="Example: `calipso keys retire 1`")
def retire(number: Annotated[int, typer.Argument(help="The number of a key of before.")], data: Data = None) -> None:
    """Remove a key of before from the file of the keys, when nothing is under it any more.

    Keep it with the backups of its time: what they hold is under it.
    """
    with running(data) as backend:
        if number == backend.keys.current:
            raise Conflict(f"key {number}", "it is in use; rotate first")
        if not backend.keys.has(number):
            raise Invalid("number", f"there is no key {number}")
        if used := _uses(backend).get(number):
            raise Conflict(f"key {number}", f"{used}; it retires when nothing is under it")
        _change(backend, lambda file: rotation.remove_key(file, number), f"remove the line of key {number} there")
    print(f"key {number} is retired; processes forget it at their next start")


def _uses(backend: Backend) -> dict[int, str]:
    """What is under each key, in words."""
    subjects, tokens = rotation.wrapped_by_number(backend.database)
    with backend.engine.connect() as connection:
        containers = container_counts.by_key_number(connection)
    counted = {"containers": containers, "keys of persons": subjects, "logins with tokens": tokens}
    return {
        number: ", ".join(f"{counts[number]} {what}" for what, counts in counted.items() if counts.get(number))
        for number in {*containers, *subjects, *tokens}
    }


def _line(backend: Backend) -> str:
    return generate_key_line(backend.keys.newest + 1).strip()


def _change(backend: Backend, change: Callable[[Path], None], otherwise: str) -> None:
    """Change the file of the keys, and read them again.

    Raises:
        Invalid: there is no such file, or it cannot be written.
    """
    file = backend.settings.master_keys_file
    if file is None:
        raise Invalid("settings", f"CALIPSO_MASTER_KEYS is not read from a file; {otherwise}")
    try:
        change(file)
    except OSError as error:
        raise Invalid("settings", f"{file} cannot be written ({error.strerror}); {otherwise}") from error
    backend.keys.keys = parse_master_keys(file.read_text()).keys
