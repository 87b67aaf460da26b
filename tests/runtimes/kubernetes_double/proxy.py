"""Makes the addresses of services lead to the pods behind them, as kube-proxy does."""

import asyncio
import contextlib

from tests.runtimes.kubernetes_double.addresses import Addresses, addresses_of
from tests.runtimes.kubernetes_double.resources import PODS, SERVICES, selected_by
from tests.runtimes.kubernetes_double.status import Json
from tests.runtimes.kubernetes_double.store import Change, Store
from tests.runtimes.kubernetes_double.tiny import Greeting, Process

Address = tuple[str, int]


class ServiceProxy:
    """Listens at the addresses of services whose pods listen.

    Args:
        store: the services and pods.
        addresses: where their sockets are held.
        processes: the running containers, by the uid of their pod.
    """

    def __init__(self, store: Store, addresses: Addresses, processes: dict[str, Process]) -> None:
        self._store = store
        self._addresses = addresses
        self._processes = processes
        self._servers: dict[Address, asyncio.Server] = {}
        self._writers: dict[Address, set[asyncio.StreamWriter]] = {}
        self._wanted = asyncio.Event()

    def hear(self, change: Change) -> None:
        """Look at everything again, and give back the addresses of a service that went."""
        if change.resource is SERVICES and change.is_end:
            for address, port, _ in addresses_of(change.after):
                self._close((address, port))
                self._addresses.free(address, port)
        if change.resource in {SERVICES, PODS}:
            self.look()

    def look(self) -> None:
        self._wanted.set()

    async def run(self) -> None:
        while await self._wanted.wait():
            self._wanted.clear()
            wanted = {key: greeting for _, found in self._services() for key, greeting in self._leading(found)}
            for address in self._servers.keys() - wanted.keys():
                self._close(address)
            for address in wanted.keys() - self._servers.keys():
                await self._open(address, wanted[address])

    def close(self) -> None:
        for address in list(self._servers):
            self._close(address)

    def _services(self) -> list[tuple[str, Json]]:
        return [(found["metadata"]["name"], found) for of, found in self._store.everything() if of is SERVICES]

    def _leading(self, service: Json) -> list[tuple[Address, Greeting]]:
        """Where a service is reached, and what answers there."""
        matches = selected_by(service["spec"].get("selector") or {})
        pods = [pod for pod in self._store.items(PODS, service["metadata"]["namespace"]) if matches(pod)]
        running = [self._processes[p["metadata"]["uid"]] for p in pods if p["metadata"]["uid"] in self._processes]
        return [
            ((address, port), process.ports[target])
            for address, port, target in addresses_of(service)
            for process in running
            if target in process.ports
        ]

    async def _open(self, address: Address, greeting: Greeting) -> None:
        writers = self._writers[address] = set()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writers.add(writer)
            # who connects may go as they like
            with contextlib.suppress(OSError):
                await greeting(reader, writer)
            writer.close()
            writers.discard(writer)

        self._servers[address] = await asyncio.start_server(serve, sock=self._addresses.take(*address))

    def _close(self, address: Address) -> None:
        server = self._servers.pop(address, None)
        if server is not None:
            server.close()
            for writer in self._writers.pop(address):
                writer.transport.abort()
