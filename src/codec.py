"""Events as they are stored and as they are published: JSON, personal fields sealed, old versions upcast."""

import contextlib
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import msgspec

from calipso.events.envelope import EVENT_TYPES, PLAIN, Event, Unreadable, erased_values, personal_fields, public_fields
from calipso.events.naming import parse_uuid
from calipso.vault import Sealer, SubjectKeys

_NOBODY = UUID(int=0)


class _Box(msgspec.Struct, frozen=True):
    """The stored form of a personal field; nothing is in it when its subject's key was gone already."""

    sealed: str


class _Body(msgspec.Struct, frozen=True, kw_only=True):
    """The stored form of an event, beside what the store's columns say."""

    actor: str
    correlation: UUID
    causation: UUID
    schema: int
    data: dict[str, Any]


class _Data(msgspec.Struct, frozen=True):
    """The part of it that tells of whom an event is."""

    data: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Decoded:
    """A stored event read back."""

    actor: str
    correlation_id: UUID
    causation_id: UUID
    event: Event


@dataclass(frozen=True)
class Codec:
    """Turns events into bytes and back.

    Args:
        subject_keys: where the keys of the subjects of personal data are.
    """

    subject_keys: SubjectKeys

    def encode(self, event: Event, *, actor: str, correlation_id: UUID, causation_id: UUID) -> bytes:
        """The stored form of an event; makes the keys of its subjects where there never were any."""
        topic, data = event.topic(), dict(vars(event))
        sealers: dict[str, Sealer | None] = {}
        for name, subject_field in personal_fields(topic).items():
            if subject_field not in sealers:
                sealers[subject_field] = _sealer(self.subject_keys.make(getattr(event, subject_field)))
            sealer = sealers[subject_field]
            data[name] = _Box(sealer.seal(f"{topic}.{name}", data[name]) if sealer else "")
        body = _Body(
            actor=actor, correlation=correlation_id, causation=causation_id, schema=event.schema_version, data=data
        )
        return msgspec.json.encode(body)

    def look_ahead(self, stored: Iterable[tuple[str, bytes]]) -> None:
        """Fetch together what the decoding of these topics and stored forms will ask for."""
        fields = ((state, set(personal_fields(topic).values())) for topic, state in stored if topic in EVENT_TYPES)
        self.subject_keys.look_up({subject for state, names in fields if names for subject in _subjects(state, names)})

    def decode(self, topic: str, state: bytes) -> Decoded:
        """Read a stored event; personal fields whose key is gone get the value declared for that.

        Raises:
            LookupError: this program does not know the topic, or not the version (it is older than the event).
            ValueError: the bytes are not an event of this topic.
        """
        try:
            event_type = EVENT_TYPES[topic]
        except KeyError:
            message = f"unknown event type {topic}: written by a newer version of the program?"
            raise LookupError(message) from None
        body = msgspec.json.decode(state, type=_Body)
        data = upcast(event_type, body.schema, body.data)
        event = msgspec.convert(self._open(event_type, data), type=event_type)
        return Decoded(actor=body.actor, correlation_id=body.correlation, causation_id=body.causation, event=event)

    def decode_anyway(self, topic: str, state: bytes) -> Decoded:
        """Read a stored event; gives `Unreadable` in the place of one that cannot be read."""
        try:
            return self.decode(topic, state)
        except (LookupError, ValueError) as error:
            return _unreadable(topic, state, str(error.args[0]) if error.args else repr(error))

    def _open(self, event_type: type[Event], data: dict[str, Any]) -> dict[str, Any]:
        topic = event_type.topic()
        sealers: dict[str, Sealer | None] = {}
        for name, subject_field in personal_fields(topic).items():
            if name not in data:
                continue
            if subject_field not in sealers:
                subject = msgspec.convert(data.get(subject_field), type=UUID)
                sealers[subject_field] = _sealer(self.subject_keys.of(subject))
            sealer = sealers[subject_field]
            data[name] = _opened(sealer, f"{topic}.{name}", data[name]) if sealer else erased_values(topic)[name]
        return data


def _subjects(state: bytes, names: Collection[str]) -> Iterator[UUID]:
    """The ids in these fields; none of what will be found to be no event."""
    with contextlib.suppress(ValueError):
        data = msgspec.json.decode(state, type=_Data).data
        yield from (subject for name in names if (subject := parse_uuid(str(data.get(name)))))


def _sealer(key: bytes | None) -> Sealer | None:
    return None if key is None else Sealer(key)


def _opened(sealer: Sealer, context: str, stored: Any) -> Any:  # noqa: ANN401 - a stored field of any type
    if isinstance(stored, dict) and PLAIN in stored:
        return stored[PLAIN]
    return sealer.unseal(context, msgspec.convert(stored, type=_Box).sealed)


def _unreadable(topic: str, state: bytes, reason: str) -> Decoded:
    try:
        body = msgspec.json.decode(state, type=_Body)
    except ValueError:
        body = _Body(actor="", correlation=_NOBODY, causation=_NOBODY, schema=0, data={})
    plain = {name: value for name, value in body.data.items() if not _is_box(value)}
    event = Unreadable(stored_topic=topic, reason=reason, data=plain)
    return Decoded(actor=body.actor, correlation_id=body.correlation, causation_id=body.causation, event=event)


def _is_box(value: object) -> bool:
    return isinstance(value, dict) and value.keys() == {"sealed"}


def upcast(event_type: type[Event], version: int, data: dict[str, Any]) -> dict[str, Any]:
    """Bring stored fields of an older schema version to the newest, one step after the other.

    Raises:
        LookupError: the stored version is newer than this program.
    """
    if version > event_type.schema_version:
        message = f"{event_type.topic()} version {version} is newer than this program's {event_type.schema_version}"
        raise LookupError(message)
    for old in range(version, event_type.schema_version):
        step: Callable[[dict[str, Any]], dict[str, Any]] = getattr(event_type, f"upcast_v{old}")
        data = step(data)
    return data


def public_data(event: Event) -> dict[str, Any]:
    """The fields of an event that other services may see, as JSON values."""
    data = msgspec.to_builtins(event)
    return {name: data[name] for name in public_fields(event.topic())}


def personal_data(event: Event) -> dict[str, Any]:
    """The personal fields of an event, as JSON values; for their subject only."""
    data = msgspec.to_builtins(event)
    return {name: data[name] for name in personal_fields(event.topic())}
