"""Kinds of values that several settings have, each with its check."""

import json
from ipaddress import ip_network
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator
from pydantic_settings import NoDecode

from calipso import sizes
from calipso.errors import Invalid

_MOUNT_PARTS = 3
SHORT_ID = r"^[a-z0-9][a-z0-9-]{0,62}$"


def _split(value: object) -> object:
    return [item.strip() for item in value.split(",") if item.strip()] if isinstance(value, str) else value


def parse_json(value: object) -> object:
    """The value of a text in JSON; anything but a text is the value itself.

    Raises:
        ValueError: the text is not JSON; its content, which may be secret, is not told.
    """
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except json.JSONDecodeError as error:
        message = f"is not JSON: {error.msg} at character {error.pos}"
        raise ValueError(message) from None


def _check_cpus(value: str) -> str:
    try:
        sizes.parse_cpus(value, "processors")
    except Invalid as error:
        raise ValueError(error.reason) from error
    return value


def _check_size(value: str) -> str:
    try:
        sizes.parse_size(value, "size")
    except Invalid as error:
        raise ValueError(error.reason) from error
    return value


def _check_folder(value: str) -> str:
    if not value.startswith("/"):
        message = "must be an absolute path"
        raise ValueError(message)
    return value


def _check_url(value: str) -> str:
    if not value:
        return value
    parts = urlsplit(value)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        message = "must be an address such as https://portal.example.org/"
        raise ValueError(message)
    return value


def _check_networks(values: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(str(ip_network(value)) for value in values)


def _check_mounts(values: tuple[str, ...]) -> tuple[str, ...]:
    for value in values:
        parts = value.split(":")
        is_lawful = len(parts) == _MOUNT_PARTS and parts[2] in {"ro", "rw"}
        if not is_lawful or any(not part.startswith("/") or ".." in part.split("/") for part in parts[:2]):
            message = f"{value!r} must be SOURCE:PLACE:ro or SOURCE:PLACE:rw with absolute paths"
            raise ValueError(message)
    return values


CommaSeparated = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]
Numbers = Annotated[tuple[int, ...], NoDecode, BeforeValidator(_split)]
Networks = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split), AfterValidator(_check_networks)]
Cpus = Annotated[str, AfterValidator(_check_cpus)]
Size = Annotated[str, AfterValidator(_check_size)]
Folder = Annotated[str, AfterValidator(_check_folder)]
Url = Annotated[str, AfterValidator(_check_url)]
OtherFolders = Annotated[CommaSeparated, AfterValidator(_check_mounts)]
