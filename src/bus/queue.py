"""What a provisioner takes from a stream: its queue, and the messages that come by it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from nats.aio.msg import Msg


@dataclass(frozen=True, kw_only=True)
class Queue:
    """What a provisioner takes from a stream: `durable` is the name under which the server knows how far it is."""

    durable: str
    stream: str
    subjects: tuple[str, ...]


class Delivery:
    """One message of a queue, to be settled exactly once."""

    def __init__(self, message: Msg, queue: Queue) -> None:
        self._message = message
        self.queue = queue

    def envelope(self) -> Mapping[str, Any]:
        """The CloudEvent that it carries.

        Raises:
            msgspec.DecodeError: it is not one.
        """
        return msgspec.json.decode(self._message.data, type=dict[str, Any])

    @property
    def attempts(self) -> int:
        """How often it was delivered, this time included."""
        return self._message.metadata.num_delivered

    @property
    def sequence(self) -> int:
        """Its place in the queue's stream."""
        return self._message.metadata.sequence.stream

    @property
    def raw(self) -> tuple[str, bytes]:
        """Subject and payload as they came."""
        return self._message.subject, self._message.data

    async def done(self) -> None:
        """It was dealt with."""
        await self._message.ack()

    async def again(self, delay: float) -> None:
        """Deliver it again after `delay` seconds."""
        await self._message.nak(delay=delay)

    async def working(self) -> None:
        """It is being dealt with: deliver it to nobody else yet."""
        await self._message.in_progress()

    async def given_up(self) -> None:
        """Never deliver it again."""
        await self._message.term()
