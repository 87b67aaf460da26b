"""A world in memory in a process of its own, in which the provisioners of all processes make containers.

python -m tests.scale.world SOCKET     # the key of the connection comes in CALIPSO_TEST_WORLD_KEY
"""

import os
import resource
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import timedelta
from multiprocessing.managers import BaseManager, IteratorProxy  # type: ignore[attr-defined]  # it is there
from pathlib import Path
from threading import Event
from typing import Any, ClassVar
from uuid import UUID

from calipso.runtimes.memory import MemoryRuntime, MemoryWorld
from calipso.runtimes.protocol import Observation, Order, Target

KEY = "CALIPSO_TEST_WORLD_KEY"


class CountingRuntime(MemoryRuntime):
    """Counts how often each container was made, and gives its news without an event that cannot be passed on."""

    made: ClassVar[Counter[UUID]] = Counter()

    def _keep(self, order: Order) -> Any:  # noqa: ANN401 - the world's own
        self.made[order.request.container_id] += 1
        return super()._keep(order)

    def news(self) -> Iterator[UUID]:
        """What `watch` gives, as long as the process lives."""
        return self.watch(Event())


class WorldManager(BaseManager):
    """The way between processes."""


_WORLD = MemoryWorld()


def _end_all() -> None:
    for kept in list(_WORLD.kept.values()):
        kept.process.end(0)


WorldManager.register("Iterator", proxytype=IteratorProxy, create_method=False)
WorldManager.register(
    "runtime",
    lambda target, installation: CountingRuntime(_WORLD, target, installation),
    exposed=["start", "observe", "list", "logs", "stop", "remove", "ping", "news"],
    method_to_typeid={"news": "Iterator"},
)
WorldManager.register("made", lambda: dict(CountingRuntime.made))
WorldManager.register("end_all", _end_all)
WorldManager.register("listed", lambda: [(k.order.name, k.process.exit_code) for k in _WORLD.kept.values()])


def connected(socket: Path | str) -> Any:  # noqa: ANN401 - its methods are registered
    """The world behind a socket."""
    manager = WorldManager(address=str(socket), authkey=os.environ[KEY].encode())
    manager.connect()
    return manager


class DistantRuntime:
    """The runtime of a target whose containers live in the process of the world."""

    keeps_containers = True

    def __init__(self, target: Target, installation: str) -> None:
        self._there = connected(target.address.removeprefix("unix://")).runtime(target, installation)

    def start(self, order: Order) -> Observation:
        """Make the container."""
        made: Observation = self._there.start(order)
        return made

    def observe(self, container_id: UUID) -> Observation | None:
        """Say what is there of one container."""
        found: Observation | None = self._there.observe(container_id)
        return found

    def list(self) -> Mapping[UUID, Observation]:
        """Say what is there of every container."""
        found: Mapping[UUID, Observation] = self._there.list()
        return found

    def logs(self, container_id: UUID, *, lines: int) -> tuple[str, ...]:
        """The log's last lines."""
        found: tuple[str, ...] = self._there.logs(container_id, lines=lines)
        return found

    def stop(self, container_id: UUID, *, grace: timedelta) -> None:
        """End the container's process."""
        self._there.stop(container_id, grace=grace)

    def remove(self, container_id: UUID) -> None:
        """Remove the container."""
        self._there.remove(container_id)

    def watch(self, ended: Event) -> Iterator[UUID]:
        """The containers that ended."""
        for container_id in self._there.news():
            if ended.is_set():
                return
            yield container_id

    def ping(self) -> str:
        """What this is."""
        told: str = self._there.ping()
        return told


class DistantWorld:
    """What the harness sees of the world, in the words of a Docker Engine.

    Args:
        socket: where the world answers.
    """

    def __init__(self, socket: Path) -> None:
        self.socket = socket

    def containers(self) -> list[dict[str, Any]]:
        """What is there, ended ones too."""
        listed = connected(self.socket).listed()._getvalue()
        return [{"Names": [f"/{name}"], "State": "running" if code is None else "exited"} for name, code in listed]

    def end_all(self) -> None:
        """Let every process end in good order, as if all users had signed out of their desktops."""
        connected(self.socket).end_all()

    def made(self) -> Mapping[UUID, int]:
        """How often each container was made."""
        made: Mapping[UUID, int] = connected(self.socket).made()._getvalue()
        return made


def main() -> None:
    """Serve the world until killed."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    manager = WorldManager(address=sys.argv[1], authkey=os.environ[KEY].encode())
    manager.get_server().serve_forever()


if __name__ == "__main__":
    main()
