"""Who is calling: a login's cookie, or HTTP Basic with a local password."""

import asyncio
import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial, wraps
from typing import Any

from sanic import HTTPResponse, Request

from calipso.accounts import Login
from calipso.api.context import Caller
from calipso.api.memory import Memory
from calipso.api.outside.http import Outside
from calipso.api.outside.user_office import UserOffice
from calipso.api.proxies import origin_of
from calipso.api.routing import methods_of
from calipso.api.sign_in import SignIn
from calipso.backend import Backend
from calipso.commands.handling import USER
from calipso.database import ACCOUNTS, STORED
from calipso.errors import CsrfFailed, NotPermitted, NotSignedIn, WrongCredentials
from calipso.events.user import UserEvent

LOGIN_COOKIE = "sessionid"
CSRF_COOKIE = "csrftoken"
CSRF_HEADER = "X-CSRFToken"
CSRF_FIELD = "csrfmiddlewaretoken"
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_KEY_LIMIT = 200
_KNOWN = 10_000
_KNOWN_SECONDS = 30.0

Handler = Callable[..., Coroutine[Any, Any, HTTPResponse | None]]


@dataclass(frozen=True, kw_only=True)
class Known:
    """A caller, with the login if the request came by one."""

    caller: Caller
    login: Login | None = None


class Authentication:
    """Finds callers. What they may do is folded from the events, so that it holds at once and everywhere.

    Args:
        backend: the bound parts.
        outside: asks the facility's services.
    """

    def __init__(self, backend: Backend, outside: Outside) -> None:
        self._backend = backend
        self.known: Memory[Known | None] = Memory(_concerns_callers, size=_KNOWN, seconds=_KNOWN_SECONDS)
        # what is sent cannot be guessed from what is kept
        self._seal = secrets.token_bytes(32)
        self.user_office = UserOffice(backend.settings, outside)
        self.sign_in = SignIn(backend, self.user_office)

    async def identify(self, request: Request) -> Known | None:
        """The caller of a request; None when nobody is signed in.

        Raises:
            WrongCredentials: Basic credentials were sent, and are wrong.
            TooManyAttempts: wrong ones were sent too often.
        """
        if key := login_key(request):
            found = await self.known.find(self._sealed(key), partial(asyncio.to_thread, self._by_login, key))
            if found is not None and found.login is not None and found.login.expires > datetime.now(UTC):
                return found
        header = request.headers.get("authorization", "")
        if basic := parse_basic(header):
            look = partial(self._by_password, basic, origin_of(request).client)
            return await self.known.find(self._sealed(header), look)
        return None

    def _sealed(self, sent: str) -> bytes:
        return hashlib.blake2b(sent.encode(errors="surrogateescape"), key=self._seal).digest()

    def _by_login(self, key: str) -> Known | None:
        login = self._backend.logins.find(key)
        user = self._backend.dispatcher.state(USER, login.user_id) if login else None
        if login is None or user is None or user.erased:
            return None
        return Known(caller=Caller.of(user, login_key=key, csrf_token=login.csrf_token), login=login)

    async def _by_password(self, basic: tuple[str, str], address: str) -> Known:
        proven = await self.sign_in.by_password(*basic, address)
        return Known(caller=proven.caller)


def _concerns_callers(channel: str, payload: str) -> bool:
    return channel == ACCOUNTS or (channel == STORED and UserEvent.kind in payload.split(","))


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
    """Put the caller of a request into `request.ctx.caller`, and how it is known into `known`; None when nobody is.

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
    request.ctx.caller, request.ctx.known = found.caller, found
    if found.login is not None and _needs_token(request):
        check_csrf(request, found.login)


def _needs_token(request: Request) -> bool:
    # what is passed on knows nothing of our token; its own guard is in `portal`
    is_passed_on = getattr(request.route and request.route.ctx, "passed_on", False)
    is_there = request.route is not None or bool(methods_of(request, request.path))
    return request.method not in _SAFE and not is_passed_on and is_there


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
    async def guarded(request: Request, *args: Any, **kwargs: Any) -> HTTPResponse | None:  # noqa: ANN401 - passed on
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
