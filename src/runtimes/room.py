"""How much a target holds, and waiting until it holds less."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from calipso.errors import Unavailable
from calipso.events.container import State
from calipso.runtimes.protocol import ContainerRuntime, Target

_FULL_SECONDS = 1.0


class Holdings(Protocol):
    """What the record says that a target holds; may lag behind by moments.

    Every method raises `Unavailable` when nobody can tell.
    """

    def open_on(self, target: str) -> Mapping[UUID, State]:
        """The containers that want something done, or that run there, the oldest first."""

    def held_on(self, target: str) -> int:
        """The number of containers that take room there."""

    def stopped_on(self, target: str, *, before: datetime) -> Sequence[UUID]:
        """The containers that stopped there before a time, and that nobody has asked to remove."""


class Room:
    """The room of one target. Who waits for it stands in one line, so that it goes to users in turn, as the slots do.

    Args:
        target: says how many containers it holds at most.
        runtime: tells how many are there.
        holdings: tells whether that must be looked at.
        capacity_lock: keeps the provisioners of the target apart while they count.
    """

    def __init__(
        self,
        target: Target,
        runtime: ContainerRuntime,
        holdings: Holdings,
        capacity_lock: Callable[[], AbstractAsyncContextManager[Any]],
    ) -> None:
        self._target = target
        self._runtime = runtime
        self._holdings = holdings
        self._capacity_lock = capacity_lock
        self._line = asyncio.Lock()
        self._without: set[UUID] = set()

    @asynccontextmanager
    async def of(self, container_id: UUID) -> AsyncIterator[None]:
        """Wait until there is room, and let the block take it.

        Near the capacity, what is really there is counted, for one container after the other. A runtime that keeps
        nothing on its target has room without end.
        """
        if not self._runtime.keeps_containers or await self._has_plenty():
            yield
            return
        self._without.add(container_id)
        async with self._line:
            while True:
                async with self._capacity_lock():
                    if await self._count() < self._target.capacity:
                        self.forget(container_id)
                        yield
                        return
                await asyncio.sleep(_FULL_SECONDS)

    def lacks(self, container_id: UUID) -> bool:
        """Whether a container has waited for room, and found none."""
        return container_id in self._without

    def forget(self, container_id: UUID) -> None:
        """Take note that a container wants no room any more."""
        self._without.discard(container_id)

    async def _has_plenty(self) -> bool:
        held = await asyncio.to_thread(self._holdings.held_on, self._target.name)
        return held < self._target.capacity - 4 * self._target.starts

    async def _count(self) -> int:
        try:
            return len(await asyncio.to_thread(self._runtime.list))
        except Unavailable:
            return 0  # the start itself will tell that the target does not answer
