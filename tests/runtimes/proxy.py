"""A TCP port in front of a unix socket, with or without TLS, that can be cut and closed like a network."""

import asyncio
import contextlib
import ssl
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class Proxy:
    """Passes everything on, in a thread of its own.

    Args:
        path: the unix socket behind it.
        context: for TLS, if it is to speak it.
    """

    def __init__(self, path: str, context: ssl.SSLContext | None = None) -> None:
        self.port = 0
        self.connections = 0
        self._path = path
        self._context = context
        self._open: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self._server = self._call(self._listen())

    def cut(self) -> None:
        """Break all connections; new ones are refused until `mend`."""

        async def cut() -> None:
            self._server.close()
            for writer in self._open:
                writer.transport.abort()

        self._call(cut())

    def mend(self) -> None:
        """Accept connections again, on the same port."""
        self._server = self._call(self._listen())

    def close(self) -> None:
        """Break all connections for good."""
        self.cut()
        self._call(self._finish())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _listen(self) -> asyncio.Server:
        server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, ssl=self._context)
        self.port = server.sockets[0].getsockname()[1]
        return server

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        behind_reader, behind_writer = await asyncio.open_unix_connection(self._path)
        both = {writer, behind_writer}
        self._open |= both
        await asyncio.gather(_pass_on(reader, behind_writer), _pass_on(behind_reader, writer))
        self._open -= both

    async def _finish(self) -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        if others:
            await asyncio.wait(others)
        await asyncio.sleep(0)  # the transports close in the loop's next round

    def _call(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()
