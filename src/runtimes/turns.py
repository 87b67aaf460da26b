"""Taking turns at containers and at the slots of a target, and finishing what a thread has begun."""

import asyncio
from collections import Counter, deque
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


class Slots:
    """A number of slots for which users take turns, so that none of them waits for all that another one asked for.

    A free slot goes to the user who holds the fewest of them, and among those to the one who has waited the longest.
    A fifth of the slots, and at least one where there are several, is never taken by one user alone: starts may be
    slow, and who comes later must not wait for all of them.

    Args:
        number: of slots.
    """

    def __init__(self, number: int) -> None:
        self._free = number
        self._most_of_one = max(1, number - max(1, number // 5))
        self._held: Counter[UUID] = Counter()
        self._waiting: dict[UUID, deque[asyncio.Future[None]]] = {}

    @asynccontextmanager
    async def of(self, user_id: UUID) -> AsyncIterator[None]:
        """Wait for a slot and have it for the block."""
        ticket: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(user_id, deque()).append(ticket)
        self._hand_out()
        try:
            await ticket
            yield
        finally:
            self._give_back(user_id, ticket)

    def _hand_out(self) -> None:
        while self._free and (user_id := self._next()):
            queue = self._waiting.pop(user_id)
            queue.popleft().set_result(None)
            if queue:
                self._waiting[user_id] = queue  # behind those who have waited longer
            self._held[user_id] += 1
            self._free -= 1

    def _next(self) -> UUID | None:
        allowed = [user_id for user_id in self._waiting if self._held[user_id] < self._most_of_one]
        return min(allowed, key=self._held.__getitem__, default=None)

    def _give_back(self, user_id: UUID, ticket: "asyncio.Future[None]") -> None:
        if ticket.done() and not ticket.cancelled():
            self._held[user_id] -= 1
            self._held += Counter()  # forgets those who hold none
            self._free += 1
            self._hand_out()
            return
        queue = self._waiting[user_id]
        queue.remove(ticket)
        if not queue:
            del self._waiting[user_id]


async def uncut(work: Coroutine[Any, Any, T]) -> T:
    """Finish what a thread has begun even when the wait for it is cut short: a thread cannot be stopped."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        raise
