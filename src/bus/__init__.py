"""NATS JetStream: the stream of events that other services follow, and the queues of the provisioners.

What a provisioner gives up lies in a stream of dead letters until an operator drops it, or lets the provisioner have it
once more through a stream of retries: the stream of events itself holds each event once, in order, and nothing else.
"""

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import nats
import nats.errors
import nats.js.errors
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.api import ConsumerConfig, RetentionPolicy, StreamConfig

from calipso.bus.access import Access
from calipso.bus.queue import Delivery, Queue
from calipso.bus.trouble import unavailable
from calipso.errors import CalipsoError, Unavailable

_log = structlog.get_logger()

STREAM = "CALIPSO"
DEAD_LETTERS = "CALIPSO_DEAD"
RETRIES = "CALIPSO_RETRY"
POSITION = "Calipso-Position"
PREFIX = "calipso.v1"
DEAD_PREFIX = "calipso.dead"
RETRY_PREFIX = "calipso.retry"

_EVENT_ID = "Nats-Msg-Id"
_WRONG_LAST_SEQUENCE = 10071
_ACK_SECONDS = 5.0
_FETCH_SECONDS = 5.0  # a fetch that waits across a restart of the server burns its whole time
_RECONNECT_SECONDS = 0.5
_PING_SECONDS = 4  # a connection that was lost silently would otherwise be trusted for four minutes
_ACK_WAIT_SECONDS = 30.0
_MAX_ACK_PENDING = 512  # more wait in the stream, not in the memory of a provisioner
_STREAMS = (
    StreamConfig(name=STREAM, subjects=[PREFIX]),
    StreamConfig(name=DEAD_LETTERS, subjects=[DEAD_PREFIX]),
    StreamConfig(name=RETRIES, subjects=[RETRY_PREFIX], retention=RetentionPolicy.WORK_QUEUE),
)


@dataclass(eq=False)
class OutOfSequence(CalipsoError):
    """Another relay has published, or an acknowledgement was lost: the stream's end must be read again."""

    def __str__(self) -> str:
        return "the stream has another last sequence than expected"


@dataclass(frozen=True, kw_only=True)
class Message:
    """One event on its way to the stream: `position` is its place in the store, `event_id` its identity."""

    subject: str
    event_id: str
    position: int
    payload: bytes


@dataclass(frozen=True, kw_only=True)
class Tail:
    """The end of the stream: its last sequence, and of its last message (None when it is empty) position and event."""

    sequence: int
    position: int | None
    event_id: str = ""


class Bus:
    """A connection to NATS that comes back by itself.

    Args:
        client: a connected client.
        facility: the facility's id, a token of every subject.

    `jetstream` is for this package alone.
    """

    def __init__(self, client: Client, facility: str) -> None:
        self._client = client
        self.jetstream: JetStreamContext = client.jetstream(timeout=_ACK_SECONDS)
        self.facility = facility

    @property
    def is_connected(self) -> bool:
        """Whether the server answers now."""
        return bool(self._client.is_connected)

    async def ensure_streams(self) -> None:
        """Make the streams where they are missing.

        Raises:
            Unavailable: NATS does not answer, or has no JetStream.
        """
        for stream in _STREAMS:
            subjects = [f"{prefix}.{self.facility}.>" for prefix in stream.subjects or ()]
            with unavailable(), contextlib.suppress(nats.js.errors.BadRequestError):
                await self.jetstream.add_stream(stream.evolve(subjects=subjects))

    async def tail(self) -> Tail:
        """Read the end of the stream; what somebody else has put there is passed over.

        Raises:
            Unavailable: NATS does not answer.
        """
        with unavailable():
            state = (await self.jetstream.stream_info(STREAM)).state
            for sequence in range(state.last_seq, state.first_seq - 1, -1) if state.messages else ():
                if (found := await self._event_at(sequence)) is not None:
                    return Tail(sequence=state.last_seq, position=found[0], event_id=found[1])
        return Tail(sequence=state.last_seq, position=None)

    async def _event_at(self, sequence: int) -> tuple[int, str] | None:
        try:
            headers = (await self.jetstream.get_msg(STREAM, seq=sequence)).headers or {}
        except nats.js.errors.NotFoundError:
            return None
        position = headers.get(POSITION, "")
        return (int(position), headers.get(_EVENT_ID, "")) if position.isdecimal() else None

    async def publish(self, messages: Sequence[Message], *, after: int) -> int:
        """Publish events in order behind sequence `after`; gives the sequence of the last.

        Raises:
            OutOfSequence: somebody else published, or an acknowledgement was lost.
            Unavailable: NATS does not answer.
        """
        with unavailable():
            # requests side by side keep their order on the wire; if not, the expected sequence would refuse them
            # (the client's own publish_async loses error answers, so that a wrong sequence would be a time-out)
            results = await asyncio.gather(
                *(self._publish(message, after + index) for index, message in enumerate(messages)),
                return_exceptions=True,
            )
            for result in results:
                _raise_publish_error(result)
        return after + len(messages)

    async def _publish(self, message: Message, expected: int) -> None:
        await self.jetstream.publish(
            message.subject,
            message.payload,
            timeout=_ACK_SECONDS,
            headers={
                _EVENT_ID: message.event_id,
                "Nats-Expected-Last-Sequence": str(expected),
                "Content-Type": "application/cloudevents+json",
                POSITION: str(message.position),
            },
        )

    async def deliveries(self, queue: Queue) -> AsyncIterator[Delivery]:
        """The messages of a queue, one after the other, for ever; outages are waited for."""
        config = ConsumerConfig(
            durable_name=queue.durable,
            filter_subjects=list(queue.subjects),
            ack_wait=_ACK_WAIT_SECONDS,
            max_ack_pending=_MAX_ACK_PENDING,
        )
        while True:
            try:
                await self.ensure_streams()
                with unavailable():
                    await self.jetstream.add_consumer(queue.stream, config=config)
                    subscription = await self.jetstream.pull_subscribe_bind(consumer=queue.durable, stream=queue.stream)
                while True:
                    for message in await _fetched(subscription):
                        yield Delivery(message, queue)
            except (Unavailable, nats.errors.Error) as error:
                if self._client.is_closed:
                    raise
                _log.warning("consumer waits for NATS", consumer=queue.durable, reason=repr(error))
                await asyncio.sleep(_RECONNECT_SECONDS)


async def _fetched(subscription: JetStreamContext.PullSubscription) -> Sequence[Msg]:
    messages: list[Msg] = []
    with unavailable(), contextlib.suppress(nats.errors.TimeoutError):
        messages = await subscription.fetch(1, timeout=_FETCH_SECONDS)
    return messages


@asynccontextmanager
async def connected(
    url: str, facility: str, *, name: str, patience: float = math.inf, access: Access | None = None
) -> AsyncIterator[Bus]:
    """A bus for the time of the block; once connected it comes back by itself, however long that takes.

    Args:
        url: where NATS answers.
        facility: the facility's id.
        name: what the server's own monitoring calls this connection.
        patience: seconds to wait for the server at first.
        access: how server and client know each other.

    Raises:
        Invalid: a file of the access cannot be used.
        Unavailable: the server did not answer in that time.
    """
    client, options = Client(), (access or Access()).options(url)
    try:
        async with asyncio.timeout(None if math.isinf(patience) else patience):
            await _connect(client, url, name, options)
    except TimeoutError as error:
        await client.close()
        raise Unavailable("NATS", f"it did not answer within {patience:g} s") from error
    try:
        yield Bus(client, facility)
    finally:
        await client.close()


async def _connect(client: Client, url: str, name: str, options: Mapping[str, Any]) -> None:
    async def told(error: Exception) -> None:
        _log.warning("NATS", name=name, reason=repr(error))

    while True:
        try:
            with unavailable():
                await client.connect(
                    url,
                    name=name,
                    max_reconnect_attempts=-1,
                    reconnect_time_wait=1,
                    connect_timeout=2,
                    ping_interval=_PING_SECONDS,
                    max_outstanding_pings=2,
                    error_cb=told,
                    **options,
                )
        except Unavailable as error:
            _log.warning("waiting for NATS", reason=error.reason)
        else:
            return
        await asyncio.sleep(_RECONNECT_SECONDS)


def _raise_publish_error(result: object) -> None:
    if isinstance(result, nats.js.errors.APIError) and result.err_code == _WRONG_LAST_SEQUENCE:
        raise OutOfSequence from result
    if isinstance(result, BaseException):
        raise result
