"""Containers, as an administrator looks at them and ends them."""

import re
from datetime import datetime
from typing import Annotated
from uuid import UUID

import typer

from calipso.backend import Backend
from calipso.cli.common import Data, dispatch, running
from calipso.cli.tables import AsJson, show
from calipso.commands.container import EndContainer
from calipso.errors import NotFound
from calipso.events.container import State
from calipso.projections import containers
from calipso.projections.containers import ContainerRow

app = typer.Typer(help="Look at containers, and end those that do not end by themselves.", no_args_is_help=True)

_COLUMNS = ("id", "name", "state", "user", "image", "target", "created", "deadline")


@app.command("list", epilog="Examples: `calipso containers list`, `calipso containers list --target docker-a --json`")
def list_(
    target: Annotated[str, typer.Option(help="Only those of this target.")] = "",
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Tell of each container that is active, or stopped and not removed; `calipso explain` tells all of one."""
    with running(data) as backend, backend.engine.connect() as connection:
        rows = [row for row in containers.kept(connection) if target in {"", row.target}]
        show(_COLUMNS, [_row(row) for row in rows], as_json=as_json)


@app.command(epilog="Example: `calipso containers end calipso-1f0c... --reason 'its engine will not come back'`")
def end(
    container: Annotated[str, typer.Argument(help="Its name (calipso-...), its uuid, or its integer id.")],
    reason: Annotated[str, typer.Option(help="Why, for the record; its owner reads it.")],
    data: Data = None,
) -> None:
    """End a container in the record, whatever its target says.

    Its quota is free at once. What is left of it on the target is removed as soon as the target answers. Stop or remove
    a container instead when its target works.
    """
    with running(data) as backend:
        stored = dispatch(backend, EndContainer(container_id=container_id_of(backend, container), reason=reason))
    print(f"container {container} is ended" if stored else f"container {container} had ended before")


def container_id_of(backend: Backend, text: str) -> UUID:
    """The container of a name (calipso-...), a uuid or an integer id.

    Raises:
        NotFound: there is none.
    """
    try:
        return UUID(text.removeprefix("calipso-"))
    except ValueError:
        pass
    with backend.engine.connect() as connection:
        row = containers.by_id(connection, int(text)) if re.fullmatch("[0-9]{1,18}", text) else None
    if row is None:
        raise NotFound("container", text)
    return row.container_id


def _row(row: ContainerRow) -> dict[str, object]:
    return {
        "id": row.id,
        "name": row.name,
        "state": row.state.value,
        "user": row.user_id,
        "image": row.image_name,
        "target": row.target,
        "created": _moment(row.created),
        "deadline": _moment(row.deadline) if row.state in {State.REQUESTED, State.STARTING} else None,
    }


def _moment(time: datetime) -> str:
    return f"{time:%Y-%m-%dT%H:%M:%SZ}"
