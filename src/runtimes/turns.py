"""Taking turns at containers and at the slots of a target, and finishing what a thread has begun."""

import asyncio
from collections import deque
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


@dataclass(kw_only=True)
class _Claims:
    """What one user has of the slots, and wants of them; `served` is when the user got one last, by count."""

    held: int = 0
    served: int = 0
    waiting: deque[asyncio.Future[None]] = field(default_factory=deque)


class Slots:
    """A number of slots for which users take turns, so that none of them waits for all that another one asked for.

    A free slot goes to the user who holds the fewest of them, and among those to the one who got none for the longest.
    A fifth of the slots, and at least one where there are several, is never taken by one user alone: starts may be
    slow, and who comes later must not wait for all of them.

    Args:
        number: of slots.
    """

    def __init__(self, number: int) -> None:
        self._number = self._free = 0
        self._most_of_one = 1
        self._served = 0
        self._claims: dict[UUID, _Claims] = {}
        self.resize(number)

    def resize(self, number: int) -> None:
        """Let there be more or fewer; those that are taken are not taken away."""
        self._free += number - self._number
        self._number = number
        self._most_of_one = max(1, number - max(1, number // 5))
        self._hand_out()

    @asynccontextmanager
    async def of(self, user_id: UUID) -> AsyncIterator[None]:
        """Wait for a slot and have it for the block."""
        ticket: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        claims = self._claims.setdefault(user_id, _Claims())
        claims.waiting.append(ticket)
        self._hand_out()
        try:
            await ticket
            yield
        finally:
            if ticket in claims.waiting:
                claims.waiting.remove(ticket)
            else:
                claims.held -= 1
                self._free += 1
            if not claims.held and not claims.waiting:
                del self._claims[user_id]
            self._hand_out()

    def _hand_out(self) -> None:
        while self._free > 0 and (claims := self._next()):
            self._served += 1
            claims.served = self._served
            claims.held += 1
            self._free -= 1
            ticket = claims.waiting.popleft()
            if not ticket.cancelled():  # else its owner is about to give the slot back
                ticket.set_result(None)

    def _next(self) -> _Claims | None:
        wanting = [each for each in self._claims.values() if each.waiting and each.held < self._most_of_one]
        return min(wanting, key=lambda each: (each.held, each.served), default=None)


async def uncut(work: Coroutine[Any, Any, T]) -> T:
    """Finish what a thread has begun even when the wait for it is cut short: a thread cannot be stopped."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        raise
