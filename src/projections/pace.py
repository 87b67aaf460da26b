"""Keeps those who follow one log near each other while there is much to catch up: what is read is decoded once."""

import asyncio
import contextlib

_PATIENCE_SECONDS = 1.0  # whoever is behind may be in trouble, which is to hinder nobody


class Pace:
    """How far the followers of a log are, and a wait for those who are ahead.

    Args:
        lead: by how many positions one may be ahead of another.
    """

    def __init__(self, lead: int) -> None:
        self._lead = lead
        self._positions: dict[object, int] = {}
        self._changed = asyncio.Condition()

    async def keep(self, who: object, position: int | None) -> None:
        """Tell how far one is, None when it has nothing more to apply; waits a moment if it is far ahead."""
        async with self._changed:
            self._positions.pop(who, None)
            if position is not None:
                self._positions[who] = position
            self._changed.notify_all()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_PATIENCE_SECONDS):
                    await self._changed.wait_for(lambda: not self._is_far_ahead(position))

    def _is_far_ahead(self, position: int | None) -> bool:
        return position is not None and position - min(self._positions.values()) > self._lead
