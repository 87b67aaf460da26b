"""The process of a container in memory: it greets on a real port, and ends when it is told to.

All of them live in one thread of their own, so that thousands take no more than their sockets.
"""

import asyncio
import contextlib
import socket
from collections.abc import Callable
from functools import cache
from threading import Lock, Thread
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from calipso.events.values import ImageSpec, Protocol

KILLED = 137
_GREETINGS = {Protocol.VNC: b"RFB 003.008\n", Protocol.SSH: b"SSH-2.0-memory\r\n"}
_RDP_CONFIRM = bytes.fromhex("0300000b06d00000123400")
_PAGE = b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n"


@cache
def _loop() -> asyncio.AbstractEventLoop:
    """Where all processes in memory live."""
    loop = asyncio.new_event_loop()
    Thread(target=loop.run_forever, name="memory", daemon=True).start()
    return loop


_conversations: set[asyncio.Task[None]] = set()  # a loop keeps no task alive


async def _greet(connection: socket.socket, protocol: Protocol) -> None:
    """Say what a server of the protocol says first; those of some wait for the client."""
    reader, writer = await asyncio.open_connection(sock=connection)
    with contextlib.suppress(OSError), contextlib.closing(writer):
        if protocol not in _GREETINGS:
            await reader.read(1024)
        writer.write(_GREETINGS.get(protocol, _RDP_CONFIRM if protocol is Protocol.RDP else _PAGE))
        await writer.drain()


class Process:
    """Does what the switches of an image's reference say.

    Args:
        image: with the reference and the protocol.
        host: the address of its port.
    """

    def __init__(self, image: ImageSpec, host: str) -> None:
        self._switches = dict(parse_qsl(urlsplit(image.reference).query, keep_blank_values=True))
        self._protocol = image.protocol
        # the port is known at once, and refuses connections until it listens
        self._socket = socket.socket()
        self._socket.bind((host, 0))
        self._timers: list[asyncio.TimerHandle] = []
        self._lock = Lock()
        self._on_end: Callable[[], None] = lambda: None
        self.exit_code: int | None = None
        self.log: list[str] = []
        self.port: int = self._socket.getsockname()[1]

    @property
    def is_stubborn(self) -> bool:
        """Whether it ends by force only."""
        return "stubborn" in self._switches

    @property
    def is_wedged(self) -> bool:
        """Whether it ends by removal only."""
        return "wedged" in self._switches

    def start(self, on_end: Callable[[], None]) -> None:
        """Begin; `on_end` is called once, when it ends."""
        self._on_end = on_end
        self.log.append("started")
        if "crash" in self._switches:
            self.end(int(self._switches["crash"]))
            return
        if "silent" not in self._switches:
            self._after(float(self._switches.get("delay", 0)), self._listen)
        if "crash_after" in self._switches:
            exit_code = int(self._switches.get("exit", 1))
            self._after(float(self._switches["crash_after"]), self.end, exit_code)

    def end(self, exit_code: int) -> None:
        """End it; nothing happens when it has ended."""
        with self._lock:
            if self.exit_code is not None:
                return
            self.exit_code = exit_code
            self.log.append(f"ended with exit code {exit_code}")
            # who connects now is refused at once; all else is the loop's
            with contextlib.suppress(OSError):  # it does not listen yet
                self._socket.shutdown(socket.SHUT_RDWR)
        _loop().call_soon_threadsafe(self._close)
        self._on_end()

    def _after(self, seconds: float, act: Callable[..., None], *arguments: Any) -> None:  # noqa: ANN401 - passed on
        if not seconds:
            act(*arguments)
            return
        _loop().call_soon_threadsafe(self._wait, seconds, act, arguments)

    def _listen(self) -> None:
        with self._lock:
            if self.exit_code is not None:
                return
            self._socket.setblocking(False)
            self._socket.listen()
            if "token" in self._switches:
                self.log.append(f"http://127.0.0.1/?token={self._switches['token']}")
        _loop().call_soon_threadsafe(self._attend)

    # what follows runs in the loop

    def _wait(self, seconds: float, act: Callable[..., None], arguments: tuple[Any, ...]) -> None:
        if self.exit_code is None:
            self._timers.append(_loop().call_later(seconds, act, *arguments))

    def _attend(self) -> None:
        if self.exit_code is None:
            _loop().add_reader(self._socket, self._accept)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # whoever connected has gone, or it ends now
            connection, _ = self._socket.accept()
            task = _loop().create_task(_greet(connection, self._protocol))
            _conversations.add(task)
            task.add_done_callback(_conversations.discard)

    def _close(self) -> None:
        for timer in self._timers:
            timer.cancel()
        _loop().remove_reader(self._socket)
        self._socket.close()
