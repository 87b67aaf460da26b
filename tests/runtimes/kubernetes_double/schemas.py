"""The schemas of Kubernetes, and a server's complaint where a body does not keep them."""

import kubernetes_validate
from tests.runtimes.kubernetes_double.status import Json, RefusedError, bad_request, invalid

VERSION = "1.31"
# the schemas of the library know these options, but no body that would be found by their name
_OF_DELETION = {
    "kind": str,
    "apiVersion": str,
    "gracePeriodSeconds": int,
    "propagationPolicy": str,
    "preconditions": dict,
    "dryRun": list,
}


def check(kind: str, body: Json) -> None:
    """Refuse what the strict schema of a kind does not allow, naming the field."""
    try:
        kubernetes_validate.validate(body, VERSION, strict=True)
    except kubernetes_validate.ValidationError as error:
        raise _told(kind, body, error) from error


def _told(kind: str, body: Json, error: kubernetes_validate.ValidationError) -> RefusedError:
    """A schema's complaint as servers tell it: what is missing is invalid, what is unknown or odd cannot be read."""
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in error.absolute_path).lstrip(".")
    if error.validator == "required":
        missing = [name for name in error.validator_value if name not in error.instance]
        causes = [(f"{path}.{name}".lstrip("."), "Required value") for name in missing]
        return invalid(kind, (body.get("metadata") or {}).get("name", ""), causes)
    what = f"{path}: {error.message}"
    if error.validator == "additionalProperties":
        unknown = sorted(set(error.instance) - set(error.schema.get("properties", ())))
        what = "strict decoding error: " + ", ".join(
            f'unknown field "{path}.{name}"'.replace('".', '"') for name in unknown
        )
    return bad_request(f'{kind} in version "{body["apiVersion"]}" cannot be handled as a {kind}: {what}')


def check_deletion(options: Json) -> None:
    """Refuse options of a deletion that no server knows."""
    for name, value in options.items():
        if name not in _OF_DELETION:
            raise bad_request(f'DeleteOptions: strict decoding error: unknown field "{name}"')
        if not isinstance(value, _OF_DELETION[name]):
            raise bad_request(f"DeleteOptions: {name}: {value!r} is not of type {_OF_DELETION[name].__name__}")
