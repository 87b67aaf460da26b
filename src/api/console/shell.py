"""What all pages of the console have in common: the frame around them, links, and who may see them."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, partial, wraps
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from sanic import HTTPResponse, Request

from calipso.api.auth import Handler, signed_in
from calipso.api.console import words
from calipso.api.context import context_of, require_administrator, require_auditor
from calipso.api.proxies import absolute_url, inner_path
from calipso.errors import CalipsoError, Invalid, NotFound

ROOT = "/console/"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
FILES = Path(__file__).with_name("static")
_HTML = "text/html; charset=utf-8"
_MARK = 12


@dataclass(frozen=True, kw_only=True)
class Section:
    """A word of the navigation, and the path below which its pages are."""

    word: str
    path: str
    for_administrators: bool = False


NAVIGATION = (
    Section(word="Timeline", path="/console/events/"),
    Section(word="Containers", path="/console/containers/"),
    Section(word="Quota", path="/console/quota/"),
    Section(word="As of", path="/console/as-of/"),
    Section(word="Who could reach", path="/console/reach/"),
    Section(word="Usage", path="/console/usage/"),
    Section(word="Health", path="/console/health/"),
    Section(word="Dead letters", path="/console/dead-letters/", for_administrators=True),
)


@dataclass(frozen=True, kw_only=True)
class Wrong:
    """What is wrong with a form: `field` is its name there, `reason` a sentence, `status` that of the answer."""

    field: str
    reason: str
    status: int

    @classmethod
    def of(cls, error: Invalid | NotFound) -> "Wrong":
        """What an error says of the form that led to it."""
        if isinstance(error, Invalid):
            return cls(field=error.field, reason=str(error), status=400)
        return cls(field=error.what, reason=str(error), status=404)


_environment = Environment(
    loader=FileSystemLoader(Path(__file__).with_name("templates")),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    auto_reload=False,
)
_environment.filters.update(words.FILTERS)


def render(request: Request, template: str, *, status: int = 200, **values: object) -> HTTPResponse:
    """A page.

    Args:
        request: that is answered.
        template: the name of its file.
        status: of the answer.
        values: what the template names, besides what every page has.
    """
    body = _environment.get_template(template).render({**_frame(request), **values})
    return HTTPResponse(body, status=status, content_type=_HTML, headers={"Content-Security-Policy": POLICY})


def _frame(request: Request) -> Mapping[str, Any]:
    caller, here = request.ctx.caller, inner_path(request)
    is_auditor = caller is not None and (caller.is_auditor or caller.is_administrator)
    sections = [s for s in NAVIGATION if is_auditor and (caller.is_administrator or not s.for_administrators)]
    return {
        "caller": caller,
        "token": caller.csrf_token if caller else "",
        "sections": sections,
        "current": next((s.path for s in sections if here.startswith(s.path)), ""),
        "facility": context_of(request).backend.settings.facility,
        "place": partial(place, request),
        "asset": partial(asset, request),
        "wrong": None,
    }


def place(request: Request, path: str, /, **query: object) -> str:
    """Where a path of the routes is for the browser, on the same host; empty parameters (and None) are left out."""
    base = urlsplit(absolute_url(request, "/")).path.rstrip("/")
    given = {name: str(value) for name, value in query.items() if value not in {None, ""}}
    return f"{base}{path}" + (f"?{urlencode(given)}" if given else "")


def asset(request: Request, name: str) -> str:
    """Where a file of the console is; the address changes with its content, so that browsers may keep it."""
    return place(request, f"{ROOT}static/{name}", v=mark_of(name))


@cache
def content_of(name: str) -> bytes:
    """The content of a file of the console."""
    return (FILES / name).read_bytes()


def mark_of(name: str) -> str:
    """What tells a content of a file from another."""
    return hashlib.sha256(content_of(name)).hexdigest()[:_MARK]


def see(request: Request, path: str, /, **query: object) -> HTTPResponse:
    """Send a browser on to another page."""
    headers = {"Location": place(request, path, **query), "Content-Security-Policy": POLICY}
    return HTTPResponse(status=303, headers=headers, content_type=_HTML)


def for_auditors(handler: Handler) -> Handler:
    """Let a handler serve auditors and administrators, and nobody else."""
    return _guarded(handler, require_auditor)


def for_administrators(handler: Handler) -> Handler:
    """Let a handler serve administrators, and nobody else."""
    return _guarded(handler, require_administrator)


def _guarded(handler: Handler, require: Callable[[Request], None]) -> Handler:
    @wraps(handler)
    async def guarded(request: Request, *args: Any, **kwargs: Any) -> HTTPResponse | None:  # noqa: ANN401 - passed on
        require(request)
        return await handler(request, *args, **kwargs)

    return signed_in(guarded)


def is_of_console(request: Request) -> bool:
    """Whether a request is for a page of the console."""
    return inner_path(request).startswith(ROOT)


def told(error: CalipsoError) -> str:
    """An error as a sentence."""
    text = str(error)
    return text[:1].upper() + text[1:] + ("" if text.endswith(".") else ".")
