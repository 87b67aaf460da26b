"""What is published is what the documents say, for every event that there is."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar
from uuid import UUID, uuid4

import jsonschema  # type: ignore[import-untyped]
import msgspec
import pytest
from tests.builders import record
from tests.events.samples import SAMPLES

from calipso.events import envelope
from calipso.events.envelope import EVENT_TYPES, Event, personal, personal_fields, private
from calipso.published import asyncapi, examples, schemas
from calipso.relay import to_message

FACILITY = "fac"
Document = Mapping[str, Any]


FORMATS = jsonschema.FormatChecker(formats=["uuid"])


@FORMATS.checks("date-time", raises=ValueError)  # type: ignore[untyped-decorator]
def _is_time(instance: object) -> bool:
    return not isinstance(instance, str) or datetime.fromisoformat(instance).tzinfo is not None


def check(schema: Document, instance: object) -> None:
    """Raise what is wrong with an instance, formats included."""
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.Draft202012Validator(schema, format_checker=FORMATS).validate(instance)


@pytest.fixture(scope="module")
def document() -> Document:
    return json.loads(json.dumps(asyncapi.document(FACILITY)))  # type: ignore[no-any-return]


def published(event: Event) -> tuple[str, Any]:
    message = to_message(record(event)[0], FACILITY)
    return message.subject, json.loads(message.payload)


@pytest.mark.parametrize("name", SAMPLES)
def test_what_is_published_is_as_its_schema_says(name: str, document: Document) -> None:
    event = SAMPLES[name]
    subject, payload = published(event)
    check(schemas.message_schema(type(event), FACILITY), payload)
    message = document["components"]["messages"][type(event).__name__]
    check({**message["payload"], "components": document["components"]}, payload)
    # every field that is published is described, and nothing else is
    described = schemas.message_schema(type(event), FACILITY)
    data = described["$defs"][type(event).__name__]["properties"]
    assert data.keys() == payload["data"].keys()
    assert not data.keys() & personal_fields(event.topic()).keys()
    channel = document["channels"][type(event).__name__]
    assert subject == channel["address"].replace("{target}", getattr(event, "target", ""))


@pytest.mark.parametrize("topic", EVENT_TYPES)
def test_every_event_has_an_example_that_is_lawful(topic: str, document: Document) -> None:
    event_type = EVENT_TYPES[topic]
    (example,) = document["components"]["messages"][event_type.__name__]["examples"]
    check(schemas.message_schema(event_type, FACILITY), example["payload"])
    assert examples.recorded(event_type).event.topic() == topic


def test_a_wrong_message_is_found() -> None:
    event = SAMPLES["calipso.container.ContainerStarted.v1"]
    schema, (_, payload) = schemas.message_schema(type(event), FACILITY), published(event)
    wrong: list[dict[str, Any]] = [
        {**payload, "position": 7},
        {**payload, "time": "yesterday"},
        {**payload, "source": "/elsewhere"},
        {**payload, "data": {}},
        {**payload, "data": {**payload["data"], "container_id": "no uuid"}},
        {name: value for name, value in payload.items() if name != "actor"},
    ]
    for each in wrong:
        with pytest.raises(jsonschema.ValidationError):
            check(schema, each)


def test_every_reference_of_the_document_leads_somewhere(document: Document) -> None:
    def references(part: object) -> Iterator[str]:
        if isinstance(part, dict):
            if isinstance(part.get("$ref"), str):
                yield part["$ref"]
            for inner in part.values():
                yield from references(inner)
        elif isinstance(part, list):
            for inner in part:
                yield from references(inner)

    found = set(references(document))
    assert len(found) > len(EVENT_TYPES)
    for reference in found:
        place: Any = document
        for step in reference.removeprefix("#/").split("/"):
            place = place[step]


@pytest.fixture
def _known_events_as_before() -> Iterator[None]:
    known = dict(envelope.EVENT_TYPES)
    yield
    forget(known)


def forget(known: dict[str, type[Event]]) -> None:
    envelope.EVENT_TYPES.clear()
    envelope.EVENT_TYPES.update(known)
    for cached in (envelope.personal_fields, envelope.erased_values, envelope.public_fields):
        cached.cache_clear()


@pytest.mark.usefixtures("_known_events_as_before")
def test_an_old_consumer_reads_what_a_newer_program_publishes() -> None:
    known = dict(envelope.EVENT_TYPES)

    @dataclass(frozen=True, kw_only=True)
    class RoomBooked(Event):
        """Of the old program."""

        kind: ClassVar[str] = "sample"
        room_id: UUID
        floor: int

        @property
        def stream(self) -> UUID:
            return self.room_id

    old_schema = schemas.message_schema(RoomBooked, FACILITY)
    old_type = msgspec.defstruct("Old", [("room_id", UUID), ("floor", int)])
    forget(known)

    @dataclass(frozen=True, kw_only=True)
    class RoomBooked(Event):  # type: ignore[no-redef]
        """Of the newer one, with more fields of every sort."""

        kind: ClassVar[str] = "sample"
        room_id: UUID
        floor: int
        seats: int = 1
        tags: tuple[str, ...] = ()
        who: str = personal("room_id", default="")
        where: str = private(default="")

        @property
        def stream(self) -> UUID:
            return self.room_id

    room = uuid4()
    newer = RoomBooked(room_id=room, floor=2, seats=5, tags=("x",), who="Ada", where="10.0.0.1")  # type: ignore[call-arg]
    _, payload = published(newer)
    assert payload["data"] == {"room_id": str(room), "floor": 2, "seats": 5, "tags": ["x"]}
    check(old_schema, payload)
    read = msgspec.convert(payload["data"], type=old_type)
    assert (read.room_id, read.floor) == (room, 2)  # type: ignore[attr-defined]
    # and a new consumer reads what the old program had published
    del payload["data"]["seats"], payload["data"]["tags"]
    check(schemas.message_schema(RoomBooked, FACILITY), payload)
    assert payload["schemaversion"] == 1
