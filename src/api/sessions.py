"""Signing in and out, and what a frontend must know before."""

from json import dumps

import msgspec
import structlog
from sanic import Blueprint, HTTPResponse, Request

from calipso.api import cookies
from calipso.api.auth import authentication_of, is_cross_site
from calipso.api.context import context_of
from calipso.api.opening import close_login, open_login
from calipso.api.proxies import origin_of
from calipso.api.ready import repeatable
from calipso.api.wire import json, read_body
from calipso.errors import Invalid, NotPermitted, Unavailable, WrongCredentials

_log = structlog.get_logger()

blueprint = Blueprint("sessions")

_EXPECTED = "Expected 'username' and 'password'"


class CredentialsBody(msgspec.Struct):
    """What a user signs in with."""

    username: str
    password: str


@blueprint.get("/settings/")
async def settings(request: Request) -> HTTPResponse:
    """Whether frontends offer local accounts."""
    return repeatable(request, _spaced({"local_auth": context_of(request).backend.settings.allow_local_authentication}))


@blueprint.get("/login/type/")
async def login_type(request: Request) -> HTTPResponse:
    """Whether users may have containers without a session."""
    return _spaced({"result": await _may_have_own(request)})


async def _may_have_own(request: Request) -> bool:
    caller, settings = request.ctx.caller, context_of(request).backend.settings
    if settings.backend_default_authorization or caller is None:
        return settings.backend_default_authorization
    try:
        return await authentication_of(request).user_office.authorises(caller.name)
    except Unavailable as error:
        _log.warning("not available", part=error.part, reason=error.reason)
        return False


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
        found = await authentication_of(request).sign_in.by_password(
            given.username, given.password, origin_of(request).client
        )
    except WrongCredentials:
        return json("Unable to authenticate", status=401)
    answer = json("Login OK")
    await open_login(request, answer, found.caller, found.method)
    return answer


@blueprint.get("/logout/", ctx_changes=True)
async def logout(request: Request) -> HTTPResponse:
    """End the browser's login, if it has one."""
    await close_login(request)
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
