"""Messages that were given up: nobody else was hindered by them, and an operator says what becomes of them."""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

import msgspec
import nats.js.errors
from nats.js.api import RawStreamMsg

from calipso.bus import DEAD_LETTERS, DEAD_PREFIX, POSITION, RETRY_PREFIX, Bus
from calipso.bus.queue import Delivery
from calipso.bus.trouble import unavailable
from calipso.errors import NotFound

_REASON = "Calipso-Reason"
_TRIES = "Calipso-Tries"
_QUEUE = "Calipso-Queue"
_REASON_LIMIT = 500


@dataclass(frozen=True, kw_only=True)
class DeadLetter:
    """A message that was given up.

    `number` names it, `subject` is where it lies, `queue` is whose it was, `tries` how often it was delivered, `reason`
    why it was given up, `time` (UTC) when; `position` is its event's, and `container_id` whose event it is: both None
    where it is no event of ours.
    """

    number: int
    subject: str
    queue: str
    tries: int
    reason: str
    time: datetime
    position: int | None
    container_id: UUID | None
    payload: bytes


class DeadLetters:
    """The dead letters of a facility.

    Every method raises `Unavailable` when NATS does not answer.

    Args:
        bus: a connection.
    """

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._jetstream = bus.jetstream

    async def bury(self, delivery: Delivery, reason: str) -> None:
        """Put a message among the dead letters; of one that is buried twice within moments one is kept."""
        subject, payload = delivery.raw
        headers = {
            "Nats-Msg-Id": f"{delivery.queue.durable}/{delivery.sequence}",
            _REASON: _one_line(reason),
            _TRIES: str(delivery.attempts),
            _QUEUE: delivery.queue.durable,
        }
        with unavailable():
            await self._jetstream.publish(f"{DEAD_PREFIX}.{_tokens(subject)}", payload, headers=headers)

    async def number(self) -> int:
        """How many there are."""
        with unavailable():
            try:
                return (await self._jetstream.stream_info(DEAD_LETTERS)).state.messages
            except nats.js.errors.NotFoundError:
                return 0

    async def read(self, *, after: int = 0, limit: int = 100) -> Sequence[DeadLetter]:
        """At most `limit` of them with a number above `after`, the oldest first."""
        found: list[DeadLetter] = []
        with unavailable(), contextlib.suppress(nats.js.errors.NotFoundError):
            while len(found) < limit:
                # the next one at or behind this place
                message = await self._jetstream.get_msg(DEAD_LETTERS, seq=after + 1, subject=">", next=True)
                found.append(_letter(message))
                after = found[-1].number
        return found

    async def retry(self, number: int) -> None:
        """Let the provisioner have a message once more; given up again, it comes back under another number.

        Raises:
            NotFound: there is none of this number.
        """
        message = await self._get(number)
        subject = f"{RETRY_PREFIX}.{_tokens(message.subject or '')}"
        with unavailable():
            await self._jetstream.publish(subject, message.data or b"", headers=_without_ours(message.headers))
        await self.drop(number)

    async def drop(self, number: int) -> None:
        """Forget a message.

        Raises:
            NotFound: there is none of this number.
        """
        await self._get(number)
        with unavailable(), contextlib.suppress(nats.js.errors.NotFoundError):
            await self._jetstream.delete_msg(DEAD_LETTERS, number)

    async def _get(self, number: int) -> RawStreamMsg:
        with unavailable():
            try:
                return await self._jetstream.get_msg(DEAD_LETTERS, seq=number)
            except nats.js.errors.NotFoundError:
                raise NotFound("dead letter", str(number)) from None


def _letter(message: RawStreamMsg) -> DeadLetter:
    headers, payload = message.headers or {}, message.data or b""
    position, container_id = _event_of(payload)
    return DeadLetter(
        number=message.seq or 0,
        subject=message.subject or "",
        queue=headers.get(_QUEUE, ""),
        tries=int(headers.get(_TRIES, "0")),
        reason=headers.get(_REASON, ""),
        time=(message.time or datetime.now(UTC)).astimezone(UTC),
        position=position,
        container_id=container_id,
        payload=payload,
    )


def _event_of(payload: bytes) -> tuple[int | None, UUID | None]:
    """Position and container of a message, as far as it is an event of ours."""
    try:
        envelope = msgspec.json.decode(payload)
        return int(envelope["position"]), UUID(envelope["data"]["container_id"])
    except (msgspec.DecodeError, LookupError, TypeError, ValueError, AttributeError):
        return None, None


def _tokens(subject: str) -> str:
    """What of a subject follows its prefix of two words."""
    return subject.split(".", 2)[2]


def _without_ours(headers: dict[str, str] | None) -> dict[str, str]:
    return {name: value for name, value in (headers or {}).items() if name == POSITION}


def _one_line(text: str) -> str:
    """A text that a header can hold."""
    return " ".join(text.split())[:_REASON_LIMIT].encode("ascii", "backslashreplace").decode()
