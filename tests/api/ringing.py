"""Waiting for what another process, as it were, hears of from the database."""

import asyncio
import time
from collections.abc import Awaitable, Callable

HEARD_WITHIN_SECONDS = 20
"""Sooner than what is remembered would be forgotten without a ring."""


async def heard_of(condition: Callable[[], Awaitable[bool]], what: str) -> None:
    """Wait for what follows from a ring."""
    deadline = time.monotonic() + HEARD_WITHIN_SECONDS
    while not await condition():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        await asyncio.sleep(0.02)
