"""The text that names a session's volumes: `{"<folder of the target>": {"bind": "<place>", "mode": "ro"|"rw"}}`."""

import ast
import json
from collections.abc import Sequence

from calipso.errors import Invalid
from calipso.events.values import Mode, Volume

_LENGTH_LIMIT = 10_000
_EXAMPLE = '{"/data/p1": {"bind": "/p1", "mode": "ro"}}'


def parse_data_set_path(text: str) -> tuple[Volume, ...]:
    """Read the text; single quotes are tolerated, an empty text means no volumes.

    Raises:
        Invalid: it is not of the form above.
    """
    found = _parse(text.strip() or "{}")
    if not isinstance(found, dict):
        raise Invalid("data_set_path", f"must be an object such as {_EXAMPLE}")
    return tuple(_volume(source, place) for source, place in found.items())


def format_data_set_path(volumes: Sequence[Volume]) -> str:
    """The text of volumes, as JSON."""
    return json.dumps({v.source: {"bind": v.bind, "mode": v.mode.value} for v in volumes})


def _parse(text: str) -> object:
    if len(text) > _LENGTH_LIMIT:
        raise Invalid("data_set_path", f"is longer than {_LENGTH_LIMIT} characters")
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError) as error:
        raise Invalid("data_set_path", f"is not JSON; it must look like {_EXAMPLE}") from error


def _volume(source: object, place: object) -> Volume:
    if not isinstance(source, str) or not source.startswith("/") or "\0" in source:
        raise Invalid("data_set_path", f"{source!r} is not an absolute folder")
    bind, mode = (place.get("bind"), place.get("mode", "ro")) if isinstance(place, dict) else (None, None)
    if not isinstance(bind, str) or not bind.strip("/") or "\0" in bind:
        raise Invalid("data_set_path", f"{source}: bind must be a folder such as /p1")
    if not isinstance(mode, str) or mode not in {"ro", "rw"}:
        raise Invalid("data_set_path", f"{source}: mode must be ro or rw")
    return Volume(source=source, bind=bind, mode=Mode(mode))
