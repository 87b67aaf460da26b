"""The folders of a hypervisor: on this host, or where the ssh leads by which libvirt is reached too."""

import base64
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

from calipso.events.values import Identity, Volume
from calipso.runtimes.folders import PROGRAM, SECONDS, make_folders, rejected, root_of

_CONNECT_SECONDS = 5
_BY_SSH = frozenset({"ssh", "libssh", "libssh2"})
_FALSE = frozenset({"", "0"})


def make_folders_of(
    address: str, volumes: Sequence[Volume], identity: Identity, roots: Sequence[str], *, seconds: float = SECONDS
) -> None:
    """Make the folders below the roots that are missing on a hypervisor, and give them to the container's account.

    Args:
        address: libvirt's URI.
        volumes: whose sources are wanted; those below none of the roots are the facility's.
        identity: the account that looks at them, and gets a folder that was missing.
        roots: folders of the hypervisor below which missing folders are made.
        seconds: the time until a folder counts as dead.

    Raises:
        RuntimeFailed: a folder cannot be made, does not answer, or cannot be looked at; or a link leads out.
    """
    if not urlsplit(address).hostname:
        make_folders(volumes, identity, roots, seconds=seconds)
        return
    below = [volume for volume in volumes if root_of(volume.source, roots)]
    if not below:
        return
    command = ssh_command(address)
    if not command:
        raise rejected(
            f"the folder {below[0].source} cannot be looked at on a hypervisor that is reached by "
            f"{urlsplit(address).scheme}: reach it by qemu+ssh, or run a provisioner on it"
        )
    make_folders(volumes, identity, roots, seconds=seconds + _CONNECT_SECONDS, program=[*command, _program()])


def ssh_command(address: str) -> list[str]:
    """What runs a command where libvirt is, with the credentials that its URI names; empty where ssh is not the way.

    See https://libvirt.org/uri.html#ssh-transport for what may be in the URI.
    """
    uri = urlsplit(address)
    if uri.scheme.partition("+")[2] not in _BY_SSH or not uri.hostname:
        return []
    asked = dict(parse_qsl(uri.query))
    command = [asked.get("command", "ssh"), "-T", "-e", "none"]
    options = {"BatchMode": "yes", "ConnectTimeout": str(_CONNECT_SECONDS), **_verification(asked)}
    command += [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
    given = {"-p": str(uri.port or ""), "-l": unquote(uri.username or ""), "-i": asked.get("keyfile", "")}
    command += [word for name, value in given.items() if value for word in (name, value)]
    return [*command, "--", uri.hostname]


def _verification(asked: dict[str, str]) -> dict[str, str]:
    """How the hypervisor proves who it is."""
    options = {"UserKnownHostsFile": asked["known_hosts"]} if asked.get("known_hosts") else {}
    wanted = asked.get("known_hosts_verify", "")
    if asked.get("no_verify", "") not in _FALSE or wanted == "ignore":
        return options | {"StrictHostKeyChecking": "no"}
    return options | ({"StrictHostKeyChecking": "accept-new"} if wanted == "auto" else {})


def _program() -> str:
    """The program that looks at folders, in one line that every shell reads alike."""
    text = base64.b64encode(Path(PROGRAM).read_bytes()).decode()
    return f"""python3 -I -S -c "import base64; exec(base64.b64decode('{text}'))\""""
