"""What a Docker Engine says of a container, as observations and log lines."""

import re
from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from calipso.runtimes.protocol import Observation, Status

_STATUS = {"created": Status.CREATED, "exited": Status.EXITED, "dead": Status.EXITED, "removing": Status.EXITED}
_LINE_LENGTH = 1000
# terminal sequences first, then what is left of control characters; a tab may stay
_CONTROL = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def status(word: str) -> Status:
    """The status that the engine's own word stands for."""
    return _STATUS.get(word, Status.RUNNING)


def inspected(found: Mapping[str, Any], container_id: UUID, host: str) -> Observation:
    """The observation in an answer of `inspect`.

    Args:
        found: the answer.
        container_id: whose it is.
        host: where its port is published for others.
    """
    state = found["State"]
    ports = (found["NetworkSettings"]["Ports"] or {}).values()
    now = status(state["Status"])
    return Observation(
        container_id=container_id,
        runtime_id=found["Id"],
        name=found["Name"].removeprefix("/"),
        status=now,
        host=host,
        port=_first(int(binding["HostPort"]) for bindings in ports for binding in bindings or ()),
        image_digest=found["Image"],
        exit_code=state["ExitCode"] if now is Status.EXITED else None,
        detail=_why_ended(state) if now is Status.EXITED else "",
    )


def listed(item: Mapping[str, Any], container_id: UUID, host: str) -> Observation:
    """The observation in one item of a listing, which has no exit code."""
    return Observation(
        container_id=container_id,
        runtime_id=item["Id"],
        name=item["Names"][0].removeprefix("/"),
        status=status(item["State"]),
        host=host,
        port=_first(port["PublicPort"] for port in item["Ports"] if port.get("PublicPort")),
        image_digest=item["ImageID"],
    )


def log_lines(raw: bytes, count: int) -> tuple[str, ...]:
    """The last lines of a log as plain text, each of a bounded length."""
    text = raw.decode(errors="replace")
    return tuple(_CONTROL.sub("", line)[:_LINE_LENGTH] for line in text.splitlines()[-count:])


def _why_ended(state: Mapping[str, Any]) -> str:
    return "out of memory" if state["OOMKilled"] else str(state["Error"])


def _first(ports: Iterable[int]) -> int:
    return next(iter(ports), 0)
