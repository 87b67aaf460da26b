"""The web services of containers through the API, for their owners alone: no port of a target is open to the world.

What a service serves runs in the browser under our own name. So it never sees our cookies, cannot set them, and cannot
put a service worker before our pages; and nothing of another site can speak to it in its owner's name.
"""

from collections.abc import AsyncIterator, Iterator
from functools import partial
from typing import Any
from uuid import UUID

from sanic import Blueprint, HTTPResponse, Request
from sanic.compat import Header

from calipso.api.auth import CSRF_COOKIE, CSRF_HEADER, LOGIN_COOKIE, signed_in
from calipso.api.container_objects import is_passed_on
from calipso.api.context import caller_of, context_of
from calipso.api.outside.upstream import Answer, Headers, Socket, Upstream
from calipso.api.proxies import SECRET_HEADER, absolute_url, origin_of
from calipso.errors import Conflict, NotFound, NotPermitted
from calipso.events.container import State
from calipso.projections import containers
from calipso.projections.containers import ContainerRow

blueprint = Blueprint("portal")

_METHODS = ("DELETE", "GET", "PATCH", "POST", "PUT")
_SAFE = frozenset({"GET", "HEAD"})
_NO_LIMIT = 2**62  # the container itself bounds what it takes
_OUR_COOKIES = frozenset({LOGIN_COOKIE, CSRF_COOKIE})
# of one connection (RFC 9110 7.6.1), or said anew by us
_HOP = {"connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "trailer"}
_HOP |= {"transfer-encoding", "upgrade"}
_NOT_IN = _HOP | {"host", "cookie", "authorization", "expect", "forwarded", "x-real-ip", "eaahash", "uid"}
_NOT_IN |= {CSRF_HEADER.lower(), SECRET_HEADER.lower()}
_NOT_IN |= {f"sec-websocket-{name}" for name in ("key", "version", "extensions", "protocol")}
_NOT_OUT = _HOP | {"clear-site-data", "service-worker-allowed", "strict-transport-security", "public-key-pins"}
_NOT_OUT |= {"x-request-id"}


@signed_in
async def pass_on(request: Request, container: UUID, path: str = "") -> None:
    """Whatever the web service of the caller's own container answers."""
    del path
    refuse_foreign(request)
    row = await _running(request, container)
    url, headers = _address(request, row), list(_to_service(request, row))
    upstream: Upstream = request.app.ctx.upstream
    if request.headers.get("upgrade", "").lower() == "websocket":
        await upstream.bridge(f"ws{url}", headers, _offered(request), partial(_accept, request))
        return
    async with upstream.asked(request.method, f"http{url}", headers, _body(request)) as answer:
        await _give(request, row, answer)


def refuse_foreign(request: Request) -> None:
    """Refuse what another site asks for in the name of whoever looks at it; following a link is no harm.

    Raises:
        NotPermitted: a browser says that it does.
    """
    origin, site = request.headers.get("origin", ""), request.headers.get("sec-fetch-site", "same-origin")
    is_link = request.method in _SAFE and request.headers.get("sec-fetch-mode") == "navigate"
    is_socket = "upgrade" in request.headers
    own = origin_of(request).host
    is_own = not origin or origin.partition("://")[2] == own
    if not is_own and (is_socket or request.method not in _SAFE or not is_link):
        raise NotPermitted(f"a page of {origin[:200]} may not use this service")
    if site not in {"same-origin", "none"} and not is_link:
        raise NotPermitted("another site may not use this service")


async def _running(request: Request, container: UUID) -> ContainerRow:
    """The caller's container.

    Raises:
        NotFound: it is not there, or somebody else's, or has no web service.
        Conflict: it does not run.
    """
    row = await context_of(request).query(partial(containers.by_uuid, container_id=container))
    if row is None or row.user_id != caller_of(request).user_id or not is_passed_on(row):
        raise NotFound("container", str(container))
    if row.state is not State.RUNNING:
        raise Conflict("container", f"it is {row.state.value}; it can be opened while it is running")
    return row


def _prefix(request: Request, row: ContainerRow) -> str:
    """The path of a service as browsers see it, which its container was told at its start."""
    return f"{context_of(request).backend.settings.web_base}{row.container_id}/"


def _address(request: Request, row: ContainerRow) -> str:
    """Where the service has what is asked for, without the scheme; percent-encoding stays as it came."""
    _, _, rest = request.raw_url.decode("ascii").partition(f"/web/{row.container_id}/")
    host = f"[{row.host}]" if ":" in row.host else row.host
    path = "/" if row.web_prefix == "strip" else _prefix(request, row)
    return f"://{host}:{row.port}{path}{rest}"


def _to_service(request: Request, row: ContainerRow) -> Iterator[tuple[str, str]]:
    origin = origin_of(request)
    for name, value in request.headers.items():
        if name.lower() not in _NOT_IN and not name.lower().startswith("x-forwarded-"):
            yield name, value
    # who the caller is was proven to us; other schemes are between the page and its service
    if (said := request.headers.get("authorization", "")) and not said.lower().startswith("basic"):
        yield "Authorization", said
    if cookies := "; ".join(_foreign_cookies(request)):
        yield "Cookie", cookies
    yield "Host", origin.host
    yield "X-Forwarded-For", origin.client
    yield "X-Forwarded-Host", origin.host
    yield "X-Forwarded-Proto", origin.scheme
    yield "X-Forwarded-Prefix", _prefix(request, row).rstrip("/")


def _foreign_cookies(request: Request) -> Iterator[str]:
    for header in request.headers.getall("cookie", []):
        for cookie in header.split(";"):
            if cookie.strip() and cookie.partition("=")[0].strip() not in _OUR_COOKIES:
                yield cookie.strip()


def _body(request: Request) -> AsyncIterator[bytes] | None:
    if not {"content-length", "transfer-encoding"} & set(request.headers):
        return None
    # the library's stream of a request, whose types leave its methods out
    stream: Any = request.stream
    stream.request_max_size = _NO_LIMIT
    pieces: AsyncIterator[bytes] = aiter(stream)
    return pieces


async def _give(request: Request, row: ContainerRow, answer: Answer) -> None:
    headers = Header(_from_service(request, row, answer.headers))
    response: HTTPResponse = await request.respond(
        status=answer.status, headers=headers, content_type=headers.get("content-type")
    )
    if request.method != "HEAD":
        async for piece in answer.pieces:
            await response.send(piece)
    await response.eof()  # type: ignore[no-untyped-call]  # the library has no types here


def _from_service(request: Request, row: ContainerRow, headers: Headers) -> Iterator[tuple[str, str]]:
    prefix = _prefix(request, row)
    for name, value in headers:
        match name.lower():
            case "set-cookie":
                yield from ((name, cookie) for cookie in _kept_below(value, prefix))
            case "location":
                yield name, _seen_from_outside(request, row, value)
            case lower if lower not in _NOT_OUT and not lower.startswith("access-control-"):
                yield name, value


def _kept_below(cookie: str, prefix: str) -> Iterator[str]:
    """The cookie of a service for its own path and host alone; none when it has the name of one of ours."""
    pair, *attributes = [part.strip() for part in cookie.split(";")]
    if pair.partition("=")[0].strip() in _OUR_COOKIES:
        return
    given = {attribute.partition("=")[0].strip().lower(): attribute for attribute in attributes}
    path = given.pop("path", "").partition("=")[2].strip()
    given.pop("domain", "")
    yield "; ".join([pair, *given.values(), f"Path={path if path.startswith(prefix) else prefix}"])


def _seen_from_outside(request: Request, row: ContainerRow, location: str) -> str:
    """A redirect as the browser must follow it."""
    host = f"[{row.host}]" if ":" in row.host else row.host
    path = location.removeprefix(f"http://{host}:{row.port}") or "/"
    if not path.startswith("/") or path.startswith("//"):
        return path
    prefix = _prefix(request, row)
    inner = path.removeprefix(prefix) if path.startswith(prefix) else path[1:] if row.web_prefix == "strip" else None
    return path if inner is None else absolute_url(request, f"/web/{row.container_id}/{inner}")


def _offered(request: Request) -> list[str]:
    offered = ",".join(request.headers.getall("sec-websocket-protocol", []))
    return [protocol.strip() for protocol in offered.split(",") if protocol.strip()]


async def _accept(request: Request, protocol: str | None) -> Socket:
    served: Any = request.transport.get_protocol()
    socket: Socket = await served.websocket_handshake(request, [protocol] if protocol else None)
    return socket


for _path, _name in (("/web/<container:uuid>/", "web_top"), ("/web/<container:uuid>/<path:path>", "web_below")):
    blueprint.add_route(pass_on, _path, methods=_METHODS, stream=True, name=_name, ctx_passed_on=True)
