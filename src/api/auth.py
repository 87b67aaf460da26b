"""Who is calling: a login's cookie, or HTTP Basic with a local password."""

import asyncio
import base64
import binascii
import hmac
import secrets
from collections.abc import Awaitable, Callable
from functools import partial, wraps
from typing import Any
from uuid import UUID

from cachetools import TTLCache
from sanic import HTTPResponse, Request

from calipso.accounts import Login
from calipso.api.context import Caller, Context
from calipso.errors import CsrfFailed, NotPermitted, NotSignedIn, WrongCredentials
from calipso.projections import users
from calipso.projections.users import UserRow

LOGIN_COOKIE = "sessionid"
CSRF_COOKIE = "csrftoken"
CSRF_HEADER = "X-CSRFToken"
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_CACHED = 10_000
_LOGIN_SECONDS = 5.0  # how long a login that was closed elsewhere may still be believed
_BASIC_SECONDS = 60.0
_KEY_LIMIT = 200

Handler = Callable[..., Awaitable[HTTPResponse]]


class Authentication:
    """Finds the caller of a request, and remembers for moments what it found.

    Args:
        context: the backend.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._logins: TTLCache[str, tuple[Login, Caller]] = TTLCache(_CACHED, _LOGIN_SECONDS)
        self._basic: TTLCache[bytes, Caller] = TTLCache(_CACHED, _BASIC_SECONDS)
        # passwords are remembered only under a key that nobody else has
        self._pepper = secrets.token_bytes(32)

    async def __call__(self, request: Request) -> None:
        """Put the caller into `request.ctx.caller`, None when nobody is signed in.

        Raises:
            WrongCredentials: Basic credentials were sent, and are wrong.
            CsrfFailed: a request by cookie changes something without the token.
        """
        request.ctx.caller = None
        if found := await self._by_cookie(request):
            login, request.ctx.caller = found
            check_csrf(request, login)
        elif header := request.headers.get("authorization", ""):
            request.ctx.caller = await self._by_basic(header)

    def forget(self, key: str) -> None:
        """Believe a login no more."""
        self._logins.pop(key, None)

    async def _by_cookie(self, request: Request) -> tuple[Login, Caller] | None:
        key = request.cookies.get(LOGIN_COOKIE) or ""
        if not key or len(key) > _KEY_LIMIT:
            return None
        if key not in self._logins:
            login = await asyncio.to_thread(self._context.backend.logins.find, key)
            user = await self._context.query(partial(users.by_id, user_id=login.user_id)) if login else None
            if login is None or user is None or user.erased:
                return None
            self._logins[key] = login, caller_from(user, key)
        return self._logins.get(key)

    async def _by_basic(self, header: str) -> Caller:
        name, password = parse_basic(header)
        digest = hmac.digest(self._pepper, f"{name}\0{password}".encode(), "sha256")
        if digest not in self._basic:
            caller = await self.check_password(name, password)
            if caller is None:
                raise WrongCredentials
            self._basic[digest] = caller
        return self._basic[digest]

    async def check_password(self, name: str, password: str) -> Caller | None:
        """The account of a name and its local password, None when they do not belong together."""
        user = await self._context.query(partial(users.by_name, name=name))
        user_id: UUID | None = user.user_id if user and not user.erased else None
        is_right = await asyncio.to_thread(self._context.backend.passwords.verify, user_id, password)
        return caller_from(user) if user and is_right else None


def caller_from(user: UserRow, login_key: str = "") -> Caller:
    """The caller that an account is."""
    return Caller(user_id=user.user_id, name=user.name, is_administrator=user.is_administrator, login_key=login_key)


def parse_basic(header: str) -> tuple[str, str]:
    """Name and password of an Authorization header.

    Raises:
        WrongCredentials: it is not of the Basic scheme, or malformed.
    """
    scheme, _, encoded = header.partition(" ")
    try:
        name, colon, password = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        name, colon, password = "", "", ""
    if scheme.lower() != "basic" or not colon or "\0" in name + password:
        raise WrongCredentials
    return name, password


def check_csrf(request: Request, login: Login) -> None:
    """Refuse a request by cookie that changes something and does not prove that it comes from the frontend.

    Raises:
        CsrfFailed: the token is missing or another one.
    """
    sent = request.headers.get(CSRF_HEADER, "")
    if request.method not in _SAFE and not hmac.compare_digest(sent.encode(), login.csrf_token.encode()):
        raise CsrfFailed


def signed_in(handler: Handler) -> Handler:
    """Let a handler serve callers that are signed in, and nobody else."""

    @wraps(handler)
    async def guarded(request: Request, *args: Any, **kwargs: Any) -> HTTPResponse:  # noqa: ANN401 - passed on
        if request.ctx.caller is None:
            raise NotSignedIn
        return await handler(request, *args, **kwargs)

    return guarded


def refuse_navigation(request: Request) -> None:
    """Refuse a GET that starts or stops something when the browser says that a link or another site made it.

    Raises:
        NotPermitted: it did.
    """
    is_navigation = request.headers.get("sec-fetch-mode") == "navigate"
    is_cross_site = request.headers.get("sec-fetch-site") == "cross-site"
    if request.method in _SAFE and (is_navigation or is_cross_site):
        raise NotPermitted("a link may not start or stop anything")


def authentication_of(request: Request) -> Authentication:
    """What finds the callers of this application."""
    found: Authentication = request.app.ctx.authentication
    return found
