"""Signing in and out, and what a frontend must know before."""

import asyncio
from functools import partial

import msgspec
from sanic import Blueprint, HTTPResponse, Request

from calipso.accounts import LOGIN_LIFETIME, Login
from calipso.api.auth import CSRF_COOKIE, LOGIN_COOKIE, authentication_of
from calipso.api.context import context_of
from calipso.api.wire import json
from calipso.commands.user import RecordLogin

blueprint = Blueprint("sessions")

_YEAR_SECONDS = 365 * 24 * 3600
_EXPECTED = "Expected 'username' and 'password'"


@blueprint.get("/settings/")
async def settings(request: Request) -> HTTPResponse:
    """Whether frontends offer local accounts."""
    return _spaced("local_auth", context_of(request).backend.settings.allow_local_authentication)


@blueprint.get("/login/type/")
async def login_type(request: Request) -> HTTPResponse:
    """Whether the caller may have containers without a session."""
    return _spaced("result", context_of(request).backend.settings.backend_default_authorization)


@blueprint.post("/login/")
async def login(request: Request) -> HTTPResponse:
    """Open a login for a name and its password; an earlier one of the browser ends."""
    credentials = _credentials(request)
    if credentials is None:
        return json(_EXPECTED, status=400)
    name, password = credentials
    context, authentication = context_of(request), authentication_of(request)
    throttle = context.backend.sign_in_attempts
    await asyncio.to_thread(throttle.check, name, request.ip)
    caller = await authentication.check_password(name, password)
    if caller is None:
        await asyncio.to_thread(throttle.count, name, request.ip)
        return json("Unable to authenticate", status=401)
    await asyncio.to_thread(throttle.clear, name, request.ip)
    await _close(request)
    request.ctx.caller = caller
    await context.dispatch(RecordLogin(user_id=caller.user_id, method="local"), request)
    key, opened = await asyncio.to_thread(partial(context.backend.logins.open, caller.user_id))
    answer = json("Login OK")
    _set_cookies(answer, key, opened, secure=context.backend.settings.cookie_secure)
    return answer


@blueprint.get("/logout/")
async def logout(request: Request) -> HTTPResponse:
    """End the browser's login, if it has one."""
    await _close(request)
    answer = json("Logout OK")
    answer.delete_cookie(LOGIN_COOKIE, path="/")
    return answer


@blueprint.get("/authenticated/")
async def authenticated(request: Request) -> HTTPResponse:
    """Who is signed in by cookie."""
    caller = request.ctx.caller
    if caller is None or not caller.login_key:
        return HTTPResponse('{"authenticated": "false"}', status=401, content_type="application/json")
    name = msgspec.json.encode(caller.name).decode()
    return HTTPResponse(f'{{"username": {name}, "authenticated": "true"}}', content_type="application/json")


def _spaced(name: str, value: bool) -> HTTPResponse:
    """An object of one switch, with the space that these answers always had."""
    return HTTPResponse(f'{{"{name}": {str(value).lower()}}}', content_type="application/json")


def _credentials(request: Request) -> tuple[str, str] | None:
    """Name and password of a JSON or form body, None when it has none."""
    is_form = request.headers.get("content-type", "").startswith(("application/x-www-form-urlencoded", "multipart/"))
    try:
        body = {n: v[0] for n, v in (request.form or {}).items()} if is_form else msgspec.json.decode(request.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if not isinstance(body, dict):
        return None
    name, password = body.get("username"), body.get("password")
    if not isinstance(name, str) or not isinstance(password, str) or not name or not password or "\0" in name:
        return None
    return name, password


async def _close(request: Request) -> None:
    key = request.cookies.get(LOGIN_COOKIE)
    if key:
        authentication_of(request).forget(key)
        await asyncio.to_thread(context_of(request).backend.logins.close, key)


def _set_cookies(answer: HTTPResponse, key: str, login: Login, *, secure: bool) -> None:
    age = int(LOGIN_LIFETIME.total_seconds())
    answer.add_cookie(LOGIN_COOKIE, key, path="/", httponly=True, samesite="Lax", max_age=age, secure=secure)
    answer.add_cookie(CSRF_COOKIE, login.csrf_token, path="/", samesite="Lax", max_age=_YEAR_SECONDS, secure=secure)
