"""The headers by which browsers guard what we answer; on every answer, errors too."""

from sanic import Request
from sanic.response import BaseHTTPResponse

from calipso.api.proxies import origin_of

# nothing may be loaded, run, sent or framed: answers are data, and our few pages are text
_POLICY = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
_YEAR = 365 * 24 * 3600
_COMMON = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
_OURS = {"Content-Security-Policy": _POLICY, "Referrer-Policy": "no-referrer", "X-Frame-Options": "DENY"}
# what a container's own service allows its pages is its own affair; but no other site may look into them
_PASSED_ON = {"Referrer-Policy": "same-origin", "X-Frame-Options": "SAMEORIGIN"}


def guard(request: Request, response: BaseHTTPResponse) -> None:
    """Put the headers on an answer; what a handler has said itself stays.

    Args:
        request: that is answered.
        response: the answer, not sent yet.
    """
    is_passed_on = getattr(request.route and request.route.ctx, "passed_on", False)
    for name, value in (_COMMON | (_PASSED_ON if is_passed_on else _OURS)).items():
        response.headers.setdefault(name, value)
    if origin_of(request).scheme == "https":
        response.headers["Strict-Transport-Security"] = f"max-age={_YEAR}"
