"""The settings that a process would have if it began here and now, with nothing secret in them."""

import json
import os
from typing import Annotated, Any

import typer

from calipso import settings
from calipso.secrecy import HIDDEN, hide_passwords


def settings_(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    changed: Annotated[
        bool, typer.Option("--changed", help="Only those that differ from their defaults, each with where it stands.")
    ] = False,
) -> None:
    """Check all settings, and print those in effect with secrets hidden; asks no database."""
    effective = settings.load()
    fields = settings.Settings.model_fields
    dumped = effective.model_dump(mode="json")
    values = {name: _shown(getattr(effective, name), dumped[name]) for name in fields}
    if changed:
        values = {
            name: value
            for name, value in values.items()
            if getattr(effective, name) != fields[name].get_default(call_default_factory=True)
        }
    if as_json:
        told = {_variable(n): {"value": v, "from": _source(n)} if changed else v for n, v in values.items()}
        print(json.dumps(told, indent=2))
        return
    for name, value in values.items():
        print(f"{_variable(name)}={_text(value)}" + (f"  # {_source(name)}" if changed else ""))


def _variable(name: str) -> str:
    return f"CALIPSO_{name.upper()}"


def _shown(value: object, dumped: object) -> object:
    """What may be seen of a value.

    Args:
        value: as the settings hold it.
        dumped: the same as JSON.
    """
    if reveal := getattr(value, "get_secret_value", None):
        return HIDDEN if reveal() else ""
    return _censored(dumped)


def _censored(value: object) -> Any:  # noqa: ANN401 - JSON
    match value:
        case str():
            return hide_passwords(value)
        case dict():
            return {name: _censored(item) for name, item in value.items()}
        case list():
            return [_censored(item) for item in value]
        case _:
            return value


def _text(value: object) -> str:
    """A value as the environment would hold it."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value if value.isprintable() else json.dumps(value)
    if isinstance(value, list) and not any(isinstance(item, dict) for item in value):
        return ",".join(str(item) for item in value)
    return f"{value:g}" if isinstance(value, float) else json.dumps(value)


def _source(name: str) -> str:
    """Where a setting stands that differs from its default."""
    # the library reads names of the environment in any case
    environment = {variable.upper(): text for variable, text in os.environ.items()}
    if _variable(name) in environment:
        return "environment"
    return os.environ.get(f"{_variable(name)}_FILE") or os.environ.get("CALIPSO_SETTINGS_FILE", "")
