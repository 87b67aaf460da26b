"""Restoring: an empty system gets what a backup holds, and what was erased since is erased again."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer

from calipso import logs, secrecy, settings
from calipso.backend import Backend
from calipso.backups.filling import fill
from calipso.backups.reading import Backup, opened
from calipso.bootstrap.databases import migrate
from calipso.bootstrap.guacamole import guacamole_of
from calipso.bootstrap.projecting import runners
from calipso.bootstrap.relaying import stream_position
from calipso.cli.backups import told
from calipso.cli.common import ACTOR, dispatch, embedded_settings
from calipso.cli.row_progress import RowProgress
from calipso.commands.container import RemoveContainer
from calipso.commands.handling import USER
from calipso.database import Database
from calipso.embedded import Embedded
from calipso.erasing import active_containers, erase
from calipso.erasures import Erasures
from calipso.errors import Conflict, Invalid
from calipso.events.envelope import Recorded
from calipso.projections.registry import read_models
from calipso.settings import Settings
from calipso.settings.places import MASTER_KEY_FILE

_BATCH = 500


def restore(
    file: Annotated[Path, typer.Argument(help="The backup.")],
    check: Annotated[bool, typer.Option("--check", help="Only read the backup, and say whether it is whole.")] = False,
    data: Annotated[
        Path | None,
        typer.Option(
            envvar="CALIPSO_DATA", help="Folder of a new embedded system, with the master key; nothing runs on it."
        ),
    ] = None,
) -> None:
    """Restore a backup into an empty system on which nothing runs yet; the next start goes on from there."""
    given = settings.load() if data is None else settings.load(data=data)
    secrecy.remember(given.secrets())
    logs.configure(given.effective_log_level)
    with opened(file) as backup:
        print(f"{file}: {told(backup.manifest)}")
        if check:
            with RowProgress() as progress:
                backup.check(progress.told)
            print("the backup is whole")
            return
        with _servers(given) as configured:
            _restore(backup, configured, makes_guacamole=not given.database_url and not given.guacamole_database_url)
    print("restored; start Calipso now. What to look at then stands in docs/operating.md, Restore")


@contextmanager
def _servers(given: Settings) -> Iterator[Settings]:
    """The servers of the settings, or embedded ones that run for the time of the block."""
    if given.database_url:
        if not given.master_keys.get_secret_value():
            raise Invalid("settings", "CALIPSO_MASTER_KEYS_FILE must name the file with the master keys")
        yield given
        return
    key = given.data / MASTER_KEY_FILE
    if not given.master_keys.get_secret_value() and not key.exists():
        raise Invalid("settings", f"put the master key that the backup was made with into {key}")
    embedded = Embedded(given.data)
    embedded.start()
    try:
        yield embedded_settings(given)
    finally:
        embedded.stop()


def _restore(backup: Backup, given: Settings, *, makes_guacamole: bool) -> None:
    configured = given.model_copy(update={"backups": given.backups or backup.file.absolute().parent})
    listed = _listed(backup.file, configured)
    with closing(Backend(configured)) as backend:
        migrate(backend, make_guacamole=makes_guacamole)
        _require_empty(backend)
        beyond = max(_stream_position(backend), _guacamole_position(backend))
    with RowProgress() as progress:
        fill(Database(configured.database_url), backup, backend.keys, beyond=beyond, told=progress.told)
    with closing(Backend(configured)) as backend:
        print("rebuilding the read models")
        _project(backend)
        erased = [user_id for user_id in listed if _erase_again(backend, user_id)]
        print(f"erased again: {len(erased)} accounts of the list {backend.erasures.file}")
        _project(backend)
        _rebuild_guacamole(backend)


def _listed(file: Path, configured: Settings) -> Sequence[UUID]:
    """Who was erased, as the lists say that lie beside the backup and where the settings name a folder."""
    folders = dict.fromkeys((file.absolute().parent, configured.backup_folder().absolute()))
    return list(dict.fromkeys(user_id for folder in folders for user_id in Erasures(folder).read()))


def _require_empty(backend: Backend) -> None:
    for read_model in read_models():
        with backend.engine.begin() as connection:
            if read_model.lock_position(connection):
                raise Conflict("restore", f"this system is not empty (rm_{read_model.name}): restore into an empty one")


def _stream_position(backend: Backend) -> int:
    position = asyncio.run(stream_position(backend))
    if position is None:
        print("NATS does not answer: positions that it knows may be given again, to other events")
    return position or 0


def _guacamole_position(backend: Backend) -> int:
    if backend.guacamole_engine is None:
        return 0
    with backend.guacamole_engine.begin() as connection:
        return guacamole_of(backend).lock_position(connection)


def _project(backend: Backend) -> None:
    """Let every read model show all that is stored."""
    head, elsewhere = backend.store.head(), guacamole_of(backend).name
    with RowProgress() as progress:
        for runner in runners(backend, lambda report: progress.told(report.name, report.position, head)):
            if runner.projection.name != elsewhere:
                runner.catch_up()


def _erase_again(backend: Backend, user_id: UUID) -> bool:
    """Erase an account, if the restored record has it. Its containers are gone since then: nobody waits for them."""
    user = backend.dispatcher.state(USER, user_id)
    if user is None:
        backend.subject_keys.destroy(user_id)
        return False
    for container_id in active_containers(backend, user_id):
        dispatch(backend, RemoveContainer(container_id=container_id))
    erase(backend, user_id, ACTOR, despite_containers=True)
    return not user.erased


def _rebuild_guacamole(backend: Backend) -> None:
    if backend.guacamole_engine is None:
        return
    guacamole = guacamole_of(backend)
    with backend.guacamole_engine.begin() as connection:
        guacamole.lock_position(connection)
        guacamole.reconcile(connection, _history(backend, guacamole.topics))
        guacamole.save_position(connection, backend.store.head())


def _history(backend: Backend, topics: frozenset[str]) -> Iterator[Recorded]:
    after = 0
    while (page := backend.store.read(after=after, limit=_BATCH, topics=topics)).last > after:
        yield from page.events
        after = page.last
