"""Taking turns at containers, and finishing what a thread has begun."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar
from uuid import UUID

T = TypeVar("T")


@dataclass(kw_only=True)
class _Turn:
    """The queue for one container; `takers` counts those in it, the waiting ones too."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    takers: int = 0


class Turns:
    """Lets those who want something of one container take turns; different containers do not wait for each other."""

    def __init__(self) -> None:
        self._turns: dict[UUID, _Turn] = {}

    def is_taken(self, container_id: UUID) -> bool:
        """Whether anybody has or awaits a turn."""
        return container_id in self._turns

    @asynccontextmanager
    async def of(self, container_id: UUID) -> AsyncIterator[None]:
        """Wait for a turn and have it for the block."""
        turn = self._turns.setdefault(container_id, _Turn())
        turn.takers += 1
        try:
            async with turn.lock:
                yield
        finally:
            turn.takers -= 1
            if not turn.takers:
                del self._turns[container_id]


async def uncut(work: Coroutine[Any, Any, T]) -> T:
    """Finish what a thread has begun even when the wait for it is cut short: a thread cannot be stopped."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        raise
