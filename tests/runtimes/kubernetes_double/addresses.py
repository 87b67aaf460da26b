"""Loopback addresses for services: held from when they are given, so that nobody else takes them."""

import random
import socket

from tests.runtimes.kubernetes_double.status import Json

_FIRST_PORT, _LAST_PORT = 30000, 32767
_ANYWHERE = "127.0.0.1"


class Addresses:
    """Sockets that are bound and refuse connections, until a service behind them listens."""

    def __init__(self) -> None:
        self._held: dict[tuple[str, int], socket.socket] = {}

    def inside(self, ports: list[int]) -> str:
        """An address of the cluster's own, at which these ports are free."""
        while True:
            address = f"127.96.{random.randrange(256)}.{random.randrange(1, 255)}"
            if all(self._hold(address, port) for port in ports):
                return address
            for port in ports:
                self.free(address, port)

    def outside(self) -> int:
        """A port of the node."""
        while True:
            port = random.randint(_FIRST_PORT, _LAST_PORT)
            if self._hold(_ANYWHERE, port):
                return port

    def take(self, address: str, port: int) -> socket.socket:
        """The socket of an address, for who listens there now."""
        if (address, port) not in self._held:
            self._hold(address, port)
        return self._held.pop((address, port))

    def free(self, address: str, port: int) -> None:
        held = self._held.pop((address, port), None)
        if held is not None:
            held.close()

    def close(self) -> None:
        for held in self._held.values():
            held.close()
        self._held.clear()

    def _hold(self, address: str, port: int) -> bool:
        made = socket.socket()
        try:
            made.bind((address, port))
        except OSError:
            made.close()
            return False
        self._held[address, port] = made
        return True


def addresses_of(service: Json) -> list[tuple[str, int, int]]:
    """Where a service is reached: address, port, and the pods' port behind it."""
    spec = service["spec"]
    found = []
    for port in spec["ports"]:
        found.append((str(spec["clusterIP"]), port["port"], port["targetPort"]))
        if "nodePort" in port:
            found.append((_ANYWHERE, port["nodePort"], port["targetPort"]))
    return found
