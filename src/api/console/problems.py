"""Errors of the console as pages; they say what the REST interface says of them."""

import msgspec
from sanic import HTTPResponse, Request

from calipso.api.arriving import STAND_IN
from calipso.api.console.shell import ROOT, is_of_console, render, see
from calipso.api.problems import Problems
from calipso.api.proxies import inner_path
from calipso.errors import NotSignedIn

_KEPT = ("Allow", "Retry-After", "WWW-Authenticate")
_FORBIDDEN, _FIRST_ERROR = 403, 400


class Pages(Problems):
    """Answers every error of a request: as a page what is of the console, anything else as a problem of JSON."""

    def default(self, request: Request, exception: Exception) -> HTTPResponse:
        """The answer to an error for which no handler is registered, which is every error."""
        answer = super().default(request, exception)
        # a request that could not be read may have no path; nobody reads the page of who went away
        if request.method == STAND_IN or answer.status < _FIRST_ERROR or answer.body in {None, b""}:
            return answer
        if not is_of_console(request):
            return answer
        if isinstance(exception, NotSignedIn):
            return see(request, f"{ROOT}sign-in/", next=_wanted(request))
        return _page(request, answer)


def _page(request: Request, answer: HTTPResponse) -> HTTPResponse:
    body = msgspec.json.decode(answer.body or b"{}", type=dict[str, object])
    caller = request.ctx.caller
    lacks_role = caller is not None and not (caller.is_auditor or caller.is_administrator)
    template = "no_role.html" if answer.status == _FORBIDDEN and lacks_role else "error.html"
    page = render(
        request,
        template,
        status=answer.status,
        heading=body["title"],
        reason=body["error"],
        request_id=str(request.ctx.correlation_id),
    )
    page.headers.update({name: answer.headers[name] for name in _KEPT if name in answer.headers})
    return page


def _wanted(request: Request) -> str:
    """The page that was asked for, as the sign-in takes it."""
    if request.method != "GET":
        return ""
    return inner_path(request) + (f"?{request.query_string}" if request.query_string else "")
