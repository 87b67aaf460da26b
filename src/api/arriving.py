"""Requests as they arrive: what each of them carries from its beginning, and which are too malformed to serve."""

import asyncio
import contextlib
import random
import re
import time
from types import SimpleNamespace
from typing import Any
from urllib.parse import unquote_to_bytes
from uuid import UUID

import structlog
from sanic import Request as SanicRequest
from sanic.compat import Header
from sanic.exceptions import BadRequest, BadURL, PayloadTooLarge, RequestTimeout

from calipso.api.proxies import Origin
from calipso.errors import Invalid

_BROKEN_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_LINE_END = re.compile(r"[\r\n\0]")
_ABSOLUTE = re.compile(rb"[A-Za-z][A-Za-z0-9+.-]*://([^/?#]*)(.?)")
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_PASSED_OVER_BYTES = 2**24  # of a body that is too large; a larger one is cut off
STAND_IN = "NONE"  # the library's method for a request that it could not read, made to be answered with an error
_BODY_TYPES = frozenset({"application/json", "application/x-www-form-urlencoded"})


class Request(SanicRequest):
    """A request whose `ctx` has from its beginning `caller`, `known`, `correlation_id`, `began` and `origin`.

    `began` is a time of the performance counter. `origin` is found out by `proxies.find_origin`; one that could not be
    read has none. `rings` and `is_repeatable` are for `ready`.

    Raises:
        BadRequest: where it ends, or to which host it goes, could be read in two ways.
    """

    def __init__(self, url_bytes: bytes, headers: Header, *, method: str, **given: Any) -> None:  # noqa: ANN401 - passed on
        try:
            super().__init__(url_bytes, headers, method=method, **given)
        except BadURL:
            if method != STAND_IN:
                raise
            super().__init__(b"*", headers, method=method, **given)
        if method != STAND_IN:
            _check_head(self)

    async def receive_body(self) -> None:
        """Read the body, in the time that a request has to arrive.

        Raises:
            RequestTimeout: it is not there by then; the library itself would wait as long as for a held answer.
            PayloadTooLarge: it is too large.
        """
        seconds = self.app.config.REQUEST_TIMEOUT
        try:
            async with asyncio.timeout(seconds):
                await self._receive_whole_body()
        except TimeoutError as error:
            # the rest is not waited for
            self.stream.keep_alive, self.stream.request_body = False, None  # type: ignore[union-attr]  # it is there
            raise RequestTimeout(f"the body did not arrive within {seconds:g} seconds") from error

    async def _receive_whole_body(self) -> None:
        try:
            await super().receive_body()  # type: ignore[no-untyped-call]  # the library has no types here
        except PayloadTooLarge:
            # who is cut off while sending does not see the answer
            self.stream.request_max_size = _PASSED_OVER_BYTES  # type: ignore[union-attr]  # it is there
            with contextlib.suppress(PayloadTooLarge):
                async for _ in self.stream:  # type: ignore[union-attr]  # it is there
                    pass
            raise

    @staticmethod
    def make_context() -> SimpleNamespace:
        """What handlers and middleware find at `ctx`."""
        return SimpleNamespace(
            caller=None,
            known=None,
            correlation_id=request_id(),
            began=time.perf_counter(),
            origin=Origin(),
            rings=0,
            is_repeatable=False,
        )


def request_id() -> UUID:
    """The id of a request whose client gives it none."""
    # no secret, and the system's randomness would let other threads go first, at each request
    return UUID(int=random.getrandbits(128), version=4)


def begin(request: SanicRequest) -> None:
    """Take the time, and the id that a client gives its request, if it is a uuid."""
    context = request.ctx  # made now
    sent = request.headers.get("x-request-id", "")
    if _UUID.fullmatch(sent):
        context.correlation_id = UUID(sent)
    # one connection serves its requests in one context: each takes the place of the one before
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(request_id=str(context.correlation_id))


def check_lawful(request: SanicRequest) -> None:
    """Refuse what no handler could understand.

    Raises:
        Invalid: the address or the body is malformed, or the body of a type that nothing here takes.
    """
    target = request.raw_url.decode("ascii", "replace")
    if _BROKEN_ESCAPE.search(target):
        raise Invalid("address", "has a % without two hexadecimal digits behind it")
    _check_text("address", unquote_to_bytes(target))
    # a body that is passed on has not been read, and is not ours to judge
    if request.body:
        kind = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
        if kind not in _BODY_TYPES:
            raise Invalid("content-type", f"must be one of {', '.join(sorted(_BODY_TYPES))}")
        _check_text("body", request.body)


def _check_head(request: SanicRequest) -> None:
    """Refuse what a proxy in front could have read as another request than we do.

    Raises:
        BadRequest: it could have.
    """
    headers, hosts = request.headers, request.headers.getall("host", [])
    if any(not _TOKEN.fullmatch(name) or _LINE_END.search(value) for name, value in headers.items()):
        raise BadRequest("a header is malformed")
    if len(hosts) > 1 or (not hosts and request.version != "1.0"):
        raise BadRequest("a request has one Host header")
    length = headers.get("content-length", "0")
    if not (length.isascii() and length.strip().isdecimal()):
        raise BadRequest("Content-Length is malformed")
    if "transfer-encoding" in headers and request.version == "1.0":
        raise BadRequest("HTTP/1.0 has no Transfer-Encoding")
    if target := _ABSOLUTE.match(request.raw_url):
        if target[1].lower() != (hosts or [""])[0].strip().lower().encode(errors="surrogateescape"):
            raise BadRequest("the address and the Host header name different hosts")
        if target[2] != b"/":  # the library takes it for a path and breaks
            raise BadRequest("the address has no path")


def _check_text(field: str, content: bytes) -> None:
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        raise Invalid(field, "is not UTF-8") from error
    if "\0" in text:
        raise Invalid(field, "holds a NUL character")
