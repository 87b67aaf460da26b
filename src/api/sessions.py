"""Signing in and out, and what a frontend must know before."""

import asyncio
from functools import partial
from json import dumps

import msgspec
from sanic import Blueprint, HTTPResponse, Request

from calipso.api import cookies
from calipso.api.auth import authentication_of, is_cross_site, login_key
from calipso.api.context import context_of
from calipso.api.proxies import origin_of
from calipso.api.wire import json, read_body
from calipso.commands.user import RecordLogin
from calipso.errors import Invalid, NotPermitted, WrongCredentials

blueprint = Blueprint("sessions")

_EXPECTED = "Expected 'username' and 'password'"


class CredentialsBody(msgspec.Struct):
    """What a user signs in with."""

    username: str
    password: str


@blueprint.get("/settings/")
async def settings(request: Request) -> HTTPResponse:
    """Whether frontends offer local accounts."""
    return _spaced({"local_auth": context_of(request).backend.settings.allow_local_authentication})


@blueprint.get("/login/type/")
async def login_type(request: Request) -> HTTPResponse:
    """Whether users may have containers without a session."""
    return _spaced({"result": context_of(request).backend.settings.backend_default_authorization})


@blueprint.post("/login/")
async def login(request: Request) -> HTTPResponse:
    """Open a login for a name and its password; an earlier one of the browser ends."""
    if is_cross_site(request):
        raise NotPermitted("another site may not sign anybody in")
    try:
        given = read_body(request, CredentialsBody)
    except Invalid:
        return json(_EXPECTED, status=400)
    try:
        caller = await authentication_of(request).sign_in.by_password(
            given.username, given.password, origin_of(request).client
        )
    except WrongCredentials:
        return json("Unable to authenticate", status=401)
    await _close_login(request)
    context = context_of(request)
    request.ctx.caller = caller
    await context.dispatch(RecordLogin(user_id=caller.user_id, method="local"), request)
    key, opened = await asyncio.to_thread(partial(context.backend.logins.open, caller.user_id))
    answer = json("Login OK")
    cookies.set_login(answer, key, opened, secure=cookies.are_secure(request))
    return answer


@blueprint.get("/logout/", ctx_changes=True)
async def logout(request: Request) -> HTTPResponse:
    """End the browser's login, if it has one."""
    await _close_login(request)
    answer = json("Logout OK")
    cookies.expire_login(answer, secure=cookies.are_secure(request))
    return answer


@blueprint.get("/authenticated/")
async def authenticated(request: Request) -> HTTPResponse:
    """Who is signed in by cookie."""
    caller = request.ctx.caller
    if caller is None or not caller.login_key:
        return _spaced({"authenticated": "false"}, status=401)
    return _spaced({"username": caller.name, "authenticated": "true"})


def _spaced(value: object, *, status: int = 200) -> HTTPResponse:
    """An answer as JSON with spaces, which these endpoints always had."""
    return HTTPResponse(dumps(value), status=status, content_type="application/json")


async def _close_login(request: Request) -> None:
    if key := login_key(request):
        await asyncio.to_thread(context_of(request).backend.logins.close, key)
