"""Errors as clients see them: one table from the kind of an error to its status, and one shape of body (RFC 9457)."""

from asyncio import CancelledError
from collections.abc import Mapping
from http import HTTPStatus

import structlog
from sanic import HTTPResponse, Request
from sanic.exceptions import MethodNotAllowed, SanicException
from sanic.exceptions import NotFound as NoRoute
from sanic.handlers import ErrorHandler

from calipso import errors
from calipso.api.paging import InvalidPage
from calipso.api.proxies import outer_path
from calipso.api.routing import methods_of
from calipso.api.wire import json
from calipso.errors import CalipsoError
from calipso.events.values import FailureReason
from calipso.secrecy import hide

_log = structlog.get_logger()

# the first kind that fits decides
_STATUS: tuple[tuple[type[CalipsoError], int], ...] = (
    (errors.NotSignedIn, 403),
    (errors.WrongCredentials, 401),
    (errors.TooManyAttempts, 429),
    (errors.TooManyRequests, 429),
    (errors.NotPermitted, 403),
    (errors.NotAMember, 403),
    (errors.Refused, 409),
    (errors.NotFound, 404),
    (errors.Invalid, 400),
    (errors.AlreadyExists, 409),
    (errors.Conflict, 409),
    (errors.Unavailable, 503),
    (errors.NotVisibleYet, 503),
    (errors.UnreadableEvent, 503),
)
_FAILED_START = {FailureReason.UNREACHABLE: 503, FailureReason.TIMEOUT: 504, FailureReason.CAPACITY: 504}
_HEADERS = {401: {"WWW-Authenticate": 'Basic realm="api"'}, 503: {"Retry-After": "5"}}
_CLIENT_CLOSED = 499  # for the log and the figures, nobody receives it


class Problems(ErrorHandler):
    """Answers every error of a request."""

    def default(self, request: Request, exception: Exception) -> HTTPResponse:
        """The answer to an error for which no handler is registered, which is every error."""
        match exception:
            case CalipsoError():
                return problem(exception, known=getattr(request.ctx, "caller", None) is not None)
            case NoRoute():
                return _no_route(request)
            case MethodNotAllowed():
                return _no_method(request, exception)
            case SanicException() if exception.status_code != HTTPStatus.INTERNAL_SERVER_ERROR:
                headers = _HEADERS.get(exception.status_code, {})
                return _answer({"error": str(exception)}, exception.status_code, headers)
            case CancelledError():
                return HTTPResponse(status=_CLIENT_CLOSED)
            case _:
                return _unexpected(request, exception)


def status_of(error: CalipsoError) -> int:
    """The HTTP status of an error."""
    if isinstance(error, errors.ContainerNotStarted):
        return _FAILED_START.get(FailureReason(error.reason), 502)
    return next((status for kind, status in _STATUS if isinstance(error, kind)), 500)


def problem(error: CalipsoError, *, known: bool) -> HTTPResponse:
    """The answer that tells of an error: always an `error` text, and what the kind has besides.

    Args:
        error: what went wrong.
        known: whether the caller is signed in; others are not told why a part of ours does not answer.
    """
    status = status_of(error)
    headers = dict(_HEADERS.get(status, {}))
    body: dict[str, object] = {"error": str(error)}
    match error:
        case errors.NotFound() if not isinstance(error, InvalidPage):
            body["detail"] = "Not found."
        case errors.Invalid(field=field):
            body["field"] = field
        case errors.NotVisibleYet(event_id=event_id):
            body["event"] = event_id
        case errors.TooManyAttempts(seconds=seconds) | errors.TooManyRequests(seconds=seconds):
            headers["Retry-After"] = str(seconds)
        case errors.Unavailable(part=part) if not known:
            body["error"] = f"{part} is not available"
        case _:
            pass
    if isinstance(error, errors.Unavailable):
        _log.warning("not available", part=error.part, reason=error.reason)
    return _answer(body, status, headers)


def _answer(body: Mapping[str, object], status: int, headers: Mapping[str, str] | None = None) -> HTTPResponse:
    """A problem of RFC 9457, besides what clients of old look for."""
    body = {name: hide(value) if isinstance(value, str) else value for name, value in body.items()}
    common = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": body["error"]}
    return json({**common, **body}, status=status, headers=headers, content_type="application/problem+json")


def _no_route(request: Request) -> HTTPResponse:
    """The way to the path with its slash, if that names something."""
    if request.method in {"GET", "HEAD"} and request.method in methods_of(request, f"{request.path}/"):
        query = f"?{request.query_string}" if request.query_string else ""
        return HTTPResponse(status=301, headers={"Location": f"{outer_path(request)}/{query}"})
    return _answer({"detail": "Not found.", "error": f"there is nothing at {request.path}"}, 404)


def _no_method(request: Request, error: MethodNotAllowed) -> HTTPResponse:
    allowed = sorted(error.headers.get("Allow", "").split(", "))
    return _answer({"error": f'Method "{request.method}" not allowed.'}, 405, {"Allow": ", ".join(allowed)})


def _unexpected(request: Request, error: Exception) -> HTTPResponse:
    request_id = str(request.ctx.correlation_id)
    _log.error("request failed", request_id=request_id, exc_info=error)
    return _answer({"error": "internal error", "request_id": request_id}, 500)
