"""Signing in and out at the console, which gives the login that the REST interface knows, too."""

import re

import msgspec
from sanic import Blueprint, HTTPResponse, Request

from calipso.api import cookies
from calipso.api.auth import authentication_of, is_cross_site
from calipso.api.console.shell import ROOT, Wrong, render, see, told
from calipso.api.context import context_of
from calipso.api.opening import close_login, open_login
from calipso.api.problems import status_of
from calipso.api.proxies import origin_of
from calipso.api.wire import read_body
from calipso.errors import CalipsoError, NotPermitted, TooManyAttempts, Unavailable, WrongCredentials

blueprint = Blueprint("console_sign_in")

_HOME = "/console/events/"
_OURS = re.compile(r"/console/[!-\[\]-~]*")


class SignInBody(msgspec.Struct):
    """What the form of the sign-in sends; `next` is the page to go on to."""

    username: str = ""
    password: str = ""
    next: str = ""


@blueprint.get(ROOT)
async def home(request: Request) -> HTTPResponse:
    """The first page."""
    return see(request, _HOME)


@blueprint.get("/console/sign-in/")
async def form(request: Request) -> HTTPResponse:
    """The form to sign in, and the other ways."""
    return _form(request, SignInBody(next=request.args.get("next") or ""))


@blueprint.post("/console/sign-in/")
async def sign_in(request: Request) -> HTTPResponse:
    """Open a login for a name and its password; an earlier one of the browser ends."""
    if is_cross_site(request):
        raise NotPermitted("another site may not sign anybody in")
    given = read_body(request, SignInBody)
    try:
        found = await authentication_of(request).sign_in.by_password(
            given.username, given.password, origin_of(request).client
        )
    except (WrongCredentials, TooManyAttempts, Unavailable, NotPermitted) as error:
        return _refused(request, given, error)
    answer = see(request, _after(given))
    await open_login(request, answer, found.caller, found.method)
    return answer


@blueprint.post("/console/sign-out/")
async def sign_out(request: Request) -> HTTPResponse:
    """End the browser's login."""
    await close_login(request)
    answer = see(request, f"{ROOT}sign-in/")
    cookies.expire_login(answer, secure=cookies.are_secure(request))
    return answer


def _form(request: Request, given: SignInBody, *, wrong: Wrong | None = None) -> HTTPResponse:
    settings = context_of(request).backend.settings
    return render(
        request,
        "sign_in.html",
        status=wrong.status if wrong else 200,
        given=given,
        wrong=wrong,
        has_openid=settings.oidc_enabled,
        has_umbrella=bool(settings.umbrella_login),
    )


def _refused(request: Request, given: SignInBody, error: CalipsoError) -> HTTPResponse:
    # why a part does not answer is for those who are signed in
    reason = f"{error.part} is not available." if isinstance(error, Unavailable) else told(error)
    answer = _form(request, given, wrong=Wrong(field="username", reason=reason, status=status_of(error)))
    if isinstance(error, TooManyAttempts):
        answer.headers["Retry-After"] = str(error.seconds)
    return answer


def _after(given: SignInBody) -> str:
    """The page to go on to, which is one of the console."""
    return given.next if _OURS.fullmatch(given.next) else _HOME
