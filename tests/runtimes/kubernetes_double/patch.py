"""Patches: what a client wants different of an object."""

from collections.abc import Mapping
from typing import Any

from tests.runtimes.kubernetes_double.status import Json, RefusedError

_MERGE, _STRATEGIC = "application/merge-patch+json", "application/strategic-merge-patch+json"
_LESS = "$deleteFromPrimitiveList/"
# the lists that a strategic patch merges, by the field that tells their items apart
_KEYS = {"ownerReferences": "uid", "containers": "name", "volumes": "name", "env": "name", "imagePullSecrets": "name"}


def merged(found: Json, patch: Any, content_type: str) -> Json:  # noqa: ANN401 - from outside
    """An object with a patch; the patch's own kind tells how lists are merged."""
    if content_type not in {_MERGE, _STRATEGIC} or not isinstance(patch, dict):
        told = (
            f"the body of the request was in an unknown format - accepted media types include: {_MERGE}, {_STRATEGIC}"
        )
        raise RefusedError(415, "UnsupportedMediaType", told)
    return _merged(found, patch, _KEYS if content_type == _STRATEGIC else {})


def _merged(found: Json, patch: Json, keys: Mapping[str, str]) -> Json:
    made = {name: value for name, value in found.items() if patch.get(name, value) is not None}
    for name, wanted in patch.items():
        if keys and name.startswith(_LESS):
            field = name.removeprefix(_LESS)
            made[field] = [item for item in found.get(field) or [] if item not in wanted]
        elif keys and name == "finalizers" and wanted:
            made[name] = [*dict.fromkeys([*(found.get(name) or []), *wanted])]
        elif isinstance(wanted, dict):
            made[name] = _merged(found.get(name) or {}, wanted, keys)
        elif isinstance(wanted, list) and name in keys:
            made[name] = _listed(found.get(name) or [], wanted, keys, keys[name])
        elif wanted is not None:
            made[name] = wanted
    return made


def _listed(found: list[Json], wanted: list[Json], keys: Mapping[str, str], key: str) -> list[Json]:
    """Items that are there already are merged, others are added."""
    changes = {item[key]: item for item in wanted}
    kept = [_merged(item, changes.pop(item[key], {}), keys) for item in found]
    return kept + list(changes.values())
