"""Begins the stream of events anew."""

import asyncio

from calipso.bus import STREAM, Bus
from calipso.bus.trouble import unavailable

_SHORTEST_WINDOW_SECONDS = 0.1


async def empty(bus: Bus) -> None:
    """Take every message out of the stream; its consumers stay, and its sequence goes on.

    Raises:
        Unavailable: NATS does not answer.
    """
    with unavailable():
        await bus.jetstream.purge_stream(STREAM)
        # the server still refuses ids of the last minutes as duplicates, and forgets them when they are too old
        config = (await bus.jetstream.stream_info(STREAM)).config
        usual = config.duplicate_window
        for config.duplicate_window in (_SHORTEST_WINDOW_SECONDS, usual):
            await bus.jetstream.update_stream(config)
            await asyncio.sleep(5 * _SHORTEST_WINDOW_SECONDS)
