"""Frontends on other origins: which may call, and with which headers."""

from collections.abc import Sequence
from typing import Any

from sanic import HTTPResponse, Request, Sanic
from sanic.exceptions import SanicException
from sanic.response import BaseHTTPResponse

METHODS = "DELETE, GET, OPTIONS, PATCH, POST, PUT"
HEADERS = (
    "accept, accept-encoding, authorization, content-type, dnt, origin, user-agent, x-csrftoken, x-requested-with, "
    "x-request-id"
)
_MAX_AGE = "86400"
_ROUTED = ("DELETE", "GET", "HEAD", "POST", "PUT")


def _has_route(app: Sanic[Any, Any], path: str, method: str) -> bool:
    try:
        app.router.get(path, method, None)
    except SanicException:
        return False
    return True


def is_allowed(origin: str, whitelist: Sequence[str]) -> bool:
    """Whether an origin is listed, with its scheme or without."""
    return origin in whitelist or origin.partition("://")[2] in whitelist


def install(app: Sanic[Any, Any], whitelist: Sequence[str]) -> None:
    """Answer preflights, and put the headers on every answer, errors too.

    Args:
        app: the application.
        whitelist: origins such as `https://portal.example.org`, or without their scheme.
    """

    async def preflight(request: Request) -> HTTPResponse | None:
        if request.method != "OPTIONS":
            return None
        allowed = [method for method in _ROUTED if _has_route(app, request.path, method)]
        return HTTPResponse(status=200, headers={"Allow": ", ".join([*allowed, "OPTIONS"])})

    async def mark(request: Request, response: BaseHTTPResponse) -> None:
        origin = request.headers.get("origin")
        if not origin:
            return
        response.headers["Access-Control-Allow-Credentials"] = "true"
        response.headers["Vary"] = "Origin"
        if is_allowed(origin, whitelist):
            response.headers["Access-Control-Allow-Origin"] = origin
        if request.method == "OPTIONS":
            response.headers["Access-Control-Allow-Methods"] = METHODS
            response.headers["Access-Control-Allow-Headers"] = HEADERS
            response.headers["Access-Control-Max-Age"] = _MAX_AGE

    app.register_middleware(preflight, "request", priority=50)
    app.register_middleware(mark, "response")
