"""Users: who they are, and who administrates."""

from functools import partial

import msgspec
from sanic import Blueprint, HTTPResponse, Request

from calipso.api.auth import signed_in
from calipso.api.context import context_of, require_administrator
from calipso.api.objects import AccountObject, UserObject
from calipso.api.paging import PageQuery, page_object
from calipso.api.wire import json, read_body, read_name, read_switch
from calipso.commands.user import GrantRole
from calipso.errors import NotFound, NotPermitted
from calipso.events.user import Role
from calipso.moments import format_time
from calipso.projections import users
from calipso.projections.users import UserRow

blueprint = Blueprint("users")


class RoleBody(msgspec.Struct):
    """What a user is to be."""

    is_superuser: bool | int | str | None = None


@blueprint.get("/users/")
@signed_in
async def page(request: Request) -> HTTPResponse:
    """A page of all users."""
    context, query = context_of(request), PageQuery.of(request)
    size = context.backend.settings.page_size_users
    found = await context.query(
        partial(users.page, page=query.page, page_size=size, ordering=query.ordering, search=query.search)
    )
    return json(page_object(request, query, found, size, user_object))


@blueprint.get("/users/<username:str>/", unquote=True)
@signed_in
async def one(request: Request, username: str) -> HTTPResponse:
    """One user by name."""
    return json(user_object(await user_named(request, username)))


@blueprint.get("/users/<username:str>/admin", unquote=True)
@signed_in
async def is_admin(request: Request, username: str) -> HTTPResponse:
    """Whether a user administrates."""
    require_administrator(request)
    user = await user_named(request, username)
    return json({"is_admin": user.is_administrator})


@blueprint.post("/users/<username:str>/admin", unquote=True)
@signed_in
async def promote(request: Request, username: str) -> HTTPResponse:
    """Let a user administrate."""
    require_administrator(request)
    user = await user_named(request, username)
    wanted = read_body(request, RoleBody).is_superuser
    if wanted is None or not read_switch(wanted, "is_superuser"):
        raise NotPermitted("only is_superuser true can be asked for here")
    command = GrantRole(user_id=user.user_id, role=Role.ADMINISTRATOR)
    await context_of(request).dispatch(command, request, shown_by=("users",))
    return HTTPResponse(status=200)


async def user_named(request: Request, username: str) -> UserRow:
    """The user of a name from a path.

    Raises:
        NotFound: nobody has the name.
    """
    name = read_name("user", username)
    user = await context_of(request).query(partial(users.by_name, name=name))
    if user is None:
        raise NotFound("user", name)
    return user


def user_object(row: UserRow) -> UserObject:
    """The JSON object of a user."""
    return UserObject(
        id=row.id,
        calipso_uid=row.user_id,
        user_id=row.id,
        user=AccountObject(
            username=row.name,
            last_login=format_time(row.last_login) if row.last_login else None,
            is_superuser=row.is_administrator,
        ),
    )
