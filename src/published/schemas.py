"""JSON Schemas of what is published: for each type of event a CloudEvent whose `data` are its public fields.

Nothing forbids further fields: an event may get an optional one at any time, and whoever follows must pass over what it
does not know.
"""

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields
from typing import Any, get_type_hints

import msgspec

from calipso.events.envelope import EVENT_TYPES, Event, public_fields

Schema = dict[str, Any]

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_UUID: Schema = {"type": "string", "format": "uuid"}


def message_schema(event_type: type[Event], facility: str) -> Schema:
    """The schema of a message of this type, complete in itself."""
    data, definitions = _described([data_type(event_type)], "#/$defs/{name}")
    return {"$schema": DIALECT, **envelope_schema(event_type, facility, data[0]), "$defs": definitions}


def data_schemas(ref_template: str) -> tuple[Mapping[str, Schema], Mapping[str, Schema]]:
    """The schema of the `data` of every type by its topic, and what they refer to by names."""
    schemas, definitions = _described([data_type(one) for one in EVENT_TYPES.values()], ref_template)
    return dict(zip(EVENT_TYPES, schemas, strict=True)), definitions


def envelope_schema(event_type: type[Event], facility: str, data: Schema) -> Schema:
    """The schema of a message whose `data` has a schema."""
    topic = event_type.topic()
    properties: Mapping[str, Schema] = {
        "specversion": {"const": "1.0"},
        "id": _UUID | {"description": "of this event, for ever; also the header Nats-Msg-Id"},
        "source": {"const": f"/calipso/{facility}"},
        "type": {"const": topic},
        "subject": _UUID | {"description": "the stream of the event"},
        "time": {"type": "string", "format": "date-time", "description": "UTC; never goes back as positions rise"},
        "datacontenttype": {"const": "application/json"},
        "position": {
            "type": "string",
            "pattern": "^[0-9]+$",
            "description": "a whole number of 64 bits, which orders all events; not free of gaps",
        },
        "streamversion": {"type": "integer", "minimum": 1, "description": "the place of the event in its stream"},
        "schemaversion": {
            "type": "integer",
            "minimum": 1,
            "description": f"of the data; now {event_type.schema_version}. Optional fields come without a new one",
        },
        "actor": {"type": "string", "description": "who caused it: the uuid of a user, or the name of a service"},
        "correlationid": _UUID | {"description": "of the request from which it came"},
        "causationid": _UUID | {"description": "of the command or the event before it"},
        "data": data,
    }
    return {"title": topic, "type": "object", "required": [*properties], "properties": dict(properties)}


def data_type(event_type: type[Event]) -> type[msgspec.Struct]:
    """The public fields of an event as a type of their own."""
    hints = get_type_hints(event_type)
    public = public_fields(event_type.topic())
    given = [_field(field, hints[field.name]) for field in fields(event_type) if field.name in public]
    words = " ".join((event_type.__doc__ or "").split())
    return msgspec.defstruct(event_type.__name__, given, kw_only=True, namespace={"__doc__": words})


def _field(field: Any, kind: Any) -> Any:  # noqa: ANN401 - as dataclasses and msgspec know it
    if field.default is not MISSING:
        return field.name, kind, msgspec.field(default=field.default)
    if field.default_factory is not MISSING:
        return field.name, kind, msgspec.field(default_factory=field.default_factory)
    return field.name, kind


def _described(shapes: Sequence[type], ref_template: str) -> tuple[Sequence[Schema], Mapping[str, Schema]]:
    schemas, definitions = msgspec.json.schema_components(shapes, ref_template=ref_template)
    return list(schemas), definitions
