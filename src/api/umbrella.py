"""Signing in with Umbrella: Shibboleth, in the proxy in front of the API, says who somebody is.

It does so by two headers, which are believed from trusted proxies alone. What a browser posts is believed only when
the same browser was seen with these headers: in this very request, or by `umbrella/session/` a moment ago.
"""

import asyncio
from functools import partial
from json import dumps
from urllib.parse import quote, urlsplit

import msgspec
import structlog
from sanic import Blueprint, HTTPResponse, Request

from calipso.accounts import FLOW_LIFETIME
from calipso.api import cookies
from calipso.api.auth import authentication_of, is_cross_site
from calipso.api.context import Caller, context_of
from calipso.api.federation import Federation
from calipso.api.opening import close_login, open_login
from calipso.api.proxies import absolute_url, origin_of
from calipso.api.wire import json, read_body
from calipso.errors import NotFound, NotPermitted

_log = structlog.get_logger()

blueprint = Blueprint("umbrella")

ISSUER = "umbrella"
_HASH, _UID = "EAAHash", "uid"
_COOKIE = "calipso_umbrella"
_VALUE_LIMIT = 500
_KEY_LIMIT = 200


class UmbrellaSession(msgspec.Struct, frozen=True):
    """Whom Shibboleth has signed in: the hash of the Umbrella account, and its name."""

    EAAHash: str
    uid: str


class UmbrellaBody(msgspec.Struct):
    """What a frontend sends back of a session."""

    EAAHash: str | None = None
    uid: str | None = None


@blueprint.get("/umbrella/session/", ctx_changes=True)
async def session(request: Request) -> HTTPResponse:
    """Whom Shibboleth has signed in, and a cookie by which this browser is known as theirs for ten minutes."""
    found = _session_of(request)
    if found is None:
        return _missing("session not found")
    answer = HTTPResponse(dumps(msgspec.to_builtins(found)), content_type="application/json")
    begin = partial(context_of(request).backend.sign_in_flows.begin, msgspec.json.encode(found).decode())
    _set_cookie(request, answer, await asyncio.to_thread(begin))
    return answer


@blueprint.get("/umbrella/login/")
async def login(request: Request) -> HTTPResponse:
    """Send a browser to Umbrella."""
    settings = context_of(request).backend.settings
    if settings.umbrella_login:
        return _redirect(settings.umbrella_login)
    if not settings.backend_calipso:
        raise NotFound("setting", "CALIPSO_UMBRELLA_LOGIN")
    back = absolute_url(request, "/umbrella/frontend/")
    parts = urlsplit(back)
    return _redirect(f"{parts.scheme}://{parts.netloc}/Shibboleth.sso/Login?target={quote(back, safe='')}")


@blueprint.get("/umbrella/frontend/")
async def frontend(request: Request) -> HTTPResponse:
    """Send a browser that comes from Umbrella to the frontend, which goes on from there."""
    place = context_of(request).backend.settings.frontend_calipso
    if not place:
        raise NotFound("setting", "CALIPSO_FRONTEND_CALIPSO")
    return _redirect(f"{place.rstrip('/')}/autologin")


@blueprint.post("/umbrella/wuo/")
async def sign_in(request: Request) -> HTTPResponse:
    """Open a login for whom Shibboleth has signed in, if the User Office knows the account."""
    if is_cross_site(request):
        raise NotPermitted("another site may not sign anybody in")
    given = read_body(request, UmbrellaBody)
    for name in (_HASH, _UID):
        if not getattr(given, name):
            return json(f"Expected '{name}' error:'{name}'", status=400)
    claimed = UmbrellaSession(EAAHash=given.EAAHash or "", uid=given.uid or "")
    if claimed not in (_session_of(request), await _remembered(request)):
        _log.warning("no sign-in", method=ISSUER, reason="the browser was not seen with these values")
        return _missing("user not found")
    if not await authentication_of(request).user_office.accepts_hash(claimed.EAAHash):
        return _missing("user not found")
    account = partial(
        Federation(context_of(request).backend).account_of,
        ISSUER,
        claimed.EAAHash,
        claimed.uid,
        is_authority_of_names=True,
    )
    user = await asyncio.to_thread(account)
    answer = json("Login OK")
    _set_cookie(request, answer, "")
    await open_login(request, answer, Caller.of(user), ISSUER)
    return answer


@blueprint.get("/umbrella/logout/", ctx_changes=True)
async def logout(request: Request) -> HTTPResponse:
    """End the browser's login here; a browser that navigates is sent on to where Shibboleth's own is ended."""
    await close_login(request)
    place = context_of(request).backend.settings.umbrella_logout
    is_navigation = request.headers.get("sec-fetch-mode") == "navigate"
    # frontends that ask by script go there by themselves
    answer = _redirect(place) if place and is_navigation else json("ok logout")
    cookies.expire_login(answer, secure=cookies.are_secure(request))
    return answer


def _session_of(request: Request) -> UmbrellaSession | None:
    """What a trusted proxy says of the one who signed in there; None when it says nothing that can be believed."""
    if not origin_of(request).is_trusted:
        return None
    values = [request.headers.getall(name, []) for name in (_HASH, _UID)]
    if any(len(sent) != 1 or not _is_lawful(sent[0]) for sent in values):
        return None
    return UmbrellaSession(EAAHash=values[0][0], uid=values[1][0])


def _is_lawful(value: str) -> bool:
    # Shibboleth joins several values of an attribute by semicolons
    return value.isprintable() and 0 < len(value) <= _VALUE_LIMIT and ";" not in value


async def _remembered(request: Request) -> UmbrellaSession | None:
    """The session with which this browser was seen, which is forgotten by this."""
    key: str = request.cookies.get(_COOKIE) or ""
    if not key.isascii() or not 0 < len(key) <= _KEY_LIMIT:
        return None
    content = await asyncio.to_thread(context_of(request).backend.sign_in_flows.end, key)
    try:
        return msgspec.json.decode(content, type=UmbrellaSession) if content else None
    except msgspec.DecodeError:  # the key of another kind of sign-in
        return None


def _missing(text: str) -> HTTPResponse:
    return HTTPResponse(dumps({"msg": text}), status=404, content_type="application/json")


def _redirect(place: str) -> HTTPResponse:
    return HTTPResponse(status=302, headers={"Location": place}, content_type="text/html; charset=utf-8")


def _set_cookie(request: Request, answer: HTTPResponse, value: str) -> None:
    answer.add_cookie(
        _COOKIE,
        value,
        path="/",
        samesite="Lax",
        secure=cookies.are_secure(request),
        httponly=True,
        max_age=int(FLOW_LIFETIME.total_seconds()) if value else 0,
    )
