"""What a runtime's own test must give the contract, and how the contract looks at a runtime."""

import asyncio
import threading
import time
from dataclasses import dataclass
from typing import Protocol as Interface
from uuid import UUID

from tests.conftest import PATIENCE
from tests.runtimes.orders import wait_until

from calipso.events.values import Identity, ImageSpec, Placement, Protocol, Resources
from calipso.runtimes.protocol import ContainerRuntime, Observation, Order, Status
from calipso.runtimes.readiness import wait_until_usable


@dataclass(frozen=True, kw_only=True)
class Reality:
    """What a container really is, looked at past the runtime.

    `account` is the name that programs inside find for their account; `secret` is the content of its secret file,
    `secret_reader` the only uid that can read it; `told` is everything that the target tells those who may look at its
    containers.
    """

    identity: Identity
    account: str
    resources: Resources
    workdir: str
    secret: str
    secret_reader: int
    told: str


class Binding(Interface):
    """What the contract needs of the world in which a runtime makes containers."""

    slack: float
    """Seconds that the target may take beyond the grace to end a process by force."""

    def runtime(self, target: str = "here", installation: str = "ours") -> ContainerRuntime:
        """The view of one installation on one target; all targets are the same place in truth."""

    def away(self) -> ContainerRuntime:
        """A runtime whose target does not answer."""

    def image(self, name: str, protocol: Protocol = Protocol.HTTP, *, logs_er: str = "") -> ImageSpec:
        """One of: tiny, vnc, slow, crash (3), crashlater (7), exit0later, token, silent, stubborn, missing."""

    def kill(self, name: str) -> None:
        """End a container's process from outside, by force."""

    def lose(self, name: str) -> None:
        """Remove a container past the runtime."""

    def occupy(self, name: str) -> None:
        """Let a stranger have a container of this name."""

    def is_occupied(self, name: str) -> bool:
        """Whether the stranger's container is there, and runs."""

    def reality(self, name: str) -> Reality:
        """What a container really is."""

    def can_write(self, name: str, folder: str) -> bool:
        """Whether a container's account can write in a folder; fails when the folder is not there."""


def usable(runtime: ContainerRuntime, wanted: Order, seconds: float = PATIENCE) -> Placement:
    """Start a container and wait until it is usable."""
    return wait(runtime, wanted, runtime.start(wanted), seconds)


def wait(runtime: ContainerRuntime, wanted: Order, seen: Observation, seconds: float = PATIENCE) -> Placement:
    async def limited() -> Placement:
        async with asyncio.timeout(seconds):
            return await wait_until_usable(runtime, wanted, seen)

    return asyncio.run(limited())


def exited(runtime: ContainerRuntime, wanted: Order) -> Observation:
    """Wait for the end of a container's process."""

    def has_exited() -> bool:
        seen = runtime.observe(wanted.request.container_id)
        return seen is not None and seen.status is Status.EXITED

    wait_until(has_exited)
    seen = runtime.observe(wanted.request.container_id)
    assert seen is not None
    return seen


class Ear:
    """Hears in a thread what a runtime tells."""

    def __init__(self, runtime: ContainerRuntime) -> None:
        self.heard: list[UUID] = []
        self.ended = threading.Event()
        self._runtime = runtime
        self._thread = threading.Thread(target=self._listen)
        self._thread.start()

    def _listen(self) -> None:
        for container_id in self._runtime.watch(self.ended):
            self.heard.append(container_id)

    def close(self) -> float:
        """The seconds that it took to end."""
        begin = time.monotonic()
        self.ended.set()
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()
        return time.monotonic() - begin
