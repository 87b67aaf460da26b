"""Who is calling: a login's cookie, or HTTP Basic with a local password."""

import asyncio
import base64
import binascii
import hmac
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any

from sanic import HTTPResponse, Request

from calipso.accounts import Login
from calipso.api.context import Caller
from calipso.api.outside.http import Outside
from calipso.api.outside.user_office import UserOffice
from calipso.api.proxies import origin_of
from calipso.api.routing import methods_of
from calipso.api.sign_in import SignIn
from calipso.backend import Backend
from calipso.commands.handling import USER
from calipso.errors import CsrfFailed, NotPermitted, NotSignedIn, WrongCredentials

LOGIN_COOKIE = "sessionid"
CSRF_COOKIE = "csrftoken"
CSRF_HEADER = "X-CSRFToken"
CSRF_FIELD = "csrfmiddlewaretoken"
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_KEY_LIMIT = 200

Handler = Callable[..., Awaitable[HTTPResponse]]


class Authentication:
    """Finds callers. What they may do is folded from the events, so that it holds at once and everywhere.

    Args:
        backend: the bound parts.
        outside: asks the facility's services.
    """

    def __init__(self, backend: Backend, outside: Outside) -> None:
        self._backend = backend
        self.user_office = UserOffice(backend.settings, outside)
        self.sign_in = SignIn(backend, self.user_office)

    async def identify(self, request: Request) -> tuple[Caller, Login | None] | None:
        """The caller of a request, with the login if it came by cookie; None when nobody is signed in.

        Raises:
            WrongCredentials: Basic credentials were sent, and are wrong.
            TooManyAttempts: wrong ones were sent too often.
        """
        if (key := login_key(request)) and (found := await asyncio.to_thread(self._by_login, key)):
            return found
        if basic := parse_basic(request.headers.get("authorization", "")):
            proven = await self.sign_in.by_password(*basic, origin_of(request).client)
            return proven.caller, None
        return None

    def _by_login(self, key: str) -> tuple[Caller, Login] | None:
        login = self._backend.logins.find(key)
        user = self._backend.dispatcher.state(USER, login.user_id) if login else None
        if login is None or user is None or user.erased:
            return None
        return Caller.of(user, login_key=key), login


def login_key(request: Request) -> str:
    """The key of a login that a request brings, empty when it brings none that could be ours."""
    key: str = request.cookies.get(LOGIN_COOKIE) or ""
    return key if key.isascii() and len(key) <= _KEY_LIMIT else ""


def parse_basic(header: str) -> tuple[str, str] | None:
    """Name and password of an Authorization header, None when it is of another scheme.

    Raises:
        WrongCredentials: it is malformed.
    """
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        name, colon, password = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        raise WrongCredentials from None
    if not colon:
        raise WrongCredentials
    return name, password


async def authenticate(request: Request) -> None:
    """Put the caller of a request into `request.ctx.caller`; None when nobody is signed in.

    Raises:
        WrongCredentials: Basic credentials were sent, and are wrong.
        TooManyAttempts: wrong ones were sent too often.
        CsrfFailed: a request by cookie would change something, and does not prove that it comes from the frontend.
    """
    if getattr(request.route and request.route.ctx, "open", False):
        return
    found = await authentication_of(request).identify(request)
    if found is None:
        return
    request.ctx.caller, login = found
    if login is not None and request.method not in _SAFE and methods_of(request, request.path):
        check_csrf(request, login)


def check_csrf(request: Request, login: Login) -> None:
    """Compare the token of a request with that of its login.

    Raises:
        CsrfFailed: it is missing or another one.
    """
    # a form with which a browser navigates cannot send a header
    sent: str = request.headers.get(CSRF_HEADER) or (request.form and request.form.get(CSRF_FIELD)) or ""
    if not hmac.compare_digest(sent.encode(errors="surrogateescape"), login.csrf_token.encode()):
        raise CsrfFailed


def signed_in(handler: Handler) -> Handler:
    """Let a handler serve callers that are signed in, and nobody else."""

    @wraps(handler)
    async def guarded(request: Request, *args: Any, **kwargs: Any) -> HTTPResponse:  # noqa: ANN401 - passed on
        if request.ctx.caller is None:
            raise NotSignedIn
        return await handler(request, *args, **kwargs)

    return guarded


def is_cross_site(request: Request) -> bool:
    """Whether a browser says that another site made a request."""
    return request.headers.get("sec-fetch-site") == "cross-site"


def refuse_navigation(request: Request) -> None:
    """Refuse a GET that starts or stops something when the browser says that a link or another site made it.

    Raises:
        NotPermitted: it did.
    """
    is_navigation = request.headers.get("sec-fetch-mode") == "navigate"
    if request.method in _SAFE and (is_navigation or is_cross_site(request)):
        raise NotPermitted("a link may not start or stop anything")


def authentication_of(request: Request) -> Authentication:
    """What finds the callers of this application."""
    found: Authentication = request.app.ctx.authentication
    return found
