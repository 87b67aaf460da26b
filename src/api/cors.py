"""Frontends on other origins: which may call, and with which headers."""

from collections.abc import Callable, Sequence

from sanic import Request
from sanic.response import BaseHTTPResponse

METHODS = "DELETE, GET, OPTIONS, PATCH, POST, PUT"
HEADERS = (
    "accept, accept-encoding, authorization, content-type, dnt, origin, user-agent, x-csrftoken, x-requested-with, "
    "x-request-id"
)
_MAX_AGE = "86400"


def is_preflight(request: Request) -> bool:
    """Whether a browser asks what a page of another origin may do."""
    is_asked = "origin" in request.headers and "access-control-request-method" in request.headers
    return request.method == "OPTIONS" and is_asked


def is_allowed(origin: str, whitelist: Sequence[str]) -> bool:
    """Whether an origin is listed, with its scheme or without."""
    scheme, separator, host = origin.partition("://")
    return bool(scheme and separator and host) and (origin in whitelist or host in whitelist)


def marker(whitelist: Sequence[str], *, allow_credentials: bool) -> Callable[[Request, BaseHTTPResponse], None]:
    """What puts the headers on an answer; to be called with every one, errors too.

    Args:
        whitelist: origins such as `https://portal.example.org`, or without their scheme.
        allow_credentials: whether browsers may send cookies with what frontends ask.
    """
    listed = [entry.rstrip("/") for entry in whitelist]

    def mark(request: Request, response: BaseHTTPResponse) -> None:
        response.headers["Vary"] = "Origin"
        origin = request.headers.get("origin")
        if not origin:
            return
        if allow_credentials:
            response.headers["Access-Control-Allow-Credentials"] = "true"
        if is_allowed(origin, listed):
            response.headers["Access-Control-Allow-Origin"] = origin
        if is_preflight(request):
            response.headers["Access-Control-Allow-Methods"] = METHODS
            response.headers["Access-Control-Allow-Headers"] = HEADERS
            response.headers["Access-Control-Max-Age"] = _MAX_AGE

    return mark
