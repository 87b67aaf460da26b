"""The OpenAPI document of this interface, made from the types that validate, and a page to try it."""

import re
from collections.abc import Iterable, Mapping
from functools import cache
from http import HTTPStatus
from importlib.metadata import distribution, version
from pathlib import Path
from typing import Any

import msgspec
from sanic import Blueprint, HTTPResponse, Request
from sanic_routing.route import Route

from calipso.api.auth import CSRF_HEADER, LOGIN_COOKIE
from calipso.api.objects import Problem
from calipso.api.operations import HTML, JSON, OPERATIONS, Answer, Operation, shapes
from calipso.api.proxies import origin_of
from calipso.api.wire import json
from calipso.errors import NotFound

blueprint = Blueprint("openapi")

_PARAMETER = re.compile(r"<(\w+)(:\w+)?>")
_PROBLEM = "application/problem+json"
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_PAGE = """<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>Calipso</title>
<link rel="stylesheet" href="swagger-ui.css"></head>
<body><div id="page"></div><script src="swagger-ui-bundle.js"></script><script src="start.js"></script></body></html>
"""
# requests by cookie that change something need the token beside it
_START = """const token = () => (document.cookie.match(/(?:^|; )csrftoken=([^;]*)/) || [])[1];
SwaggerUIBundle({
    url: "../openapi.json", dom_id: "#page", deepLinking: true, validatorUrl: null,
    requestInterceptor: (request) => {
        if (request.method !== "GET" && token()) request.headers["X-CSRFToken"] = token();
        return request;
    },
});
"""
_SHIPPED = {"swagger-ui.css": "text/css; charset=utf-8", "swagger-ui-bundle.js": "text/javascript; charset=utf-8"}


@blueprint.get("/openapi.json")
async def document(request: Request) -> HTTPResponse:
    """This interface as an OpenAPI 3.1 document."""
    described = describe(request.app.router.routes)
    return json({**described, "servers": [{"url": origin_of(request).prefix or "/"}]})


@blueprint.get("/docs/")
async def page(_: Request) -> HTTPResponse:
    """A page on which this interface can be tried."""
    return HTTPResponse(_PAGE, content_type="text/html; charset=utf-8", headers={"Content-Security-Policy": _POLICY})


@blueprint.get("/docs/<file:str>")
async def part(_: Request, file: str) -> HTTPResponse:
    """A part of that page."""
    if file == "start.js":
        return HTTPResponse(_START, content_type="text/javascript; charset=utf-8")
    if file not in _SHIPPED:
        raise NotFound("file", file)
    return HTTPResponse(_shipped(file), content_type=_SHIPPED[file], headers={"Cache-Control": "max-age=3600"})


def key_of(route: Route, method: str) -> tuple[str, str]:
    """The key of a route in the table of operations."""
    return method, "/" + _PARAMETER.sub(r"{\1}", route.path)


@cache
def _shipped(file: str) -> bytes:
    # the package is not imported: it is an application of its own
    return Path(str(distribution("swagger-ui-py").locate_file(f"swagger_ui/static/{file}"))).read_bytes()


def is_described(route: Route) -> bool:
    """Whether the document tells of a route: what a container's own service answers is its own affair.

    The pages of the console are for people, and may change with every release.
    """
    return not getattr(route.ctx, "passed_on", False) and not route.path.startswith("console/")


def describe(routes: Iterable[Route]) -> Mapping[str, Any]:
    """The document of these routes, without the address of the server."""
    paths: dict[str, dict[str, Any]] = {}
    handlers = {key_of(route, method): route for route in routes for method in route.methods}
    for (method, path), operation in OPERATIONS.items():
        paths.setdefault(path, {})[method.lower()] = _operation((method, path), operation, handlers[method, path])
    _, components = msgspec.json.schema_components(shapes(), ref_template="#/components/schemas/{name}")
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Calipso",
            "version": version("calipso"),
            "description": "Remote desktops, notebooks and tools beside experiment data. Every error is a problem of "
            "RFC 9457 with an `error` text besides, but for the few answers that are told here.",
        },
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "login": {"type": "apiKey", "in": "cookie", "name": LOGIN_COOKIE},
                "token": {"type": "apiKey", "in": "header", "name": CSRF_HEADER},
                "basic": {"type": "http", "scheme": "basic"},
            },
        },
    }


def _operation(key: tuple[str, str], operation: Operation, route: Route) -> Mapping[str, Any]:
    method, path = key
    in_path = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
        for name in re.findall(r"\{(\w+)\}", path)
    ]
    in_query = [
        {"name": name, "in": "query", "description": text, "schema": {"type": "string"}}
        for name, text in operation.query.items()
    ]
    in_header = [
        {"name": name, "in": "header", "description": text, "schema": {"type": "string"}}
        for name, text in operation.headers.items()
    ]
    told = {
        "operationId": route.name.partition(".")[2].replace(".", "_"),
        "summary": (route.handler.__doc__ or "").strip().splitlines()[0],
        "tags": [path.split("/")[1]],
        "parameters": in_path + in_query + in_header,
        "responses": {str(status): _answer(status, answer) for status, answer in sorted(operation.answers.items())}
        | {"default": {"description": "a problem", "content": _problem()}},
        "security": [] if operation.is_open else _security(method),
    }
    if operation.body is None:
        return told
    return told | {"requestBody": {"required": True, "content": {JSON: {"schema": _schema(operation.body)}}}}


def _security(method: str) -> list[dict[str, list[str]]]:
    by_cookie: dict[str, list[str]] = {"login": []} if method == "GET" else {"login": [], "token": []}
    return [by_cookie, {"basic": []}]


def _answer(status: int, answer: Answer) -> Mapping[str, Any]:
    """A status that is told: whatever else is wrong with a request is told as a problem under the same status."""
    content = _content(answer) | (_problem() if status >= HTTPStatus.BAD_REQUEST else {})
    return {"description": _told(answer), **({"content": content} if content else {})}


def _told(answer: Answer) -> str:
    if answer.told:
        return answer.told
    shape = answer.shape
    if isinstance(shape, type) and issubclass(shape, msgspec.Struct):
        return (shape.__doc__ or "").strip().splitlines()[0]
    return "the answer" if shape else {JSON: "done", HTML: "a page"}.get(answer.kind, "a text")


def _content(answer: Answer) -> dict[str, Any]:
    text = {"schema": {"type": "string"}}
    other = {answer.other: text} if answer.other else {}
    if answer.shape is not None:
        return {answer.kind: {"schema": _schema(answer.shape)}, **other}
    return other if answer.kind == JSON else {answer.kind: text, **other}


def _problem() -> dict[str, Any]:
    return {_PROBLEM: {"schema": _schema(Problem)}}


def _schema(shape: Any) -> Mapping[str, Any]:  # noqa: ANN401 - whatever can be described
    (schema,), _ = msgspec.json.schema_components([shape], ref_template="#/components/schemas/{name}")
    return schema
