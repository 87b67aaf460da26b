"""What many requests want to know at one time is asked for by one question."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Mapping
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Together(Generic[K, V]):
    """Asks one question at a time: what is wanted while one is asked is in the next. Belongs to the running loop.

    So an answer is never older than the wish for it, and however many are served at once, no more than one thread is
    busy with it.

    Args:
        ask: finds what there is for each of some keys.
    """

    def __init__(self, ask: Callable[[frozenset[K]], Awaitable[Mapping[K, V]]]) -> None:
        self._ask = ask
        self._turn = asyncio.Lock()
        self._wanted: set[K] = set()
        self._coming: asyncio.Task[Mapping[K, V]] | None = None

    async def find(self, key: K) -> V | None:
        """What there is for a key, None when there is nothing.

        Raises:
            Exception: what the question raised, to all who are in it.
        """
        self._wanted.add(key)
        if self._coming is None:
            self._coming = asyncio.create_task(self._find())
        # who goes away does not end the question of the others
        return (await asyncio.shield(self._coming)).get(key)

    async def _find(self) -> Mapping[K, V]:
        async with self._turn:
            wanted, self._wanted, self._coming = frozenset(self._wanted), set(), None
            return await self._ask(wanted)
