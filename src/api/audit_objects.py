"""What auditors get, as JSON objects; the command line writes the same."""

from typing import Any
from uuid import UUID

import msgspec

from calipso.api.objects import Time
from calipso.events.envelope import Unreadable
from calipso.moments import format_time
from calipso.projections.audit.history import Entry


class EventObject(msgspec.Struct, kw_only=True):
    """An event; `cause` is the position of the event before it, null when it was a command.

    `data` are its fields, with personal ones as they were; `erased` names those of which nothing is left. An event that
    this program cannot read, because a newer one wrote it, has `readable` false and what can be told of it.
    """

    position: int
    id: UUID
    time: Time
    kind: str
    type: str
    stream: UUID
    version: int
    actor: str
    actor_name: str
    correlation_id: UUID
    causation_id: UUID
    cause: int | None
    sentence: str
    readable: bool
    erased: list[str]
    data: dict[str, Any]


class EventsPage(msgspec.Struct, kw_only=True):
    """A page of events; `next` is the absolute address of the next one, `upto` the position up to which was looked."""

    next: str | None
    upto: int
    results: list[EventObject]


def event_object(entry: Entry) -> EventObject:
    """The JSON object of an event."""
    recorded = entry.recorded
    _, kind, type_ = recorded.topic.split(".", 2) if recorded.topic.count(".") > 1 else ("", "", recorded.topic)
    event = recorded.event
    return EventObject(
        position=recorded.position,
        id=recorded.id,
        time=format_time(recorded.time),
        kind=kind,
        type=type_,
        stream=recorded.stream,
        version=recorded.version,
        actor=recorded.actor,
        actor_name=entry.actor,
        correlation_id=recorded.correlation_id,
        causation_id=recorded.causation_id,
        cause=entry.cause,
        sentence=entry.sentence,
        readable=not isinstance(event, Unreadable),
        erased=list(entry.erased),
        data=dict(event.data) if isinstance(event, Unreadable) else msgspec.to_builtins(event),
    )
