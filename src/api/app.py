"""The application: routes, and what happens around each request."""

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import structlog
from sanic import Blueprint, Request, Sanic
from sanic.response import BaseHTTPResponse

from calipso.api import (
    containers,
    cors,
    experiments,
    health,
    images,
    problems,
    quotas,
    resources,
    sessions,
    users,
)
from calipso.api.auth import Authentication
from calipso.api.context import Context
from calipso.api.metrics import Metrics
from calipso.api.waiting import Waiting
from calipso.backend import Backend

_log = structlog.get_logger()

BLUEPRINTS: tuple[Blueprint, ...] = (
    sessions.blueprint,
    images.blueprint,
    quotas.blueprint,
    users.blueprint,
    experiments.blueprint,
    resources.blueprint,
    containers.blueprint,
    health.blueprint,
)
_BODY_BYTES = 2**20
_SLACK_SECONDS = 120  # a held request is answered by us, not cut off by the server


def create_app(backend: Backend, *, on_ready: Callable[[], None] | None = None) -> Sanic[Any, Any]:
    """The application of one process.

    Args:
        backend: the bound parts.
        on_ready: called when requests are served.
    """
    app: Sanic[Any, Any] = Sanic(f"calipso-{uuid4().hex}", strict_slashes=True, configure_logging=False)
    app.config.update(
        RESPONSE_TIMEOUT=backend.settings.run_limit + _SLACK_SECONDS,
        REQUEST_MAX_SIZE=_BODY_BYTES,
        KEEP_ALIVE_TIMEOUT=65,
        GRACEFUL_SHUTDOWN_TIMEOUT=5.0,
        ACCESS_LOG=False,
        FALLBACK_ERROR_FORMAT="json",
    )
    waiting = Waiting(backend.database, backend.store, backend.parts)
    app.ctx.metrics = Metrics()
    app.ctx.calipso = Context(backend, waiting, app.ctx.metrics)
    app.ctx.authentication = Authentication(app.ctx.calipso)
    for blueprint in BLUEPRINTS:
        app.blueprint(blueprint.copy(blueprint.name))
    _answer_head(app)
    problems.install(app)
    _install_middleware(app)
    cors.install(app, backend.settings.cors_origin_whitelist)
    _install_listeners(app, waiting, on_ready)
    return app


def _answer_head(app: Sanic[Any, Any]) -> None:
    """Let HEAD be answered wherever GET is; the server leaves the body out."""
    for route in list(app.router.routes):
        if "GET" in route.methods:
            app.add_route(
                route.handler,
                f"/{route.path}",
                methods=["HEAD"],
                name=f"head_{route.name.rpartition('.')[2]}_{route.path}",
                strict_slashes=True,
                unquote=route.unquote,
            )


def _install_middleware(app: Sanic[Any, Any]) -> None:
    async def identify(request: Request) -> None:
        request.ctx.began = time.perf_counter()
        request.ctx.caller = None
        request.ctx.correlation_id = _correlation_id(request.headers.get("x-request-id", ""))

    async def authenticate(request: Request) -> None:
        if request.route is not None and not request.path.startswith(("/health", "/metrics")):
            await app.ctx.authentication(request)

    async def conclude(request: Request, response: BaseHTTPResponse) -> None:
        correlation_id = getattr(request.ctx, "correlation_id", None)
        if correlation_id is None:
            return
        response.headers["X-Request-ID"] = str(correlation_id)
        response.headers.setdefault("Cache-Control", "no-store")
        response.headers.setdefault("X-Content-Type-Options", "nosniff")
        seconds = time.perf_counter() - request.ctx.began
        route = f"/{request.route.path}" if request.route else "(none)"
        app.ctx.metrics.request(request.method, route, response.status, seconds)
        # the route and not the path, because paths hold names of people
        _log.info(
            "request",
            method=request.method,
            route=route,
            status=response.status,
            ms=round(seconds * 1000, 1),
            request_id=str(correlation_id),
        )

    app.register_middleware(identify, "request", priority=100)
    app.register_middleware(authenticate, "request", priority=10)
    app.register_middleware(conclude, "response")


def _install_listeners(app: Sanic[Any, Any], waiting: Waiting, on_ready: Callable[[], None] | None) -> None:
    @app.before_server_start
    async def begin(_: Sanic[Any, Any]) -> None:
        await waiting.begin()
        app.ctx.listening = asyncio.create_task(waiting.run())

    @app.after_server_start
    async def ready(_: Sanic[Any, Any]) -> None:
        if on_ready is not None:
            on_ready()

    @app.before_server_stop
    async def end(_: Sanic[Any, Any]) -> None:
        app.ctx.listening.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await app.ctx.listening


def _correlation_id(sent: str) -> UUID:
    """The request's id: the client's own, if it is a uuid."""
    try:
        return UUID(sent)
    except ValueError:
        return uuid4()
