"""The errors of an API server, in its own words and shape."""

from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]


@dataclass(eq=False)
class RefusedError(Exception):
    """What the API server answers instead of doing what was asked."""

    code: int
    reason: str
    message: str
    details: Json | None = None

    def body(self) -> Json:
        """The `Status` object."""
        told = {"message": self.message, "reason": self.reason, "details": self.details, "code": self.code}
        return status("Failure", **{key: value for key, value in told.items() if value not in ("", None)})


def status(outcome: str, **told: Any) -> Json:  # noqa: ANN401 - the parts of a Status
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": outcome, **told}


def unauthorized() -> RefusedError:
    return RefusedError(401, "Unauthorized", "Unauthorized")


def not_found(plural: str, name: str) -> RefusedError:
    return RefusedError(404, "NotFound", f'{plural} "{name}" not found', {"name": name, "kind": plural})


def no_such_resource() -> RefusedError:
    return RefusedError(404, "NotFound", "the server could not find the requested resource", {})


def already_exists(plural: str, name: str) -> RefusedError:
    return RefusedError(409, "AlreadyExists", f'{plural} "{name}" already exists', {"name": name, "kind": plural})


def conflict(what: str, name: str, why: str) -> RefusedError:
    message = f'Operation cannot be fulfilled on {what} "{name}": {why}'
    return RefusedError(409, "Conflict", message, {"name": name, "kind": what})


def bad_request(message: str) -> RefusedError:
    return RefusedError(400, "BadRequest", message)


def forbidden(plural: str, name: str, why: str, group: str = "") -> RefusedError:
    """Somebody may not, or a limit of the namespace does not allow it."""
    told = f"{plural}.{group}" if group else plural
    details = {"name": name, "group": group, "kind": plural}
    message = f'{told} "{name}" is forbidden: {why}' if name else f"{told} is forbidden: {why}"
    return RefusedError(403, "Forbidden", message, {key: value for key, value in details.items() if value})


def invalid(kind: str, name: str, causes: list[tuple[str, str]]) -> RefusedError:
    """Fields that are wrong, each with what is wrong about it."""
    told = [f"{field}: {what}" for field, what in causes]
    message = f'{kind} "{name}" is invalid: ' + (told[0] if len(told) == 1 else f"[{', '.join(told)}]")
    listed = [{"reason": _CAUSES[what.partition(":")[0]], "message": what, "field": field} for field, what in causes]
    details = {"name": name, "kind": kind, "causes": listed}
    return RefusedError(422, "Invalid", message, {key: value for key, value in details.items() if value})


def expired(asked: int, oldest: int) -> RefusedError:
    return RefusedError(410, "Expired", f"too old resource version: {asked} ({oldest})")


_CAUSES = {
    "Invalid value": "FieldValueInvalid",
    "Required value": "FieldValueRequired",
    "Unsupported value": "FieldValueNotSupported",
    "Forbidden": "FieldValueForbidden",
    "Not found": "FieldValueNotFound",
}
