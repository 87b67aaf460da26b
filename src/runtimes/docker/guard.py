"""Keeps containers away from the services of their engine's host, by one rule in the firewall of that host.

No engine can forbid that way by itself. Whoever may use an engine may also run a program in its host's network, so the
host's own iptables, without which no engine works either, puts the rule in place: in a short-lived container that has
the host's programs, nothing of its image, and no right but that over the network.
"""

import time
from threading import Lock
from typing import Any

import requests
from docker import APIClient
from docker.errors import APIError
from docker.types import Mount

from calipso.events.values import FailureReason
from calipso.runtimes.docker.answer import log_lines
from calipso.runtimes.docker.engine import remove_container, words
from calipso.runtimes.docker.network import BRIDGE_PREFIX
from calipso.runtimes.protocol import RuntimeFailed

_LABEL = "calipso.guard"
_FOLDERS = ("/usr", "/etc", "/bin", "/sbin", "/lib")
_LOADER_FOLDER = {"x86_64": ("/lib64",)}
# by these an image could have programs of its own run in those of the host
_OF_LOADER = ("LD_PRELOAD", "LD_AUDIT", "LD_LIBRARY_PATH")
_PROCESSES, _MEMORY = 32, 256 * 2**20
_AGAIN_SECONDS = 300.0  # programs that load a firewall anew throw away what is not theirs
_LEFT_SECONDS = 3600
_SECONDS = 15

# the same rule as of ops/docker/firewall, which finds it there
_SCRIPT = f"""
rule='-i {BRIDGE_PREFIX}+ -m conntrack ! --ctstate ESTABLISHED,RELATED -j DROP'
ensure() {{ "$1" -w -C INPUT $rule 2>/dev/null || "$1" -w -I INPUT 1 $rule; }}
# a kernel without nf_tables has only the older one
for kind in '' -legacy; do
  told=$(ensure iptables$kind 2>&1) || continue
  ! ip6tables$kind -w -S INPUT >/dev/null 2>&1 || told=$(ensure ip6tables$kind 2>&1) || break
  exit 0
done
echo "$told"
exit 1
"""


class Guard:
    """Whether the host of an engine is guarded; it is made so, and looked at again from time to time.

    Args:
        is_wanted: False when somebody else sees to it, or nobody.
    """

    def __init__(self, *, is_wanted: bool) -> None:
        self._is_wanted = is_wanted
        self._lock = Lock()
        self._good_until = 0.0

    def ensure(self, client: APIClient) -> None:
        """See that containers do not reach the services of the engine's host.

        Args:
            client: of the engine.

        Raises:
            RuntimeFailed: they would.
        """
        with self._lock:
            if not self._is_wanted or time.monotonic() < self._good_until:
                return
            if not (images := client.images(quiet=True)):
                return  # without an image there is no container either
            try:
                _put_rule_in_place(client, images[0])
            except (APIError, requests.Timeout) as error:
                raise _reached(words(error) if isinstance(error, APIError) else str(error)) from error
            self._good_until = time.monotonic() + _AGAIN_SECONDS


def _put_rule_in_place(client: APIClient, image: str) -> None:
    _remove_left(client)
    made = client.create_container(
        image=image,
        entrypoint=["/usr/bin/env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "/bin/sh", "-c", _SCRIPT],
        environment=list(_OF_LOADER),  # without a value: taken away
        user="0:0",
        working_dir="/",
        labels={_LABEL: BRIDGE_PREFIX},
        use_config_proxy=False,
        host_config=_host_config(client),
    )["Id"]
    try:
        client.start(made)
        if client.wait(made, timeout=_SECONDS)["StatusCode"]:
            raise _reached(" ".join(log_lines(client.logs(made, tail=3), 3)))
    finally:
        remove_container(client, made)


def _host_config(client: APIClient) -> dict[str, Any]:
    folders = (*_FOLDERS, *_LOADER_FOLDER.get(client.info()["Architecture"], ()))
    made: dict[str, Any] = client.create_host_config(
        mounts=[Mount(target=folder, source=folder, type="bind", read_only=True) for folder in folders],
        network_mode="host",
        userns_mode="host",
        cap_drop=["ALL"],
        cap_add=["NET_ADMIN", "NET_RAW"],
        security_opt=["no-new-privileges:true", "label=disable"],
        pids_limit=_PROCESSES,
        mem_limit=_MEMORY,
    )
    return made


def _remove_left(client: APIClient) -> None:
    """Remove what a provisioner left that came to its end meanwhile."""
    for left in client.containers(all=True, filters={"label": _LABEL}):
        if left["Created"] < time.time() - _LEFT_SECONDS:
            remove_container(client, left["Id"])


def _reached(why: str) -> RuntimeFailed:
    detail = (
        "containers would reach the services of the engine's host, because the rule against that cannot be put into "
        f"its firewall ({why}): run ops/docker/firewall there, and set guards_host of the target to false"
    )
    return RuntimeFailed(reason=FailureReason.REJECTED, detail=detail)
