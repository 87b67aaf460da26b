"""Binds the relay, and what else is asked of the stream on the bus."""

from calipso.backend import Backend
from calipso.errors import Unavailable
from calipso.relay import Relay
from calipso.relay import republish as renew_stream

_PATIENCE_SECONDS = 5.0  # of commands, for the bus


async def relay(backend: Backend) -> None:
    """Relay events to the bus, for ever."""
    async with backend.bus("calipso relay") as connected:
        await Relay(backend.database, backend.public_store, connected, backend.parts).run()


async def republish(backend: Backend) -> None:
    """Empty the stream on the bus, and let the relay publish every event again.

    Raises:
        Conflict: a relay is publishing.
        Unavailable: the bus does not answer.
    """
    async with backend.bus("calipso republish", patience=_PATIENCE_SECONDS) as found:
        await renew_stream(backend.database, found, backend.parts)


async def stream_position(backend: Backend) -> int | None:
    """The position of the last event on the bus, 0 when there is none; None when the bus does not answer."""
    try:
        async with backend.bus("calipso restore", patience=_PATIENCE_SECONDS) as found:
            await found.ensure_streams()
            return (await found.tail()).position or 0
    except Unavailable:
        return None
