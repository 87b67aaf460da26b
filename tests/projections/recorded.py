"""Stores with events that no command was needed for."""

from uuid import uuid4

from calipso.codec import Codec
from calipso.commands.store import Cause
from calipso.events.envelope import Event
from calipso.store_memory import MemoryStore
from calipso.vault import MemorySubjectKeys


def stored(*events: Event, actor: str = "service:test") -> MemoryStore:
    """A store with these events at positions 1, 2, ..., each of a request of its own."""
    made = MemoryStore(Codec(MemorySubjectKeys()))
    for event in events:
        append(made, event, actor=actor)
    return made


def append(store: MemoryStore, *events: Event, actor: str = "service:test") -> None:
    """Store events of one request."""
    command_id = uuid4()
    cause = Cause(command_id=command_id, actor=actor, correlation_id=command_id, causation_id=command_id)
    store.append(events, expected={}, cause=cause)
