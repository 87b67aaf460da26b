"""What lies in the stream of events, as its subscribers would find it."""

from collections.abc import Sequence

import nats
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from nats.js.errors import NotFoundError

from calipso.bus import POSITION, STREAM

_BATCH = 500
_SECONDS = 5.0


async def positions_after(url: str, sequence: int) -> Sequence[int]:
    """The positions of the messages of the stream behind a sequence, in the stream's order.

    Raises:
        nats.errors.Error: the server does not answer.
    """
    client = await nats.connect(url, connect_timeout=2, allow_reconnect=False)
    try:
        jetstream = client.jetstream()
        try:
            last = (await jetstream.stream_info(STREAM)).state.last_seq
        except NotFoundError:
            return []
        if last <= sequence:
            return []
        config = ConsumerConfig(
            deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
            opt_start_seq=sequence + 1,
            ack_policy=AckPolicy.NONE,
            headers_only=True,
            inactive_threshold=_SECONDS,
        )
        subscription = await jetstream.pull_subscribe("", stream=STREAM, config=config)
        found: list[int] = []
        while len(found) < last - sequence:
            messages = await subscription.fetch(min(_BATCH, last - sequence - len(found)), timeout=_SECONDS)
            found += [int((message.headers or {})[POSITION]) for message in messages]
        return found
    finally:
        await client.close()
