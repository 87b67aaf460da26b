"""Made-up events for the documentation: one of each type, with something in every field."""

import types
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import Any, Union, get_args, get_origin, get_type_hints
from uuid import NAMESPACE_URL, UUID, uuid5

from calipso.events.envelope import Event, Recorded

_TIME = datetime(2026, 11, 20, 14, 3, tzinfo=UTC)
_POSITION = 4711
# what reads better than the name of the field
_WORDS: Mapping[str, Any] = {
    "beam_line": "BL13",
    "containers": 5,
    "disk": 5 * 2**30,
    "image_digest": "sha256:9f86d081884c7d65",
    "image_name": "desktop",
    "memory": 2 * 2**30,
    "millicores": 1000,
    "proposal_id": "P2026-17",
    "reference": "calipso/desktop:1",
    "session_number": "1",
    "target": "docker",
    "targets": "docker",
    "user_id": UUID("0f8fad5b-d9cb-469f-a165-70867728950e"),
}


def recorded(event_type: type[Event]) -> Recorded:
    """An event of a type, as if it had been stored."""
    event: Event = _of(event_type, "event")
    return Recorded(
        id=_uuid("event"),
        stream=event.stream,
        version=3,
        position=_POSITION,
        time=_TIME,
        actor="service:command-line",
        correlation_id=_uuid("request"),
        causation_id=_uuid("command"),
        event=event,
    )


def _uuid(name: str) -> UUID:
    return uuid5(NAMESPACE_URL, f"calipso example {name}")


_PLAIN: Mapping[type, Any] = {
    UUID: _uuid,
    datetime: lambda _: _TIME,
    str: lambda name: name.replace("_", " "),
    int: lambda _: 1,
    bool: lambda _: True,
}


def _of(kind: Any, name: str) -> Any:  # noqa: ANN401 - of any type that a field may have
    """A value of a type, for a field of this name.

    Raises:
        TypeError: fields of such a type are not known here yet.
    """
    origin, given = get_origin(kind), get_args(kind)
    if origin in {types.UnionType, Union}:
        return _of(next(one for one in given if one is not type(None)), name)
    if origin is tuple:
        return (_of(given[0], name),)
    if origin is Mapping or origin is dict:
        return {"name": _of(given[1], name)}
    if isinstance(kind, type) and issubclass(kind, Enum):
        return next(iter(kind))
    if isinstance(kind, type) and is_dataclass(kind):
        hints = get_type_hints(kind)
        return kind(**{field.name: _of(hints[field.name], field.name) for field in fields(kind)})
    if kind not in _PLAIN:
        message = f"no example of {kind}"
        raise TypeError(message)
    return _WORDS[name] if name in _WORDS else _PLAIN[kind](name)
