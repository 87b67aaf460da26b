"""What goes on in the machines of libvirt's test driver, in which nothing goes on: a greeting on a port, an end."""

import socketserver
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any
from xml.etree import ElementTree as ET

import libvirt  # type: ignore[import-untyped]  # the library has no types

from calipso.runtimes.virtual_machine.marks import MARK

TOKEN = "token=0a1b2c3d4e5f"
_WEB_PORT = 8888
_STARTED, _STOPPED = libvirt.VIR_DOMAIN_EVENT_STARTED, libvirt.VIR_DOMAIN_EVENT_STOPPED
_END = ("", -1)


class PretendedGuests:
    """A guest in every machine that was made from an image, as long as the machine runs.

    Args:
        connection: to the test driver.
        tell: hears the name of a machine, and what its guest writes to its serial port.
    """

    def __init__(self, connection: Any, tell: Callable[[str, str], None]) -> None:  # noqa: ANN401 - the library has no types
        self._connection = connection
        self._tell = tell
        self._told: SimpleQueue[tuple[str, int]] = SimpleQueue()
        self._guests: dict[str, _Guest] = {}
        kind = libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE
        self._number = connection.domainEventRegisterAny(None, kind, self._hear, None)
        self._thread = threading.Thread(target=self._work)
        self._thread.start()

    def close(self) -> None:
        """End all guests."""
        self._connection.domainEventDeregisterAny(self._number)
        self._told.put(_END)
        self._thread.join()

    def _hear(self, _connection: Any, machine: Any, event: int, _detail: int, _: None) -> None:  # noqa: ANN401 - the library has no types
        self._told.put((machine.name(), event))

    def _work(self) -> None:
        while (told := self._told.get()) != _END:
            name, event = told
            if event == _STARTED:
                self._begin(name)
            elif event == _STOPPED and name in self._guests:
                self._guests.pop(name).close()
        for guest in self._guests.values():
            guest.close()

    def _begin(self, name: str) -> None:
        try:
            machine = self._connection.lookupByName(name)
            mark = ET.fromstring(machine.XMLDesc()).find(f"metadata/{{{MARK}}}container")
            if mark is None:
                return
            addresses = machine.interfaceAddresses(libvirt.VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_LEASE)
            address = next(iter(addresses.values()))["addrs"][0]["addr"]
            behaviour = mark.attrib["image"].partition("/")[2]
            self._guests[name] = _Guest(machine, behaviour, (address, int(mark.attrib["port"])))
            self._tell(name, f"a guest\n{TOKEN if behaviour == 'token' else ''}\n")
        except libvirt.libvirtError:
            # it is gone already
            return


class _Guest:
    def __init__(self, machine: Any, behaviour: str, address: tuple[str, int]) -> None:  # noqa: ANN401 - the library has no types
        self._machine = machine
        self._server = _Server(address, _Conversation, bind_and_activate=False)
        acts: dict[str, tuple[float, Callable[[], None]]] = {
            "slow": (0.6, self._serve),
            "crash": (0, self._crash),
            "crashlater": (0.5, self._crash),
            "exit0later": (0.5, machine.shutdown),
        }
        delay, act = acts.get(behaviour, (0, self._serve))
        self._timer = threading.Timer(delay, act)
        if behaviour in {"crashlater", "exit0later"}:
            self._serve()
        if behaviour != "silent":
            self._timer.start()

    def close(self) -> None:
        self._timer.cancel()
        if self._timer.is_alive() and threading.current_thread() is not self._timer:
            self._timer.join()
        if self._server.is_serving:
            self._server.shutdown()
        self._server.server_close()

    def _serve(self) -> None:
        self._server.server_bind()
        self._server.server_activate()
        self._server.is_serving = True
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}).start()

    def _crash(self) -> None:
        self._machine.coreDump("/dev/null", libvirt.VIR_DUMP_CRASH)


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    is_serving = False


class _Conversation(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        if self.request.getsockname()[1] == _WEB_PORT:
            self.request.recv(1024)
            self.request.sendall(b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n")
        else:
            self.request.sendall(b"RFB 003.008\n")
