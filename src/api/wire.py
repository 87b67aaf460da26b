"""The wire form of values, in both directions; a reader that refuses a value names its field."""

import re
from collections.abc import Mapping, Sequence
from json import loads
from typing import TypeVar

import msgspec
from sanic import HTTPResponse, Request

from calipso import sizes
from calipso.errors import Invalid, NotFound

T = TypeVar("T")

Number = int | float | str | None
"""A number as clients send it: itself, its text, or nothing (null or an empty text)."""

_FORM = "application/x-www-form-urlencoded"
_SWITCHES = {"1": True, "true": True, "0": False, "false": False}
_FIELD = re.compile(r"field `(\w+)`|at `\$\.(\w+)")
_TEXT_LIMIT = 2000
_NAME_LIMIT = 100
_COUNT_LIMIT = 10**6
_DIGITS_LIMIT = 18  # more digits than a 64-bit id has cannot name anything
_SMALLEST = 2**20


def json(
    value: object,
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    content_type: str = "application/json",
) -> HTTPResponse:
    """An answer with a value as compact JSON."""
    body = msgspec.json.encode(value)
    return HTTPResponse(body, status=status, headers=dict(headers or {}), content_type=content_type)


def read_body(request: Request, shape: type[T]) -> T:
    """The body of a request, JSON or a form; fields that the shape does not know are passed over.

    Args:
        request: whose body.
        shape: a msgspec Struct.

    Raises:
        Invalid: it is not of this shape.
    """
    try:
        if request.headers.get("content-type", "").startswith(_FORM):
            fields = {name: values[0] for name, values in (request.form or {}).items()}
            return msgspec.convert(fields, type=shape, strict=False)
        found = msgspec.json.decode(request.body, type=shape)
        # which of two values is meant, others may read in another way
        loads(request.body, object_pairs_hook=_check_once, parse_int=str, parse_float=str)
    except msgspec.ValidationError as error:
        raise _invalid(error) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Invalid("body", f"is not JSON: {error}") from error
    return found


def _check_once(pairs: Sequence[tuple[str, object]]) -> None:
    """Refuse an object that says two things of one name."""
    seen: set[str] = set()
    for name, _ in pairs:
        if name in seen:
            raise Invalid(name[:_NAME_LIMIT], "stands in the body twice")
        seen.add(name)


def _invalid(error: msgspec.ValidationError) -> Invalid:
    found = _FIELD.search(str(error))
    if found is None:
        return Invalid("body", "must be a JSON object")
    if found[1]:
        return Invalid(found[1], "is missing")
    return Invalid(found[2], str(error).rpartition(" - at ")[0])


def read_name(kind: str, text: str) -> str:
    """A name from a path.

    Args:
        kind: the word for what is named.
        text: the part of the path, without percent-encoding.

    Raises:
        NotFound: nothing can have such a name.
    """
    if "/" in text or not text.isprintable() or len(text) > _TEXT_LIMIT:
        raise NotFound(kind, text[:_TEXT_LIMIT])
    return text


def read_id(kind: str, text: str) -> int:
    """An integer id from a path.

    Raises:
        NotFound: it is no such number.
    """
    if not _is_natural(text) or len(text) > _DIGITS_LIMIT:
        raise NotFound(kind, text[:_TEXT_LIMIT])
    return int(text)


def read_text(value: str | None, field: str) -> str:
    """A text without control characters; null is an empty one.

    Raises:
        Invalid: it is too long or not printable.
    """
    text = (value or "").strip()
    if len(text) > _TEXT_LIMIT or not text.isprintable():
        raise Invalid(field, f"must be at most {_TEXT_LIMIT} printable characters")
    return text


def read_switch(value: bool | int | str, field: str) -> bool:
    """A boolean, 1 or 0, or a text that says the same.

    Raises:
        Invalid: it says something else.
    """
    found = _SWITCHES.get(str(value).strip().lower())
    if found is None:
        raise Invalid(field, "must be true, false, 1 or 0")
    return found


def read_count(value: Number, field: str) -> int:
    """A number of things, or its text.

    Raises:
        Invalid: it is no whole number from 0 to a million.
    """
    text = _text_of(value)
    if not _is_natural(text) or len(text) > _DIGITS_LIMIT or int(text) > _COUNT_LIMIT:
        raise Invalid(field, f"must be a whole number from 0 to {_COUNT_LIMIT}")
    return int(text)


def read_cpus(value: Number, field: str) -> int:
    """Millicores of a number of processors, or of its text.

    Raises:
        Invalid: it is no number of processors.
    """
    return sizes.parse_cpus(_text_of(value), field)


def read_size(value: Number, field: str) -> int:
    """Bytes of a text such as `3G`, or of a number of bytes.

    Raises:
        Invalid: it is no size, or so small that its unit was forgotten.
    """
    size = sizes.parse_size(_text_of(value), field)
    if 0 < size < _SMALLEST:
        raise Invalid(field, f"{size} bytes are too few; write a unit, as in 3G")
    return size


def _text_of(value: Number) -> str:
    return "" if value is None else str(value).strip()


def _is_natural(text: str) -> bool:
    return text.isascii() and text.isdecimal()
