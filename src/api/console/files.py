"""The files that pages of the console load: a style, a script, an icon."""

from pathlib import PurePath

from sanic import Blueprint, HTTPResponse, Request

from calipso.api.console.shell import FILES, content_of, mark_of
from calipso.errors import NotFound

blueprint = Blueprint("console_files")

_KINDS = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}
_NAMES = frozenset(path.name for path in FILES.iterdir() if path.suffix in _KINDS)
_FOR_GOOD, _ASK_AGAIN = "public, max-age=31536000, immutable", "no-cache"


@blueprint.get("/console/static/<name:str>")
async def file(request: Request, name: str) -> HTTPResponse:
    """A file; under the address that names its content it may be kept for good."""
    if name not in _NAMES:
        raise NotFound("file", name)
    mark = f'"{mark_of(name)}"'
    kept = _FOR_GOOD if request.args.get("v") == mark_of(name) else _ASK_AGAIN
    headers = {"ETag": mark, "Cache-Control": kept}
    if request.headers.get("if-none-match") == mark:
        return HTTPResponse(status=304, headers=headers)
    return HTTPResponse(content_of(name), content_type=_KINDS[PurePath(name).suffix], headers=headers)
