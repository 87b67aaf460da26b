"""The network of a target's containers: they do not reach each other, and the world only if the target says so.

What an engine alone cannot forbid is the way from a container to the services of the engine's own host; its firewall
does, by the names of our bridges, which all begin with the same word.
"""

import hashlib
from collections.abc import Mapping
from typing import Any

from docker import APIClient
from docker.errors import APIError, NotFound

from calipso.events.values import FailureReason
from calipso.runtimes.docker.engine import words
from calipso.runtimes.docker.order import Labels
from calipso.runtimes.protocol import RuntimeFailed

BRIDGE_PREFIX = "calipso"
_HASH_DIGITS = 8  # with the prefix as many letters as an interface may have


def network_name(labels: Labels, *, egress: bool) -> str:
    """The name of a target's network and of its bridge; another one where containers may go out."""
    said = f"{labels.installation}\0{labels.target}\0{'open' if egress else 'closed'}"
    return f"{BRIDGE_PREFIX}{hashlib.sha256(said.encode()).hexdigest()[:_HASH_DIGITS]}"


def ensure_network(client: APIClient, labels: Labels, *, egress: bool) -> str:
    """The name of the target's network, which is made where it is missing.

    Args:
        client: of the engine.
        labels: of the target.
        egress: whether containers may reach what is outside the engine's host.

    Raises:
        RuntimeFailed: the engine refused, or a network of somebody else has the name.
    """
    name = network_name(labels, egress=egress)
    found = _found(client, name) or _made(client, name, labels, egress=egress)
    lawful = {"Internal": not egress, "Labels": labels.of_target(), "Options": _options(name)}
    if {key: found[key] for key in lawful} != lawful:
        raise _rejected(f"the network {name} is not as it was made: remove it when no container is in it")
    return name


def _found(client: APIClient, name: str) -> Mapping[str, Any] | None:
    try:
        found: Mapping[str, Any] = client.inspect_network(name)
    except NotFound:
        return None
    return found


def _made(client: APIClient, name: str, labels: Labels, *, egress: bool) -> Mapping[str, Any]:
    try:
        client.create_network(
            name,
            driver="bridge",
            options=_options(name),
            internal=not egress,
            labels=labels.of_target(),
            check_duplicate=True,
        )
    except APIError as error:
        # two that make it at once agree on the name of its bridge, which can be there only once
        if (found := _found(client, name)) is None:
            raise _rejected(f"the network {name} cannot be made: {words(error)}") from error
        return found
    return client.inspect_network(name)  # type: ignore[no-any-return]  # the engine's answer


def _options(name: str) -> dict[str, str]:
    return {"com.docker.network.bridge.name": name, "com.docker.network.bridge.enable_icc": "false"}


def _rejected(detail: str) -> RuntimeFailed:
    return RuntimeFailed(reason=FailureReason.REJECTED, detail=detail)
