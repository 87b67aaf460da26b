"""What a Docker Engine says of a container, as observations and log lines."""

import re
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from calipso.runtimes.docker.order import PORT
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
    state, network = found["State"], found["NetworkSettings"]
    published = [binding["HostPort"] for bindings in (network["Ports"] or {}).values() for binding in bindings or ()]
    reached = _reached(published, host, network, found["Config"]["Labels"] or {})
    now = status(state["Status"])
    return Observation(
        container_id=container_id,
        runtime_id=found["Id"],
        name=found["Name"].removeprefix("/"),
        status=now,
        host=reached[0],
        port=reached[1],
        image_digest=found["Image"],
        exit_code=state["ExitCode"] if now is Status.EXITED else None,
        detail=_why_ended(state) if now is Status.EXITED else "",
    )


def listed(item: Mapping[str, Any], container_id: UUID, host: str) -> Observation:
    """The observation in one item of a listing, which has no exit code."""
    published = [port["PublicPort"] for port in item["Ports"] if port.get("PublicPort")]
    reached = _reached(published, host, item["NetworkSettings"], item["Labels"])
    return Observation(
        container_id=container_id,
        runtime_id=item["Id"],
        name=item["Names"][0].removeprefix("/"),
        status=status(item["State"]),
        host=reached[0],
        port=reached[1],
        image_digest=item["ImageID"],
    )


def log_lines(raw: bytes, count: int) -> tuple[str, ...]:
    """The last lines of a log as plain text, each of a bounded length."""
    text = raw.decode(errors="replace")
    return tuple(_CONTROL.sub("", line)[:_LINE_LENGTH] for line in text.splitlines()[-count:])


def _why_ended(state: Mapping[str, Any]) -> str:
    return "out of memory" if state["OOMKilled"] else str(state["Error"])


def _reached(
    published: Sequence[int | str], host: str, network: Mapping[str, Any], labels: Mapping[str, str]
) -> tuple[str, int]:
    """Where the service is reached: at its published port, else at the container's own address in a closed network."""
    if published:
        return host, int(published[0])
    own = next((entry["IPAddress"] for entry in network["Networks"].values() if entry["IPAddress"]), "")
    port = labels.get(PORT, "").partition("/")[0]
    return (own, int(port)) if own and port else (host, 0)
