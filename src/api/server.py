"""Runs one API process."""

import asyncio
import errno
import os
import signal
import socket
import ssl
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

import structlog
import uvloop
from sanic import Sanic
from sanic.exceptions import ServiceUnavailable
from sanic.http.constants import Stage
from sanic.server.async_server import AsyncioServer

from calipso.api.app import App, create_app
from calipso.api.load import allow_files
from calipso.api.ready import Protocol
from calipso.api.tls import server_context
from calipso.backend import Backend
from calipso.errors import Invalid

_log = structlog.get_logger()

_BACKLOG = 1024
_THREADS = 32
_LISTEN_SECONDS = 5.0  # for the process before this one, which may still be ending
_FINISH_SECONDS = 2.0
_CUT_SECONDS = 1.0
_HANDSHAKE_SECONDS = 10.0
_TICK_SECONDS = 0.05


def run(backend: Backend, *, on_ready: Callable[[str], None] | None = None) -> None:
    """Serve until SIGINT or SIGTERM.

    Args:
        backend: the bound parts.
        on_ready: called with the address when requests are served.

    Raises:
        Invalid: nothing can listen on the address of the settings, or their certificate cannot be used.
        Unavailable: the store does not answer, or its database is not prepared.
    """
    # the library advises people to develop with it when it sees a terminal
    os.environ.setdefault("SANIC_IGNORE_PRODUCTION_WARNING", "true")
    allow_files(backend.settings)
    with (
        listening(backend.settings.host, backend.settings.port) as listener,
        runner() as loop,
    ):
        loop.run(_serve_until_signal(backend, listener, on_ready))


def runner() -> asyncio.Runner:
    """What runs a server's coroutine: uvloop, whose connections cost less."""
    return asyncio.Runner(loop_factory=uvloop.new_event_loop)


async def _serve_until_signal(
    backend: Backend, listener: socket.socket, on_ready: Callable[[str], None] | None
) -> None:
    # the default is a few threads more than processors, but ours wait for the database
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(_THREADS))
    told = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, told.set)
    async with serving(create_app(backend), listener) as url:
        _log.info("serving", url=url)
        if on_ready is not None:
            on_ready(url)
        await told.wait()
        _log.info("stopping")


@asynccontextmanager
async def serving(app: App, listener: socket.socket) -> AsyncIterator[str]:
    """Serve requests within the block; gives the address.

    At its end requests have two seconds to finish; those that are held longer are answered with 503. Streams of
    events end at once.

    Args:
        app: what `create_app` gave; it serves once.
        listener: what `listening` gave.

    Raises:
        Invalid: the certificate of the settings cannot be used.
        Unavailable: the store does not answer, or its database is not prepared.
    """
    backend, waiting = app.ctx.calipso.backend, app.ctx.calipso.waiting
    try:
        context = server_context(backend.settings)
        await asyncio.to_thread(lambda: backend.installation)  # told now, not at the first request
        await waiting.begin()
        server = await _make_server(app, listener, context)
        async with asyncio.TaskGroup() as group:
            hearing = group.create_task(waiting.run())
            await server.start_serving()  # type: ignore[no-untyped-call]  # the library has no types here
            try:
                yield _url(listener, is_secure=context is not None)
            finally:
                waiting.end_following_all()
                await _stop(server)
                hearing.cancel()
    finally:
        await app.ctx.calipso.outside.close()
        await app.ctx.upstream.close()
        Sanic.unregister_app(app)


async def _make_server(app: App, listener: socket.socket, context: ssl.SSLContext | None) -> AsyncioServer:
    # the library would begin to accept before the application is complete
    options: dict[str, object] = {"start_serving": False}
    if context is not None:
        options |= {"ssl_handshake_timeout": _HANDSHAKE_SECONDS, "ssl_shutdown_timeout": _CUT_SECONDS}
    server = await app.create_server(
        sock=listener, ssl=context, backlog=_BACKLOG, protocol=Protocol, asyncio_server_kwargs=options
    )
    if server is None:
        raise RuntimeError("the library made no server")
    await server.startup()  # type: ignore[no-untyped-call]  # the library has no types here
    return server


async def _stop(server: AsyncioServer) -> None:
    server.close()  # type: ignore[no-untyped-call]  # the library has no types here
    await asyncio.sleep(_TICK_SECONDS)  # what was accepted a moment ago is not among the connections yet
    await _let_finish(server, _FINISH_SECONDS)
    for connection in set(server.connections):
        if connection.http and connection.http.stage is Stage.HANDLER:
            connection.end_request(ServiceUnavailable("the server is stopping"))
        else:
            connection.abort()
    await _let_finish(server, _CUT_SECONDS)


async def _let_finish(server: AsyncioServer, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while server.connections and time.monotonic() < deadline:
        for connection in set(server.connections):
            connection.close_if_idle()
        await asyncio.sleep(_TICK_SECONDS)


def listening(host: str, port: int) -> socket.socket:
    """A socket that listens on an address; waits a moment for one that is in use.

    Args:
        host: a name or an address of this machine.
        port: 0 for any.

    Raises:
        Invalid: nothing can listen there.
    """
    deadline = time.monotonic() + _LISTEN_SECONDS
    while True:
        try:
            family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
            return socket.create_server(address[:2], family=family, backlog=_BACKLOG)
        except OSError as error:
            if error.errno != errno.EADDRINUSE or time.monotonic() > deadline:
                # an error of name resolution has a number of its own
                reason = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror
                where = f"CALIPSO_HOST, CALIPSO_PORT: cannot listen on {host}:{port}"
                raise Invalid("settings", f"{where}: {reason}") from error
        time.sleep(_TICK_SECONDS)


def _url(listener: socket.socket, *, is_secure: bool) -> str:
    host, port = listener.getsockname()[:2]
    return f"http{'s' if is_secure else ''}://{f'[{host}]' if ':' in host else host}:{port}"
