"""The two cookies of a login: its key, which scripts cannot read, and the token that the frontend sends back."""

from datetime import UTC, datetime, timedelta

from sanic import HTTPResponse, Request

from calipso.accounts import LOGIN_LIFETIME, Login
from calipso.api.auth import CSRF_COOKIE, LOGIN_COOKIE
from calipso.api.context import context_of
from calipso.api.proxies import origin_of

_TOKEN_LIFETIME = timedelta(days=365)


def are_secure(request: Request) -> bool:
    """Whether browsers may send the cookies over HTTPS only: they came by it, or the settings say so."""
    return origin_of(request).scheme == "https" or context_of(request).backend.settings.cookie_secure


def set_login(answer: HTTPResponse, key: str, login: Login, *, secure: bool) -> None:
    """Give a browser its login.

    Args:
        answer: to the browser.
        key: of the login.
        login: with the token.
        secure: whether browsers may send the cookies over HTTPS only.
    """
    _set(answer, LOGIN_COOKIE, key, LOGIN_LIFETIME, secure=secure, httponly=True)
    _set(answer, CSRF_COOKIE, login.csrf_token, _TOKEN_LIFETIME, secure=secure, httponly=False)


def expire_login(answer: HTTPResponse, *, secure: bool) -> None:
    """Let a browser forget the key of its login."""
    _set(answer, LOGIN_COOKIE, "", timedelta(0), secure=secure, httponly=True)


def _set(answer: HTTPResponse, name: str, value: str, lifetime: timedelta, *, secure: bool, httponly: bool) -> None:
    seconds = int(lifetime.total_seconds())
    expires = datetime.now(UTC) + lifetime if seconds else datetime.fromtimestamp(0, UTC)
    answer.add_cookie(
        name, value, path="/", samesite="Lax", secure=secure, httponly=httponly, max_age=seconds, expires=expires
    )
