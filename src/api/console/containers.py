"""The life of one container, from its request until nothing of it was left."""

from datetime import UTC, datetime

from sanic import Blueprint, HTTPResponse, Request
from sqlalchemy import Connection

from calipso.api.audit import until_audited
from calipso.api.console import life
from calipso.api.console.shell import Wrong, for_auditors, render, see
from calipso.api.context import context_of
from calipso.api.readings import readings_of
from calipso.errors import NotFound
from calipso.events.envelope import History
from calipso.events.naming import container_name
from calipso.projections import containers, users
from calipso.projections.audit import history
from calipso.projections.audit.history import Entry
from calipso.projections.audit.question import container_of
from calipso.projections.audit.selection import Selection
from calipso.projections.containers import ContainerRow

blueprint = Blueprint("console_containers")

_EVENTS = 500  # a life has about ten


@blueprint.get("/console/containers/")
@for_auditors
async def find(request: Request) -> HTTPResponse:
    """The form that leads to a container."""
    text = (request.args.get("container") or "").strip()
    if not text:
        return render(request, "find_container.html", text="")
    try:
        container_id = await context_of(request).look(lambda connection: container_of(connection, text))
    except NotFound as error:
        return render(request, "find_container.html", text=text, wrong=Wrong.of(error), status=404)
    return see(request, f"/console/containers/{container_name(container_id)}")


@blueprint.get("/console/containers/<name:str>")
@for_auditors
async def one(request: Request, name: str) -> HTTPResponse:
    """The life of a container: a picture, and the same as tables."""
    context = context_of(request)
    await until_audited(context)
    row, owner = await context.look(lambda connection: _row(connection, name))
    await readings_of(request).record(request, "container", row.user_id, {"container": row.name})
    events = await context.look(lambda connection: _events(connection, context.backend.store, row))
    now = datetime.now(UTC)
    return render(
        request,
        "container.html",
        row=row,
        owner=owner,
        events=events,
        stages=life.stages(events),
        picture=life.draw(events, now),
        width=life.WIDTH,
        now=now,
    )


def _row(connection: Connection, text: str) -> tuple[ContainerRow, str]:
    """A container and its owner's name.

    Raises:
        NotFound: there never was one.
    """
    row = containers.by_uuid(connection, container_of(connection, text))
    if row is None:
        raise NotFound("container", text)
    owner = users.by_id(connection, row.user_id)
    return row, owner.name if owner and not owner.erased else str(row.user_id)


def _events(connection: Connection, store: History, row: ContainerRow) -> list[Entry]:
    wanted = Selection(container_id=row.container_id)
    return list(history.stream(connection, store, wanted, limit=_EVENTS))
