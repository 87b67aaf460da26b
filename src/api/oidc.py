"""Signing in and out by an OpenID provider. Browsers navigate here, so what goes wrong is told as a page."""

import asyncio
import hashlib
import hmac
from collections.abc import Awaitable, Callable
from functools import partial, wraps
from http import HTTPStatus
from urllib.parse import urlsplit

import msgspec
import structlog
from sanic import Blueprint, HTTPResponse, Request

from calipso.accounts import FLOW_LIFETIME
from calipso.api import cookies, pages
from calipso.api.auth import is_cross_site
from calipso.api.context import Caller, context_of
from calipso.api.federation import Federation
from calipso.api.opening import close_login, open_login, provider_tokens_of
from calipso.api.outside.id_tokens import NotVouched
from calipso.api.outside.openid import Flow, Person, Provider
from calipso.api.outside.openid_metadata import PART, BadAnswer, told
from calipso.api.problems import status_of
from calipso.api.proxies import absolute_url
from calipso.errors import CalipsoError, Invalid, NotPermitted, Unavailable
from calipso.events.user import User
from calipso.login_tokens import ProviderTokens

_log = structlog.get_logger()

blueprint = Blueprint("oidc")

_DISABLED = "Sign-in with OpenID Connect is not enabled here."
_AGAIN = ("Sign in again", "../authenticate/")
_COOKIE = "calipso_oidc_"
_FLOWS = 4  # sign-ins that one browser has under way in its tabs
_KEY_LIMIT = 200
_STATE_LIMIT = 200
_CODE_LIMIT = 4096
_WORD_LIMIT = 20
_CONSOLE = "console"
_LOGGED = (NotVouched, BadAnswer, Unavailable)  # kinds whose text names no person
_STATUS = {NotVouched: HTTPStatus.FORBIDDEN, BadAnswer: HTTPStatus.BAD_GATEWAY}

Handler = Callable[[Request], Awaitable[HTTPResponse]]


def _telling(handler: Handler) -> Handler:
    """Tell as a page what goes wrong, and give the reason to the log."""

    @wraps(handler)
    async def telling(request: Request) -> HTTPResponse:
        if not context_of(request).backend.settings.oidc_enabled:
            return pages.page("Not signed in", _DISABLED, status=404)
        try:
            return await handler(request)
        except CalipsoError as error:
            status = int(_STATUS.get(type(error)) or status_of(error))
            reason = str(error) if isinstance(error, _LOGGED) else type(error).__name__
            _log.warning("no sign-in", method="oidc", status=status, reason=reason)
            return pages.page(
                "Not signed in", _reason(error), status=status, link=("Sign in again", "../authenticate/")
            )

    return telling


def _reason(error: CalipsoError) -> str:
    # why a part does not answer is for the log
    return f"{error.part} is not available" if isinstance(error, Unavailable) else str(error)


@blueprint.get("/openidtest/")
async def test(request: Request) -> HTTPResponse:
    """Who is signed in, or the way to sign in."""
    if request.ctx.caller is not None:
        return pages.page("Signed in", f"You are {request.ctx.caller.name}.")
    if not context_of(request).backend.settings.oidc_enabled:
        return pages.page("Not signed in", _DISABLED)
    return pages.page("Not signed in", "You are nobody yet.", link=("Sign in", "../oidc/authenticate/"))


@blueprint.get("/oidc/authenticate/", ctx_changes=True)
@_telling
async def authenticate(request: Request) -> HTTPResponse:
    """Send a browser to the provider, and let it keep the key of what we remember of that."""
    provider = _provider_of(request)
    flow = Flow.begin(absolute_url(request, "/oidc/callback/"), _read_after(request))
    answer = _redirect(await provider.way_in(flow))
    flows = context_of(request).backend.sign_in_flows
    key = await asyncio.to_thread(flows.begin, msgspec.json.encode(flow).decode())
    # browsers send the older ones first
    begun = [name for name in request.cookies if name.startswith(_COOKIE)]
    for name in begun[: max(len(begun) + 1 - _FLOWS, 0)]:
        _set_cookie(request, answer, name, "")
    _set_cookie(request, answer, _cookie_of(flow.state), key)
    return answer


@blueprint.get("/oidc/callback/", ctx_changes=True)
@_telling
async def callback(request: Request) -> HTTPResponse:
    """Open a login for whom the provider vouches, in the browser that asked for it."""
    provider = _provider_of(request)
    state = _parameter(request, "state", _STATE_LIMIT)
    flow = await _end_flow(request, state)
    await provider.check_sender(_parameter(request, "iss", _CODE_LIMIT) or None)
    if problem := _parameter(request, "error", _CODE_LIMIT):
        raise _refusal(problem)
    person = await provider.redeem(flow, _parameter(request, "code", _CODE_LIMIT))
    user = await asyncio.to_thread(partial(_account_of, request, person))
    answer = _redirect(_place_after(request, flow))
    _set_cookie(request, answer, _cookie_of(state), "")
    key = await open_login(request, answer, Caller.of(user), "oidc")
    backend = context_of(request).backend
    tokens = person.tokens if backend.settings.icat_openid_connect else ProviderTokens(id_token=person.tokens.id_token)
    await asyncio.to_thread(backend.login_tokens.put, key, tokens)
    return answer


@blueprint.post("/oidc/logout/")
async def logout(request: Request) -> HTTPResponse:
    """End the browser's login, and send it to the provider to end its sign-in there too."""
    if is_cross_site(request):
        raise NotPermitted("another site may not sign anybody out")
    tokens = await provider_tokens_of(request)
    await close_login(request)
    answer = _redirect(await _place_out(request, tokens))
    cookies.expire_login(answer, secure=cookies.are_secure(request))
    return answer


async def _end_flow(request: Request, state: str) -> Flow:
    """What was remembered of a sign-in of this browser, which is forgotten by this."""
    key: str = request.cookies.get(_cookie_of(state)) or ""
    content = None
    if state and key.isascii() and 0 < len(key) <= _KEY_LIMIT:
        content = await asyncio.to_thread(context_of(request).backend.sign_in_flows.end, key)
    flow = msgspec.json.decode(content, type=Flow) if content else None
    if flow is None or not hmac.compare_digest(flow.state.encode(), state.encode()):
        raise Invalid("state", "this sign-in was not begun in this browser, was used already, or took too long")
    return flow


def _refusal(problem: str) -> CalipsoError:
    match problem:
        case "access_denied":
            return NotVouched("the provider says: access denied")
        case "server_error" | "temporarily_unavailable":
            return Unavailable(PART, problem)
        case _:
            return BadAnswer(f"refuses the sign-in: {told(problem)}")


def _account_of(request: Request, person: Person) -> User:
    backend = context_of(request).backend
    try:
        return Federation(backend).account_of(person.issuer, person.subject, person.name)
    except Invalid as error:
        if person.name:
            raise
        claim = backend.settings.oidc_username_claim
        raise BadAnswer(f"does not tell the claim {claim!r}, which is the name of a new account") from error


def _read_after(request: Request) -> str:
    """The word of where to go after the sign-in, empty for the place of the settings; addresses are not taken."""
    word = _parameter(request, "after", _WORD_LIMIT)
    if word not in {"", _CONSOLE}:
        raise Invalid("after", f"must be {_CONSOLE}, or not be there")
    return word


def _place_after(request: Request, flow: Flow) -> str:
    if flow.after == _CONSOLE:
        return absolute_url(request, f"/{_CONSOLE}/")
    settings = context_of(request).backend.settings
    return settings.redirect_after_oidc_url or settings.frontend_calipso or absolute_url(request, "/openidtest/")


async def _place_out(request: Request, tokens: ProviderTokens | None) -> str:
    settings = context_of(request).backend.settings
    after = settings.logout_redirect_url or settings.frontend_calipso or absolute_url(request, "/openidtest/")
    if tokens is None or not settings.oidc_enabled:
        return after
    try:
        return await _provider_of(request).way_out(tokens.id_token, after) or after
    except CalipsoError as error:
        _log.warning("signed out here only", method="oidc", reason=str(error))
        return after


def _provider_of(request: Request) -> Provider:
    found: Provider = request.app.ctx.openid
    return found


def _parameter(request: Request, name: str, limit: int) -> str:
    values = request.args.getlist(name, [])
    if len(values) > 1 or any(len(value) > limit for value in values):
        raise Invalid(name, "must be sent once, and not be longer than any provider sends it")
    return values[0] if values else ""


def _redirect(place: str) -> HTTPResponse:
    headers = {"Location": place, "Referrer-Policy": "no-referrer"}
    return HTTPResponse(status=302, headers=headers, content_type="text/html; charset=utf-8")


def _cookie_of(state: str) -> str:
    """The name of a sign-in's own cookie, so that several tabs do not disturb each other."""
    return _COOKIE + hashlib.sha256(state.encode()).hexdigest()[:16]


def _set_cookie(request: Request, answer: HTTPResponse, name: str, value: str) -> None:
    path = urlsplit(absolute_url(request, "/oidc/")).path
    lifetime = int(FLOW_LIFETIME.total_seconds()) if value else 0
    answer.add_cookie(
        name,
        value,
        path=path,
        samesite="Lax",
        secure=cookies.are_secure(request),
        httponly=True,
        max_age=lifetime,
    )
