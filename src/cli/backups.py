"""Backups of the store: made while everything runs, and checked."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from calipso.backups import EVENTS, Manifest
from calipso.backups.making import make
from calipso.cli.common import Data, running
from calipso.cli.row_progress import RowProgress


def backup(
    file: Annotated[
        Path | None, typer.Argument(help="A new file.  [default: calipso-TIME.zip in the folder CALIPSO_BACKUPS]")
    ] = None,
    data: Data = None,
) -> None:
    """Back up the store while it runs: events, keys of people, accounts. Not the master keys: keep those elsewhere."""
    with running(data) as backend, RowProgress() as progress:
        place = file or backend.settings.backup_folder() / f"calipso-{datetime.now(UTC):%Y-%m-%dT%H-%M-%SZ}.zip"
        manifest = make(backend.database, place, progress.told)
    print(f"{place}: {told(manifest)}")


def told(manifest: Manifest) -> str:
    """What a backup holds, in a sentence."""
    return (
        f"{manifest.tables[EVENTS].rows} events up to position {manifest.head}, as of {manifest.made}, "
        f"of Calipso {manifest.program} on PostgreSQL {manifest.server}"
    )
