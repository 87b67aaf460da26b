"""The AsyncAPI 3 document of what is published on NATS."""

from collections.abc import Mapping
from dataclasses import replace
from importlib.metadata import version
from typing import Any

import msgspec

from calipso.bus import POSITION, STREAM
from calipso.events.container import ContainerEvent
from calipso.events.envelope import EVENT_TYPES, Event
from calipso.published import examples, schemas
from calipso.published.schemas import Schema
from calipso.relay import subject_of, to_message

CLOUD_EVENT = "application/cloudevents+json"

_TARGET: Schema = {"description": "the name of the target, such as a Docker Engine, on which the container is"}
_HEADERS: Schema = {
    "type": "object",
    "properties": {
        "Nats-Msg-Id": {"type": "string", "format": "uuid", "description": "the event's id"},
        POSITION: {"type": "string", "pattern": "^[0-9]+$", "description": "the event's position"},
        "Content-Type": {"const": CLOUD_EVENT},
    },
}


def document(facility: str) -> Mapping[str, Any]:
    """The document of a facility's events.

    Args:
        facility: the facility's short id.
    """
    data, definitions = schemas.data_schemas("#/components/schemas/{name}")
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Calipso events",
            "version": version("calipso"),
            "description": "Every event, once and in order, as a CloudEvent 1.0 in JSON with its public fields, in the "
            f"JetStream stream {STREAM}. `position` orders them and is what a subscriber keeps. Events may get "
            "further fields at any time: pass over what is not known.",
        },
        "defaultContentType": CLOUD_EVENT,
        "servers": {
            "nats": {
                "host": "{host}",
                "protocol": "nats",
                "variables": {"host": {"default": "localhost:4222", "description": "where the NATS server answers"}},
            }
        },
        "channels": {one.__name__: _channel(one, facility) for one in EVENT_TYPES.values()},
        "operations": {f"publish{one.__name__}": _operation(one) for one in EVENT_TYPES.values()},
        "components": {
            "messages": {one.__name__: _message(one, facility, data[topic]) for topic, one in EVENT_TYPES.items()},
            "schemas": definitions,
        },
    }


def _channel(event_type: type[Event], facility: str) -> Mapping[str, Any]:
    recorded = examples.recorded(event_type)
    name = event_type.__name__
    told = {"title": event_type.topic(), "messages": {name: {"$ref": f"#/components/messages/{name}"}}}
    if not isinstance(recorded.event, ContainerEvent):
        return told | {"address": subject_of(recorded, facility)}
    recorded = replace(recorded, event=replace(recorded.event, target="{target}"))
    return told | {"address": subject_of(recorded, facility), "parameters": {"target": _TARGET}}


def _operation(event_type: type[Event]) -> Mapping[str, Any]:
    name = event_type.__name__
    return {
        "action": "send",
        "channel": {"$ref": f"#/channels/{name}"},
        "messages": [{"$ref": f"#/channels/{name}/messages/{name}"}],
    }


def _message(event_type: type[Event], facility: str, data: Schema) -> Mapping[str, Any]:
    payload = msgspec.json.decode(to_message(examples.recorded(event_type), facility).payload)
    headers = {"Nats-Msg-Id": payload["id"], POSITION: payload["position"], "Content-Type": CLOUD_EVENT}
    return {
        "name": event_type.topic(),
        "title": event_type.__name__,
        "summary": " ".join((event_type.__doc__ or "").split()),
        "contentType": CLOUD_EVENT,
        "headers": _HEADERS,
        "payload": schemas.envelope_schema(event_type, facility, data),
        "examples": [{"name": "example", "headers": headers, "payload": payload}],
    }
