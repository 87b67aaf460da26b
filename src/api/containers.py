"""Containers as lists and one by one; an ordinary user sees only their own."""

from collections.abc import Sequence
from functools import partial
from uuid import UUID

from sanic import Blueprint, HTTPResponse, Request

from calipso.api.auth import signed_in
from calipso.api.container_objects import container_object
from calipso.api.context import caller_of, context_of, require_self_or_administrator
from calipso.api.wire import json, read_id
from calipso.errors import NotFound
from calipso.projections import containers, users
from calipso.projections.containers import ContainerRow

blueprint = Blueprint("containers")


@blueprint.get("/containers/")
@signed_in
async def every(request: Request) -> HTTPResponse:
    """All containers ever: the caller's, or everybody's for administrators."""
    rows = await context_of(request).query(partial(containers.every_of, user_id=_visible_to(request)))
    return answer(request, rows)


@blueprint.get("/activecontainers/")
@signed_in
async def active(request: Request) -> HTTPResponse:
    """The active containers: the caller's, or everybody's for administrators."""
    rows = await context_of(request).query(partial(containers.active_of, user_id=_visible_to(request)))
    return answer(request, rows)


@blueprint.get("/containers/<number:str>")
@signed_in
async def one(request: Request, number: str) -> HTTPResponse:
    """One container by its integer id."""
    row = await visible_row(request, number)
    return json(container_object(row, request))


@blueprint.get("/users/<username:str>/containers/", unquote=True)
@signed_in
async def of_user(request: Request, username: str) -> HTTPResponse:
    """The active containers of a user."""
    require_self_or_administrator(request, username)
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
    return await context.query(partial(containers.active_of, user_id=user.user_id))


def answer(request: Request, rows: Sequence[ContainerRow]) -> HTTPResponse:
    """An array of container objects."""
    return json([container_object(row, request) for row in rows])


def _visible_to(request: Request) -> UUID | None:
    caller = caller_of(request)
    return None if caller.is_administrator else caller.user_id
