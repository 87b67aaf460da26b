"""The application: routes, and what happens around each request."""

import time
from collections.abc import Sequence
from http import HTTPStatus
from types import SimpleNamespace
from uuid import uuid4

import structlog
from sanic import Blueprint, HTTPResponse, Request, Sanic
from sanic.config import Config
from sanic.constants import HTTP_METHODS
from sanic.response import BaseHTTPResponse

from calipso.api import (
    arriving,
    asyncapi,
    audit,
    auth,
    containers,
    cors,
    entering,
    experiments,
    feed,
    health,
    images,
    load,
    oidc,
    openapi,
    portal,
    provided,
    proxies,
    quotas,
    ready,
    resources,
    sessions,
    synchronizing,
    umbrella,
    users,
)
from calipso.api.console import as_of as console_as_of
from calipso.api.console import containers as console_containers
from calipso.api.console import dead_letters, files
from calipso.api.console import events as console_events
from calipso.api.console import health as console_health
from calipso.api.console import quota as console_quota
from calipso.api.console import reach as console_reach
from calipso.api.console import sign_in as console_sign_in
from calipso.api.console import usage as console_usage
from calipso.api.console.problems import Pages
from calipso.api.context import Context
from calipso.api.guarding import guard
from calipso.api.metrics import Metrics
from calipso.api.outside import openid
from calipso.api.outside.directory import Directory
from calipso.api.outside.guacamole import GuacamoleWeb
from calipso.api.outside.upstream import MESSAGE_BYTES, Upstream
from calipso.api.readings import Readings
from calipso.api.routing import Router, Signals, methods_of
from calipso.api.waiting import Waiting
from calipso.backend import Backend
from calipso.settings import Settings

_log = structlog.get_logger()

App = Sanic[Config, SimpleNamespace]

BLUEPRINTS: Sequence[Blueprint] = (
    sessions.blueprint,
    oidc.blueprint,
    provided.blueprint,
    umbrella.blueprint,
    images.blueprint,
    quotas.blueprint,
    users.blueprint,
    experiments.blueprint,
    resources.blueprint,
    containers.blueprint,
    entering.blueprint,
    audit.blueprint,
    openapi.blueprint,
    asyncapi.blueprint,
    portal.blueprint,
    feed.blueprint,
    health.blueprint,
    files.blueprint,
    console_sign_in.blueprint,
    console_events.blueprint,
    console_containers.blueprint,
    console_quota.blueprint,
    console_as_of.blueprint,
    console_reach.blueprint,
    console_usage.blueprint,
    console_health.blueprint,
    dead_letters.blueprint,
)
_BODY_BYTES = 2**20
_HEAD_BYTES = 2**14  # the most that the library allows; browsers bring the cookies of a whole portal
_REQUEST_SECONDS = 30  # for a head, and again for its body
_READING = frozenset({"GET", "HEAD", "OPTIONS"})
_SLACK_SECONDS = 120  # a held request is answered by us, not cut off by the server


def create_app(backend: Backend, blueprints: Sequence[Blueprint] = BLUEPRINTS) -> App:
    """The application of one process; `server.serving` runs it.

    Args:
        backend: the bound parts.
        blueprints: the routes.
    """
    app: App = Sanic(
        f"calipso-{uuid4().hex}",
        config=_config(backend.settings),
        ctx=SimpleNamespace(),
        router=Router(backend.settings.base_path),
        signal_router=Signals(),
        error_handler=Pages(),
        request_class=arriving.Request,
        strict_slashes=True,
        configure_logging=False,
    )
    app.ctx.metrics = Metrics()
    app.ctx.calipso = Context(backend, Waiting(backend.database, backend.store, backend.parts), app.ctx.metrics)
    app.ctx.readings = Readings()
    app.ctx.provider = synchronizing.provider_of(backend, app.ctx.calipso.outside)
    app.ctx.authentication = auth.Authentication(backend, app.ctx.calipso.outside)
    app.ctx.ready = ready.Ready(app.ctx.metrics)
    sources = [app.ctx.calipso.answers, app.ctx.authentication.known]
    for memory in sources:
        memory.derived.append(app.ctx.ready.memory)
    app.ctx.calipso.waiting.memories.extend([*sources, app.ctx.ready.memory, *app.ctx.calipso.states.values()])
    app.ctx.proxies = proxies.Proxies(backend.settings)
    app.ctx.mark_origin = cors.marker(
        backend.settings.cors_origin_whitelist, allow_credentials=backend.settings.cors_allow_credentials
    )
    app.ctx.openid = openid.Provider(backend.settings, app.ctx.calipso.outside)
    app.ctx.directory = Directory(backend.settings, app.ctx.calipso.outside)
    app.ctx.upstream = Upstream()
    app.ctx.guacamole = GuacamoleWeb(backend.settings, app.ctx.calipso.outside)
    for blueprint in blueprints:
        app.blueprint(blueprint.copy(blueprint.name))
    # one of each: every further one costs as much as what ours do
    app.register_middleware(_prepare, "request")
    app.register_middleware(_conclude, "response")
    return app


def _config(settings: Settings) -> Config:
    """The library's settings; its own environment variables are not read."""
    return Config(
        {
            "AUTO_EXTEND": False,
            "KEEP_ALIVE_TIMEOUT": 65,
            "MOTD": False,
            "REQUEST_MAX_HEADER_SIZE": _HEAD_BYTES,
            "REQUEST_MAX_SIZE": _BODY_BYTES,
            "REQUEST_TIMEOUT": _REQUEST_SECONDS,
            "RESPONSE_TIMEOUT": max(settings.run_limit, settings.stop_grace) + _SLACK_SECONDS,
            "TOUCHUP": False,  # it rewrites the library's own classes, for one application of the process
            "WEBSOCKET_MAX_SIZE": MESSAGE_BYTES,
        },
        env_prefix="",
    )


async def _prepare(request: Request) -> HTTPResponse | None:
    ready.begin(request)
    arriving.begin(request)
    load.refuse_excess(request)
    proxies.find_origin(request)
    if request.method == "OPTIONS" and (told := _tell_methods(request)):
        return told
    arriving.check_lawful(request)
    await auth.authenticate(request)
    return None


def _tell_methods(request: Request) -> HTTPResponse | None:
    """Answer OPTIONS, without anybody signed in: a browser's question before a request has no cookie."""
    allowed = methods_of(request, request.path)
    if not allowed and not cors.is_preflight(request):
        return None
    return HTTPResponse(status=200, headers={"Allow": ", ".join(allowed)})


async def _conclude(request: Request, response: BaseHTTPResponse) -> None:
    request.app.ctx.mark_origin(request, response)
    response.headers["X-Request-ID"] = str(request.ctx.correlation_id)
    guard(request, response)
    seconds = time.perf_counter() - request.ctx.began
    route = ready.route_of(request)
    method = request.method if request.method in HTTP_METHODS else "(other)"
    request.app.ctx.metrics.counter_of(method, route, response.status)(seconds)
    tell = _log.debug if _is_quiet(request, response) else _log.info
    tell(
        "request",
        method=method,
        route=route,
        status=response.status,
        ms=round(seconds * 1000, 1),
    )


def _is_quiet(request: Request, response: BaseHTTPResponse) -> bool:
    """Whether only those want to hear of it who want to hear of everything: a probe, or what was read and found."""
    context = request.route and request.route.ctx
    if getattr(context, "open", False):
        return True
    is_reading = request.method in _READING and not getattr(context, "changes", False)
    return is_reading and response.status < HTTPStatus.BAD_REQUEST
