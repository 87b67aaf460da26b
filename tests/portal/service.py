"""A web service as a container would have it: it tells what it was asked, and has some habits of real ones."""

import asyncio
import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from aiohttp import WSMsgType, web
from tests.conftest import PATIENCE

PIECE = b"x" * 65536
MORE = web.AppKey("more", asyncio.Event)


def _headers(request: web.Request) -> dict[str, str]:
    return {name.lower(): value for name, value in request.headers.items()}


async def tell(request: web.Request) -> web.Response:
    size = 0
    async for piece in request.content.iter_any():
        size += len(piece)
    told = {"method": request.method, "path": request.raw_path, "headers": _headers(request), "size": size}
    answer = web.json_response(told)
    answer.headers.extend(
        [
            ("Set-Cookie", "theme=dark; Path=/; Domain=example.org; HttpOnly"),
            ("Set-Cookie", "sessionid=stolen; Path=/"),
            ("Access-Control-Allow-Origin", "*"),
            ("Service-Worker-Allowed", "/"),
            ("Clear-Site-Data", '"cookies"'),
            ("X-Own", "kept"),
        ]
    )
    return answer


async def redirect(request: web.Request) -> web.Response:
    return web.Response(status=302, headers={"Location": request.query["to"]})


async def stream(request: web.Request) -> web.StreamResponse:
    """Says one piece, and the next when `more` was asked for."""
    answer = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await answer.prepare(request)
    await answer.write(b"data: one\n\n")
    await request.app[MORE].wait()
    await answer.write(b"data: two\n\n")
    return answer


async def more(request: web.Request) -> web.Response:
    request.app[MORE].set()
    return web.Response(status=204)


async def large(request: web.Request) -> web.StreamResponse:
    answer = web.StreamResponse()
    await answer.prepare(request)
    for _ in range(int(request.query["pieces"])):
        await answer.write(PIECE)
    return answer


async def cut(request: web.Request) -> web.StreamResponse:
    answer = web.StreamResponse(headers={"Content-Length": "1000"})
    await answer.prepare(request)
    await answer.write(b"half")
    assert request.transport is not None
    request.transport.abort()
    return answer


async def echo(request: web.Request) -> web.WebSocketResponse:
    socket = web.WebSocketResponse(protocols=("second", "first"))
    await socket.prepare(request)
    await socket.send_json({"path": request.raw_path, "headers": _headers(request)})
    async for message in socket:
        if message.data == "end":
            await socket.close(code=4001)
        elif message.type is WSMsgType.TEXT:
            await socket.send_str(f"echo {message.data}")
        else:
            await socket.send_bytes(message.data[::-1])
    return socket


@contextmanager
def serving() -> Iterator[int]:
    """Serve within the block; gives the port."""
    told: queue.SimpleQueue[tuple[int, asyncio.AbstractEventLoop, asyncio.Event]] = queue.SimpleQueue()

    async def main() -> None:
        runner = web.AppRunner(_application(), handler_cancellation=True)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        ending = asyncio.Event()
        told.put((runner.addresses[0][1], asyncio.get_running_loop(), ending))
        await ending.wait()
        await runner.cleanup()

    thread = threading.Thread(target=lambda: asyncio.run(main()))
    thread.start()
    port, loop, ending = told.get(timeout=PATIENCE)
    try:
        yield port
    finally:
        loop.call_soon_threadsafe(ending.set)
        thread.join(PATIENCE)
        assert not thread.is_alive()


def _application() -> web.Application:
    app = web.Application(client_max_size=0)
    app[MORE] = asyncio.Event()
    pages = {"redirect": redirect, "stream": stream, "more": more, "large": large, "cut": cut, "socket": echo}
    for name, handler in pages.items():
        app.router.add_get(f"/{{prefix:(.*/)?}}{name}", handler)
    app.router.add_route("*", "/{any:.*}", tell)
    return app
