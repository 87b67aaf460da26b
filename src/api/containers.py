"""Containers as lists and one by one; an ordinary user sees only their own."""

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from uuid import UUID

from sanic import Blueprint, HTTPResponse, Request

from calipso.api import past
from calipso.api.auth import signed_in
from calipso.api.container_objects import container_object
from calipso.api.context import caller_of, context_of
from calipso.api.wire import json, read_id
from calipso.errors import NotFound
from calipso.projections import containers, users
from calipso.projections.containers import ContainerRow
from calipso.projections.past import active_at, container, containers_of

blueprint = Blueprint("containers")


@blueprint.get("/containers/")
@signed_in
async def every(request: Request) -> HTTPResponse:
    """All containers ever: the caller's, or everybody's for administrators."""
    owner = _visible_to(request)
    every_one = partial(containers.every_of, user_id=owner)
    return answer(request, await past.query(request, every_one, lambda _: containers_of(owner), about=owner))


@blueprint.get("/activecontainers/")
@signed_in
async def active(request: Request) -> HTTPResponse:
    """The active containers: the caller's, or everybody's for administrators."""
    return answer(request, await _active(request, _visible_to(request)))


@blueprint.get("/containers/<number:str>")
@signed_in
async def one(request: Request, number: str) -> HTTPResponse:
    """One container by its integer id."""
    moment = past.moment_of(request)
    row = await visible_row(request, number) if moment is None else await _past_row(request, number, moment)
    return json(container_object(row, request))


@blueprint.get("/users/<username:str>/containers/", unquote=True)
@signed_in
async def of_user(request: Request, username: str) -> HTTPResponse:
    """The active containers of a user."""
    past.require_reader(request, username)
    return answer(request, await active_rows(request, username))


async def visible_row(request: Request, number: str) -> ContainerRow:
    """The container of an integer id, if the caller may see it.

    Raises:
        NotFound: there is none, or it is somebody else's.
    """
    caller = caller_of(request)
    row = await context_of(request).query(partial(containers.by_id, id=read_id("container", number)))
    if row is None or (row.user_id != caller.user_id and not caller.is_administrator):
        raise NotFound("container", number)
    return row


async def active_rows(request: Request, username: str) -> Sequence[ContainerRow]:
    """The active containers of a user, by name.

    Raises:
        NotFound: nobody has the name.
    """
    context = context_of(request)
    user = await context.query(partial(users.by_name, name=username))
    if user is None:
        raise NotFound("user", username)
    return await _active(request, user.user_id)


async def _active(request: Request, owner: UUID | None) -> Sequence[ContainerRow]:
    active_ones = partial(containers.active_of, user_id=owner)
    return await past.query(request, active_ones, lambda moment: active_at(moment, owner), about=owner)


async def _past_row(request: Request, number: str, moment: datetime) -> ContainerRow:
    """The container of an integer id as it was, if the caller may look back at it.

    Raises:
        NotFound: there was none, or it was somebody else's.
    """
    wire_id = read_id("container", number)
    row = await past.as_it_was(request, partial(containers.by_id, id=wire_id), container(wire_id), moment)
    if row is None or _visible_to(request) not in {None, row.user_id}:
        raise NotFound("container", number)
    await past.record_looking_back(request, moment, row.user_id)
    return row


def answer(request: Request, rows: Sequence[ContainerRow]) -> HTTPResponse:
    """An array of container objects."""
    return json([container_object(row, request) for row in rows])


def _visible_to(request: Request) -> UUID | None:
    caller = caller_of(request)
    sees_all = caller.is_administrator or (caller.is_auditor and past.moment_of(request))
    return None if sees_all else caller.user_id
