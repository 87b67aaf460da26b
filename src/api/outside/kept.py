"""What another service tells seldom anew: asked for once by all who need it, and kept for a while."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")

_KEPT_SECONDS = 3600.0
_AGAIN_SECONDS = 30.0


class Kept(Generic[T]):
    """A value of another service, kept for an hour. A failure is kept by nobody, but told to all who wait for it.

    Args:
        load: asks the other service.
        clock: gives seconds.
    """

    def __init__(self, load: Callable[[], Awaitable[T]], *, clock: Callable[[], float] = time.monotonic) -> None:
        self._load = load
        self._clock = clock
        self._found: tuple[T, float] | None = None
        self._loading: asyncio.Task[T] | None = None
        self._again_at = clock()

    async def get(self) -> T:
        """The value, as it was within the hour.

        Raises:
            CalipsoError: the other service does not tell it.
        """
        if self._found and self._clock() < self._found[1]:
            return self._found[0]
        if self._loading is None or self._loading.done():
            self._loading = asyncio.create_task(self._renew())
        # one who goes away takes nothing from the others
        return await asyncio.shield(self._loading)

    async def renew(self) -> T:
        """The value as it is now; as it was within half a minute when this is asked for more often.

        Raises:
            CalipsoError: the other service does not tell it.
        """
        if self._clock() >= self._again_at:
            self._again_at = self._clock() + _AGAIN_SECONDS
            self._found = None
        return await self.get()

    async def _renew(self) -> T:
        value = await self._load()
        self._found = value, self._clock() + _KEPT_SECONDS
        return value
