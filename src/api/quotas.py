"""Quotas: what users may have, and what they have."""

from functools import partial

import msgspec
from sanic import Blueprint, HTTPResponse, Request

from calipso.api import past
from calipso.api.auth import signed_in
from calipso.api.context import context_of, require_administrator
from calipso.api.objects import QuotaObject
from calipso.api.ready import repeatable
from calipso.api.users import user_named
from calipso.api.wire import json, read_body, read_count, read_cpus, read_size
from calipso.commands.quota import AssignQuota
from calipso.events.values import Limits, Resources
from calipso.projections import quotas
from calipso.projections.past import quota_of
from calipso.sizes import format_cpus, format_size

blueprint = Blueprint("quotas")


class QuotaBody(msgspec.Struct):
    """The limits of a user."""

    max_simultaneous: int | str
    memory: int | str
    cpu: int | float | str
    hdd: int | str


@blueprint.get("/quota/<username:str>/", unquote=True)
@signed_in
async def limits(request: Request, username: str) -> HTTPResponse:
    """The limits of a user: their own, or the facility's defaults."""
    past.require_reader(request, username)
    user = await user_named(request, username)
    own, view = partial(quotas.limits_of, user_id=user.user_id), quota_of(user.user_id)
    found = await past.query(request, own, lambda _: view, about=user.user_id)
    chosen = found or context_of(request).backend.settings.limits()
    return repeatable(request, json(quota_object(chosen.containers, chosen.resources)))


@blueprint.post("/quota/<username:str>/", unquote=True)
@signed_in
async def assign(request: Request, username: str) -> HTTPResponse:
    """Give a user limits of their own."""
    require_administrator(request)
    user = await user_named(request, username)
    command = AssignQuota(user_id=user.user_id, limits=read_limits(read_body(request, QuotaBody)))
    await context_of(request).dispatch(command, request, shown_by=("quotas",))
    return HTTPResponse(status=200)


@blueprint.get("/used_quota/<username:str>/", unquote=True)
@signed_in
async def used(request: Request, username: str) -> HTTPResponse:
    """What the active containers of a user hold together."""
    past.require_reader(request, username)
    user = await user_named(request, username)
    held, view = partial(quotas.used_by, user_id=user.user_id), quota_of(user.user_id)
    count, resources = await past.query(request, held, lambda _: view, about=user.user_id)
    return repeatable(request, json(quota_object(count, resources)))


def quota_object(containers: int, resources: Resources) -> QuotaObject:
    """The JSON object of limits, or of what is used of them."""
    return QuotaObject(
        cpu=format_cpus(resources.millicores),
        memory=format_size(resources.memory),
        hdd=format_size(resources.disk),
        max_simultaneous=containers,
    )


def read_limits(body: QuotaBody) -> Limits:
    """The limits that a client names.

    Raises:
        Invalid: names the field that is wrong.
    """
    return Limits(
        containers=read_count(body.max_simultaneous, "max_simultaneous"),
        resources=Resources(
            millicores=read_cpus(body.cpu, "cpu"),
            memory=read_size(body.memory, "memory"),
            disk=read_size(body.hdd, "hdd"),
        ),
    )
