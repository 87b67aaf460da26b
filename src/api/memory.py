"""What this process found out a moment ago, kept until it hears of a change that could concern it."""

import math
from collections.abc import Awaitable, Callable, Hashable
from time import monotonic
from typing import Any, Generic, TypeVar

from cachetools import TTLCache

from calipso.database import DEAF, HEARING

T = TypeVar("T")

_SILENCE_SECONDS = 3.0  # a connection on which nobody has answered for longer may be gone

Concerns = Callable[[str, str], bool]
"""Whether a ring of the database, by its channel and payload, may change what is kept."""


class Memory(Generic[T]):
    """Answers by their questions. Belongs to the running loop.

    All of it is forgotten at each ring that concerns it, and whenever a ring may have been missed; while none can be
    heard, nothing is kept or known. An answer is not kept either when a ring came while it was looked for.

    Args:
        concerns: which rings.
        size: the most answers to keep.
        seconds: the longest to keep one.

    `rings` is how often all was forgotten. What the `derived` keep follows from this, and is forgotten with it.
    """

    def __init__(self, concerns: Concerns, *, size: int, seconds: float) -> None:
        self._concerns = concerns
        self._kept: TTLCache[Hashable, T] = TTLCache(size, seconds)
        self._heard_until = -math.inf
        self.rings = 0
        self.derived: list[Memory[Any]] = []

    def hear(self, channel: str, payload: str) -> None:
        """Take note of what `Database.listen` gave."""
        if not channel:
            self._heard_until = -math.inf if payload == DEAF else monotonic() + _SILENCE_SECONDS
        if payload in (DEAF, HEARING) or self._concerns(channel, payload):
            self.forget()

    def forget(self) -> None:
        """Forget all, and what is being looked for now."""
        self.rings += 1
        self._kept.clear()
        for memory in self.derived:
            memory.forget()

    async def find(self, question: Hashable, look: Callable[[], Awaitable[T]]) -> T:
        """The answer that is kept, or that is looked for now; None is not kept.

        Args:
            question: equal for equal answers.
            look: finds the answer.
        """
        if (known := self.recall(question)) is not None:
            return known
        rings = self.rings
        found = await look()
        if found is not None:
            self.keep(question, found, rings)
        return found

    def recall(self, question: Hashable) -> T | None:
        """The answer that is kept, None when there is none."""
        return self._kept.get(question) if self._hears else None

    def keep(self, question: Hashable, found: T, rings: int) -> None:
        """Keep an answer, unless something was forgotten since `rings` was read, before it was looked for."""
        if self._hears and rings == self.rings:
            self._kept[question] = found

    @property
    def _hears(self) -> bool:
        return monotonic() < self._heard_until
