"""Errors as clients see them: one table from the kind of an error to its status, and one shape of body."""

from typing import Any

import structlog
from sanic import HTTPResponse, Request, Sanic
from sanic.exceptions import MethodNotAllowed, SanicException
from sanic.exceptions import NotFound as NoRoute

from calipso import errors
from calipso.api.wire import json
from calipso.errors import CalipsoError
from calipso.events.values import FailureReason

_log = structlog.get_logger()

# the first kind that fits decides
_STATUS: tuple[tuple[type[CalipsoError], int], ...] = (
    (errors.NotSignedIn, 403),
    (errors.WrongCredentials, 401),
    (errors.TooManyAttempts, 429),
    (errors.NotPermitted, 403),
    (errors.NotAMember, 403),
    (errors.Refused, 409),
    (errors.NotFound, 404),
    (errors.Invalid, 400),
    (errors.AlreadyExists, 409),
    (errors.Conflict, 409),
    (errors.Unavailable, 503),
    (errors.NotVisibleYet, 503),
)
_FAILED_START = {FailureReason.UNREACHABLE: 503, FailureReason.TIMEOUT: 504, FailureReason.CAPACITY: 504}
_RETRY_SECONDS = 5
_HEADERS = {
    401: {"WWW-Authenticate": 'Basic realm="api"'},
    429: {"Retry-After": "60"},
    503: {"Retry-After": str(_RETRY_SECONDS)},
}
# what the frontend and older clients expect beside the `error` text
_DETAILS: tuple[tuple[type[CalipsoError], str | None], ...] = (
    (errors.NotSignedIn, None),
    (errors.WrongCredentials, None),
    (errors.NotPermitted, None),
    (errors.NotFound, "Not found."),
)


def status_of(error: CalipsoError) -> int:
    """The HTTP status of an error."""
    if isinstance(error, errors.ContainerNotStarted):
        return _FAILED_START.get(FailureReason(error.reason), 502)
    return next((status for kind, status in _STATUS if isinstance(error, kind)), 500)


def problem(error: CalipsoError) -> HTTPResponse:
    """The answer that tells of an error: always an `error` text, and what the kind has besides."""
    body: dict[str, object] = {"error": str(error)}
    for kind, detail in _DETAILS:
        if isinstance(error, kind):
            body["detail"] = detail or str(error)
            break
    if isinstance(error, errors.Invalid):
        body["field"] = error.field
    if isinstance(error, errors.NotVisibleYet):
        body["event"] = error.event_id
    status = status_of(error)
    answer = json(body, status=status)
    answer.headers.update(_HEADERS.get(status, {}))
    return answer


def install(app: Sanic[Any, Any]) -> None:
    """Let the application answer errors in this way."""

    @app.exception(CalipsoError)
    async def known(_: Request, error: CalipsoError) -> HTTPResponse:
        return problem(error)

    @app.exception(MethodNotAllowed)
    async def method(request: Request, error: MethodNotAllowed) -> HTTPResponse:
        body = {"detail": f'Method "{request.method}" not allowed.'}
        answer = json(body, status=405)
        answer.headers["Allow"] = ", ".join(sorted(error.headers.get("Allow", "").split(", ")))
        return answer

    @app.exception(NoRoute)
    async def no_route(request: Request, _: NoRoute) -> HTTPResponse:
        if request.method in {"GET", "HEAD"} and _has_slashed_route(request):
            query = f"?{request.query_string}" if request.query_string else ""
            return HTTPResponse(status=301, headers={"Location": f"{request.path}/{query}"})
        return json({"detail": "Not found.", "error": f"there is nothing at {request.path}"}, status=404)

    @app.exception(Exception)
    async def unknown(request: Request, error: Exception) -> HTTPResponse:
        if isinstance(error, SanicException) and error.status_code < 500:  # noqa: PLR2004 - the client's own fault
            return json({"error": str(error)}, status=error.status_code)
        if isinstance(error, SanicException) and error.status_code == 503:  # noqa: PLR2004 - the server's own limit
            return json({"error": str(error)}, status=503)
        _log.exception("request failed", request_id=str(request.ctx.correlation_id), exc_info=error)
        body = {"error": "internal error", "request_id": str(request.ctx.correlation_id)}
        return json(body, status=500)


def _has_slashed_route(request: Request) -> bool:
    """Whether the path names something when a slash is put behind it."""
    if request.path.endswith("/"):
        return False
    try:
        request.app.router.get(f"{request.path}/", "GET", None)
    except SanicException:
        return False
    return True
