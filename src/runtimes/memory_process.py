"""The process of a container in memory: a thread that greets on a real port, and ends when it is told to."""

import socketserver
from collections.abc import Callable
from threading import Lock, Thread, Timer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from calipso.events.values import ImageSpec, Protocol

KILLED = 137
_GREETINGS = {Protocol.VNC: b"RFB 003.008\n", Protocol.SSH: b"SSH-2.0-memory\r\n"}
_RDP_CONFIRM = bytes.fromhex("0300000b06d00000123400")
_PAGE = b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n"
_POLL_SECONDS = 0.05


class _Greeter(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, host: str, protocol: Protocol) -> None:
        super().__init__((host, 0), _Conversation, bind_and_activate=False)
        self.protocol = protocol
        # the port is known at once, and refuses connections until it listens
        self.server_bind()


class _Conversation(socketserver.BaseRequestHandler):
    server: _Greeter

    def handle(self) -> None:
        """Say what a server of the protocol says first; those of some wait for the client."""
        protocol = self.server.protocol
        if protocol not in _GREETINGS:
            self.request.recv(1024)
        self.request.sendall(_GREETINGS.get(protocol, _RDP_CONFIRM if protocol is Protocol.RDP else _PAGE))


class Process:
    """Does what the switches of an image's reference say.

    Args:
        image: with the reference and the protocol.
        host: the address of its port.
    """

    def __init__(self, image: ImageSpec, host: str) -> None:
        self._switches = dict(parse_qsl(urlsplit(image.reference).query, keep_blank_values=True))
        self._greeter = _Greeter(host, image.protocol)
        self._timers: list[Timer] = []
        self._lock = Lock()
        self._is_listening = False
        self._on_end: Callable[[], None] = lambda: None
        self.exit_code: int | None = None
        self.log: list[str] = []
        self.port: int = self._greeter.server_address[1]

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
        for timer in self._timers:
            timer.cancel()
        if self._is_listening:
            self._greeter.shutdown()
        self._greeter.server_close()
        self._on_end()

    def _after(self, seconds: float, act: Callable[..., None], *arguments: Any) -> None:  # noqa: ANN401 - passed on
        if not seconds:
            act(*arguments)
            return
        timer = Timer(seconds, act, arguments)
        timer.daemon = True
        self._timers.append(timer)
        timer.start()

    def _listen(self) -> None:
        with self._lock:
            if self.exit_code is not None:
                return
            self._greeter.server_activate()
            self._is_listening = True
            if "token" in self._switches:
                self.log.append(f"http://127.0.0.1/?token={self._switches['token']}")
        Thread(target=self._greeter.serve_forever, args=(_POLL_SECONDS,), daemon=True).start()
