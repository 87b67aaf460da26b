"""What many requests want to know at one time is asked for by one question."""

import asyncio
from collections import ChainMap
from collections.abc import Awaitable, Callable, Hashable, Mapping
from typing import Generic, TypeVar

from calipso.errors import Unavailable

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Together(Generic[K, V]):
    """Asks one question at a time: what is wanted while one is asked is in the next. Belongs to the running loop.

    So an answer is never older than the wish for it, and however many are served at once, no more than one thread is
    busy with it. What is wrong with one key is told to those alone who wish for it.

    Args:
        ask: finds what there is for each of some keys.
    """

    def __init__(self, ask: Callable[[frozenset[K]], Awaitable[Mapping[K, V]]]) -> None:
        self._ask = ask
        self._turn = asyncio.Lock()
        self._wanted: set[K] = set()
        self._coming: asyncio.Task[Mapping[K, V | Exception]] | None = None

    async def find(self, key: K) -> V | None:
        """What there is for a key, None when there is nothing.

        Raises:
            Unavailable: nobody answers.
            Exception: what the question raised for this key.
        """
        self._wanted.add(key)
        if self._coming is None:
            self._coming = asyncio.create_task(self._find())
        # who goes away does not end the question of the others
        answer = (await asyncio.shield(self._coming)).get(key)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def _find(self) -> Mapping[K, V | Exception]:
        async with self._turn:
            wanted, self._wanted, self._coming = frozenset(self._wanted), set(), None
            return await self._answers(wanted)

    async def _answers(self, wanted: frozenset[K]) -> Mapping[K, V | Exception]:
        try:
            return await self._ask(wanted)
        except Unavailable:
            raise
        except Exception as error:  # noqa: BLE001 - it is told to those whose key it is
            if len(wanted) == 1:
                return dict.fromkeys(wanted, error)
        return dict(ChainMap(*[dict(await self._answers(frozenset({key}))) for key in wanted]))
