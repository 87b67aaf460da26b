"""Forgetting people, on their request or after a time."""

import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated
from uuid import UUID

import typer

from calipso.backend import Backend
from calipso.cli.common import ACTOR, Data, confirm, dispatch, running, user_id_of
from calipso.commands.container import RemoveContainer
from calipso.commands.handling import CONTAINER, USER
from calipso.commands.user import ReleaseUserName
from calipso.commands.volumes import common_volumes, own_volumes
from calipso.erasing import active_containers, erase
from calipso.errors import Conflict, Invalid, Unavailable
from calipso.events.container import Container, State
from calipso.events.naming import container_name
from calipso.projections import containers, retention

_REMOVAL_SECONDS = 60.0
_POLL_SECONDS = 0.2

Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


def erase_(
    name: Annotated[str | None, typer.Argument(help="The user name.")] = None,
    expired: Annotated[
        bool, typer.Option("--expired", help="All accounts that were not used for CALIPSO_RETENTION_DAYS.")
    ] = False,
    stop: Annotated[bool, typer.Option("--stop", help="Stop and remove their containers first.")] = False,
    yes: Yes = False,
    data: Data = None,
) -> None:
    """Destroy what is personal of an account, for ever: it is nobody's then. History and accounting stay."""
    if bool(name) == expired:
        raise typer.BadParameter("give either a user name or --expired")
    with running(data) as backend:
        if name is not None:
            _erase_one(backend, name, stop=stop, yes=yes)
        else:
            _erase_expired(backend, yes=yes)


def release(name: Annotated[str, typer.Argument(help="The user name.")], data: Data = None) -> None:
    """Let the name of an erased account be taken again; whoever takes it has the folders of that name."""
    with running(data) as backend:
        dispatch(backend, ReleaseUserName(name_id=backend.installation.naming.user_name(name), name=name))
    print(f"{name} may be taken again")


def _erase_one(backend: Backend, name: str, *, stop: bool, yes: bool) -> None:
    user_id = user_id_of(backend, name)
    user = backend.dispatcher.state(USER, user_id)
    active = active_containers(backend, user_id)
    if active and not stop:
        names = ", ".join(map(container_name, active))
        raise Conflict("user", f"{name} has active containers ({names}); stop them, or give --stop")
    confirm(f"Erase {name}? This cannot be undone.", yes=yes)
    folders = _folders(backend, user.name) if user is not None and not user.erased else []
    _clear(backend, user_id, active)
    erase(backend, user_id, ACTOR)
    print(f"{name} is erased")
    if folders:
        print(f"not Calipso's to remove: the folders {', '.join(folders)} on the targets, and backups made before")


def _erase_expired(backend: Backend, *, yes: bool) -> None:
    days = backend.settings.retention_days
    if not days:
        raise Invalid("settings", "CALIPSO_RETENTION_DAYS must say after how many days accounts are erased")
    before = datetime.now(UTC) - timedelta(days=days)
    with backend.engine.connect() as connection:
        found = retention.unused(connection, position=backend.store.position_at(before), before=before)
    if found:
        confirm(f"Erase {len(found)} accounts ({', '.join(row.name for row in found)})?", yes=yes)
    failed = [row for row in found if not _tried(backend, row.user_id, row.name)]
    print(f"erased {len(found) - len(failed)} accounts that were not used since {before:%Y-%m-%d}")
    if failed:
        raise typer.Exit(1)


def _tried(backend: Backend, user_id: UUID, name: str) -> bool:
    try:
        erase(backend, user_id, ACTOR)
    except Conflict as error:
        print(f"error: {name}: {error}", file=sys.stderr)
        return False
    return True


def _folders(backend: Backend, name: str) -> list[str]:
    """The folders of a user's own that the settings name."""
    policy = backend.settings.policy(backend.keys.current)
    common = {volume.source for volume in policy.other_volumes}
    volumes = (*own_volumes(name, policy), *common_volumes(name, policy))
    return [volume.source for volume in volumes if volume.source not in common]


def _clear(backend: Backend, user_id: UUID, active: Sequence[UUID]) -> None:
    """Remove what is left of a user's containers on the targets, where their name and their logs are.

    Raises:
        Unavailable: a target did not do it in time; nobody was erased.
    """
    with backend.engine.connect() as connection:
        stopped = [row.container_id for row in containers.every_of(connection, user_id) if row.state is State.STOPPED]
    wanted = {*active, *stopped}
    for container_id in wanted:
        print(f"removing {container_name(container_id)}")
        dispatch(backend, RemoveContainer(container_id=container_id))
    give_up = time.monotonic() + backend.settings.stop_grace + _REMOVAL_SECONDS
    while left := [state for each in wanted if (state := _left(backend, each))]:
        if time.monotonic() > give_up:
            told = ", ".join(f"{container_name(c.request.container_id)} on {c.request.target}" for c in left)
            raise Unavailable("the target", f"not removed in time: {told}; nobody was erased")
        time.sleep(_POLL_SECONDS)


def _left(backend: Backend, container_id: UUID) -> Container | None:
    state = backend.dispatcher.state(CONTAINER, container_id)
    return state if state is not None and (state.is_active or state.state is State.STOPPED) else None
