"""The network between processes and servers: links of TCP, each of which can be cut, stalled, slowed and robbed."""

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")

_CHUNK = 65536
_HOST = "127.0.0.1"

Place = Path | tuple[str, int]


class Network:
    """All links of one system, in a thread of their own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="network", daemon=True)
        self._thread.start()
        self._links: list[Link] = []

    def link(self, name: str, behind: Place) -> "Link":
        """A port that leads to a unix socket or to a host's port."""
        made = Link(name, behind, self)
        self.call(made.listen())
        self._links.append(made)
        return made

    def close(self) -> None:
        """Break everything for good."""
        for link in self._links:
            link.cut()
        self.call(self._finish())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Do something in the network's thread and wait for it."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(20)

    async def _finish(self) -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await asyncio.sleep(0)  # the transports close in the loop's next round


class Link:
    """One process' way to one server.

    Args:
        name: for the report.
        behind: where the server is.
        network: in whose thread it works.
    """

    def __init__(self, name: str, behind: Place, network: Network) -> None:
        self.name = name
        self.behind = behind
        self.port = 0
        self._network = network
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._forgotten: set[asyncio.StreamWriter] = set()
        self._flows = asyncio.Event()
        self._flows.set()
        self._delay = 0.0
        self._swallows = False

    def cut(self) -> None:
        """Reset all connections; new ones are refused until `mend`."""
        self._network.call(self._cut())

    def stall(self) -> None:
        """Let nothing pass until `mend`, when all that was held goes on."""
        self._network.call(self._set(flows=False))

    def slow(self, seconds: float) -> None:
        """Let every piece of data take so much longer until `mend`."""
        self._network.call(self._set(delay=seconds))

    def swallow(self) -> None:
        """Take everything and pass nothing on until `mend`, which resets the connections that lost something."""
        self._network.call(self._set(swallows=True))

    def forget(self) -> None:
        """Pass nothing more on of the connections that there are, for good and without a word; new ones work."""
        self._network.call(self._forget())

    def mend(self) -> None:
        """Work as a network should."""
        self._network.call(self._mend())

    async def listen(self) -> None:
        """Accept connections, on the same port as before."""
        self._server = await asyncio.start_server(self._serve, _HOST, self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _forget(self) -> None:
        self._forgotten |= self._writers

    async def _cut(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        self._reset()

    async def _mend(self) -> None:
        if self._swallows:
            self._reset()
        await self._set()
        if self._server is None:
            await self.listen()

    async def _set(self, *, flows: bool = True, delay: float = 0.0, swallows: bool = False) -> None:
        self._delay, self._swallows = delay, swallows
        (self._flows.set if flows else self._flows.clear)()

    def _reset(self) -> None:
        for writer in self._writers:
            if not writer.transport.is_closing():
                # without it the other side would see an orderly end
                linger = struct.pack("ii", 1, 0)
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            behind_reader, behind_writer = await self._connect()
        except OSError:
            writer.transport.abort()
            return
        both = {writer, behind_writer}
        self._writers |= both
        try:
            await asyncio.gather(self._pass_on(reader, behind_writer), self._pass_on(behind_reader, writer))
        finally:
            self._writers -= both
            self._forgotten -= both

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if isinstance(self.behind, Path):
            return await asyncio.open_unix_connection(self.behind)
        return await asyncio.open_connection(*self.behind)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(_CHUNK):
                await asyncio.sleep(self._delay)
                await self._flows.wait()
                if not self._swallows and writer not in self._forgotten:
                    writer.write(data)
                    await writer.drain()
        writer.close()
