"""What every event has: a topic that never changes, a place in a stream, and who caused it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from functools import cache
from typing import Any, ClassVar, Protocol
from uuid import UUID

from calipso.errors import UnreadableEvent

PERSONAL = "personal"
PRIVATE = "private"
PLAIN = "plain"

EVENT_TYPES: dict[str, type["Event"]] = {}


@dataclass(frozen=True, kw_only=True)
class Event:
    """A fact. Subclasses are frozen dataclasses that name their `kind` and may raise `schema_version`.

    A class whose meaning changes raises `schema_version` and adds a static method `upcast_v<n>` that takes the stored
    fields of version n and returns those of n + 1.
    """

    kind: ClassVar[str]
    schema_version: ClassVar[int] = 1

    def __init_subclass__(cls, *, is_base: bool = False) -> None:
        """Register the event's topic, unless the class is only what the events of one stream have in common."""
        super().__init_subclass__()
        if is_base:
            return
        if (topic := cls.topic()) in EVENT_TYPES:
            message = f"two event types have the topic {topic}"
            raise TypeError(message)
        EVENT_TYPES[topic] = cls

    @classmethod
    def topic(cls) -> str:
        """The stable name under which the event is stored, whatever module its class lives in."""
        return f"calipso.{cls.kind}.{cls.__name__}"

    @property
    def stream(self) -> UUID:
        """The key of the stream that the event belongs to."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class Unreadable(Event, is_base=True):
    """Stands for an event that this program cannot read, most often because a newer one wrote it.

    `stored_topic` is its topic, `reason` says why it cannot be read, `data` is what it holds, personal fields aside.
    """

    kind: ClassVar[str] = "unreadable"
    stored_topic: str
    reason: str
    data: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """An event as the store keeps it.

    `position` orders all events of the store; `time` (UTC) was given under the append lock and never goes back;
    `actor` is a user's uuid or a service name; `correlation_id` is the request, `causation_id` the command or event
    that came before.
    """

    id: UUID
    stream: UUID
    version: int
    position: int
    time: datetime
    actor: str
    correlation_id: UUID
    causation_id: UUID
    event: Event

    @property
    def topic(self) -> str:
        """The topic under which the event is stored, also of one that this program cannot read."""
        return self.event.stored_topic if isinstance(self.event, Unreadable) else self.event.topic()


@dataclass(frozen=True, kw_only=True)
class Page:
    """Events after a position: those of the topics asked for, and how far the store was read."""

    events: Sequence[Recorded]
    last: int


def readable(page: Page) -> Page:
    """A page up to the first event that this program cannot read: nobody passes over it unknowingly.

    Raises:
        UnreadableEvent: it is the first of all.
    """
    for place, recorded in enumerate(page.events):
        if isinstance(recorded.event, Unreadable):
            if not place:
                raise UnreadableEvent(recorded.position, str(recorded.id), recorded.event.reason)
            return Page(events=page.events[:place], last=page.events[place - 1].position)
    return page


class EventLog(Protocol):
    """The part of the event store that followers read."""

    def read(self, *, after: int, limit: int, topics: frozenset[str] | None = None, is_tolerant: bool = False) -> Page:
        """At most `limit` events after a position, in order; of these only the wanted topics are given.

        Args:
            after: the position.
            limit: how many to read.
            topics: those wanted, None for all.
            is_tolerant: whether an event that this program cannot read comes as `Unreadable`, and is no error.

        Raises:
            UnreadableEvent: one that is wanted is of a newer program.
            ValueError: one that is wanted is no event of its topic.
        """


class History(Protocol):
    """The part of the event store that those read who look back."""

    def at(self, positions: Sequence[int]) -> Sequence[Recorded]:
        """The events at these positions, in order; `Unreadable` in the place of those that cannot be read."""

    def position_at(self, time: datetime) -> int:
        """The last position whose time is at most `time`, 0 if there is none."""


def personal(subject: str, *, erased: Any = "", default: Any = ...) -> Any:  # noqa: ANN401 - stands for a field of any type
    """Declare a field of personal data: stored only encrypted under the key of a subject, never published.

    Args:
        subject: the name of the event's field that holds the subject's uuid.
        erased: what the field reads as once the subject's key is gone.
        default: the field's default, if it has one.
    """
    metadata = {PERSONAL: subject, "erased": erased}
    return field(metadata=metadata) if default is ... else field(default=default, metadata=metadata)


def private(*, default: Any = ...) -> Any:  # noqa: ANN401 - stands for a field of any type
    """Declare a field that is stored as it is but never published, such as an address."""
    return field(metadata={PRIVATE: True}) if default is ... else field(default=default, metadata={PRIVATE: True})


def formerly_plain(data: dict[str, Any], *names: str) -> dict[str, Any]:
    """The stored fields of an older version in which these were no personal fields yet; for an upcast.

    They read like the sealed ones: not at all once the subject's key is gone.
    """
    return data | {name: {PLAIN: data[name]} for name in names}


@cache
def personal_fields(topic: str) -> dict[str, str]:
    """The personal fields of an event type, each with the name of the field that holds its subject."""
    return {f.name: f.metadata[PERSONAL] for f in fields(EVENT_TYPES[topic]) if PERSONAL in f.metadata}


@cache
def erased_values(topic: str) -> dict[str, Any]:
    """What the personal fields of an event type read as after an erasure."""
    return {f.name: f.metadata["erased"] for f in fields(EVENT_TYPES[topic]) if PERSONAL in f.metadata}


@cache
def public_fields(topic: str) -> tuple[str, ...]:
    """The fields of an event type that other services may see."""
    return tuple(f.name for f in fields(EVENT_TYPES[topic]) if PERSONAL not in f.metadata and PRIVATE not in f.metadata)
