"""Proof that the stored events are what they were: verification, and checkpoints to be kept elsewhere."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer

from calipso import installation
from calipso.backend import Backend
from calipso.cli.common import Data, running
from calipso.cli.position_progress import PositionProgress
from calipso.errors import Conflict, Invalid
from calipso.proof import checkpoints, signing
from calipso.proof.chain import PART, Chain
from calipso.proof.checkpoints import Read
from calipso.proof.verifying import Finding, findings

_SHOWN = 20

app = typer.Typer(help="Checkpoints of the chain of events, to be kept where this system cannot reach them.")


@app.callback()
def checkpoint_() -> None:
    """Checkpoints of the chain of events, to be kept where this system cannot reach them."""


def verify(
    from_: Annotated[int, typer.Option("--from", min=1, help="The first position to look at.")] = 1,
    to: Annotated[int | None, typer.Option("--to", min=1, help="The last; the end of the chain by default.")] = None,
    checkpoint: Annotated[
        Path | None, typer.Option(help="A file of `calipso checkpoint export`, with which the chain must agree.")
    ] = None,
    public_key: Annotated[
        Path | None,
        typer.Option(help="The key (PEM) of which the checkpoint's signature must be; no master key is needed then."),
    ] = None,
    data: Data = None,
) -> None:
    """Find out whether a stored event was changed, removed, inserted or reordered; status 1 when one was.

    Every event is hashed anew and compared with the chain. Who can change events can change the chain as well: only a
    checkpoint from elsewhere finds that out. What is not chained yet (about a second's worth) is told, and not proven.
    """
    with running(data, needs_keys=public_key is None) as backend:
        read = _checkpoint(backend, checkpoint, public_key)
        looked = _look(backend, read, from_, to)
        print(_told_range(looked))
        if read is not None and looked.upto < read.checkpoint.last.position and to is not None:
            print(f"the checkpoint goes to position {read.checkpoint.last.position}: compared up to --to")
        tail = Chain(backend.database).unchained()
    if tail["number"]:
        since = f"{tail['since']:%Y-%m-%dT%H:%M:%S%z}"
        print(f"not chained yet, so not proven: {tail['number']:,} events from position {tail['first']} ({since})")
    if looked.found:
        raise typer.Exit(1)


@dataclass(frozen=True, kw_only=True)
class _Looked:
    first: int
    upto: int
    found: Sequence[Finding]
    number: int


def _look(backend: Backend, read: Read | None, first: int, to: int | None) -> _Looked:
    last = Chain(backend.database).last().position
    upto = last if to is None else min(to, last)
    if to is not None and to < first:
        raise Invalid("--to", f"{to} is before --from {first}")
    marks = read.checkpoint.marks if read else []
    with PositionProgress("verifying", first=first - 1, last=upto) as progress:
        reached = backend.parts.position(PART)
        all_ = findings(backend.database, after=first - 1, upto=upto, marks=marks, reached=reached, told=progress.at)
        found = list(islice(all_, _SHOWN))
        return _Looked(first=first, upto=upto, found=found, number=len(found) + sum(1 for _ in all_))


def _told_range(looked: _Looked) -> str:
    where = f"positions {looked.first} to {looked.upto}"
    if looked.upto < looked.first:
        where = "nothing: the chain ends before"
    if not looked.found:
        return f"verified {where}: no event was changed, removed, inserted or reordered"
    rest = [f"and {looked.number - _SHOWN} more places"] if looked.number > _SHOWN else []
    return "\n".join([f"verified {where}: THE LOG IS NOT WHAT IT WAS, first at", *map(str, looked.found), *rest])


def _checkpoint(backend: Backend, file: Path | None, public_key: Path | None) -> Read | None:
    if file is None:
        if public_key is not None:
            raise Invalid("--public-key", "it belongs to a --checkpoint")
        return None
    read = checkpoints.parse(_content(file, "--checkpoint"))
    ours = installation.id_of(backend.database)
    if read.checkpoint.installation != ours:
        raise Invalid("checkpoint", f"it is of installation {read.checkpoint.installation}, and this is {ours}")
    signed = "not signed"
    if public_key is not None:
        signing.check(read, _content(public_key, "--public-key"))
        signed = f"signed by the key of {public_key}"
    elif read.signature is not None:
        signing.check(read, signing.public_key(backend.keys, read.signature.number, ours))
        signed = f"signed by this installation (master key {read.signature.number})"
    end = read.checkpoint.last.position
    print(f"checkpoint of {read.checkpoint.made.isoformat()}, up to position {end}, {signed}")
    return read


def _content(file: Path, option: str) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise Invalid(option, f"{file}: {error.strerror}") from error


@app.command(epilog="Example: `calipso checkpoint export /media/notary/calipso.checkpoint --sign`")
def export(
    file: Annotated[Path, typer.Argument(help="A new file.")],
    sign: Annotated[bool, typer.Option("--sign", help="Add a signature, see `calipso checkpoint key`.")] = False,
    data: Data = None,
) -> None:
    """Write down what the chain is now; keep it where nobody who can change the database can change it."""
    with running(data) as backend:
        Chain(backend.database).complete()
        made = checkpoints.take(
            backend.database,
            facility=backend.settings.facility,
            installation=installation.id_of(backend.database),
        )
        text = made.text()
        if sign:
            text += signing.sign(backend.keys, made.installation, text).line()
    try:
        with file.open("xb") as target:
            target.write(text)
            target.flush()
            os.fsync(target.fileno())
    except FileExistsError as error:
        raise Conflict("file", f"{file} exists already") from error
    except OSError as error:
        raise Invalid("file", f"{file}: {error.strerror}") from error
    print(f"checkpoint of {made.events:,} events up to position {made.last.position}: {made.last.hash.hex()}")


@app.command(epilog="Example: `calipso checkpoint key > calipso.pem`")
def key(
    number: Annotated[
        int | None, typer.Option("--number", min=1, help="The master key behind it; the one in use by default.")
    ] = None,
    data: Data = None,
) -> None:
    """Print the public key (Ed25519, PEM) by which anybody can check the signatures of checkpoints."""
    with running(data) as backend:
        chosen = backend.keys.current if number is None else number
        print(signing.public_key(backend.keys, chosen, installation.id_of(backend.database)).decode(), end="")
