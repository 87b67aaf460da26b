"""The name of a container's account, as programs inside find it: lines of `/etc/passwd` and `/etc/group`.

Without them a shell greets with "I have no name!", and programs that ask who they are (ssh, git, sudo) fail.
"""

import re
from dataclasses import dataclass

from calipso.events.container import ContainerRequested
from calipso.events.values import Protocol
from calipso.runtimes.protocol import Order

HOME = "/tmp/home"  # noqa: S108 - inside the container
_LONGEST = 32  # what the tools of Linux bear
_UNLAWFUL = re.compile(r"[^\w.@+-]", re.ASCII)
_SHELL = "/bin/sh"
# where an image's own files cannot be read, as in a pod that is not there yet
_PASSWD = f"root:x:0:0:root:/root:{_SHELL}\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"
_GROUP = "root:x:0:\nnogroup:x:65534:\n"


@dataclass(frozen=True, kw_only=True)
class Names:
    """The two files, as texts."""

    passwd: str
    group: str


def names_for(request: ContainerRequested, passwd: str = _PASSWD, group: str = _GROUP) -> Names:
    """The files of an image with the account of a container among them.

    Args:
        request: whose account and groups get names.
        passwd: the image's own `/etc/passwd`.
        group: the image's own `/etc/group`.
    """
    identity, name = request.identity, lawful_name(request.account)
    line = f"{name}:x:{identity.uid}:{identity.gid}::{HOME}:{_shell(passwd)}"
    named = {_number(each) for each in group.splitlines()}
    missing = [gid for gid in dict.fromkeys((identity.gid, *identity.groups)) if str(gid) not in named]
    taken = {each.partition(":")[0] for each in group.splitlines()}
    lines = [f"{name if gid == identity.gid and name not in taken else f'group{gid}'}:x:{gid}:" for gid in missing]
    others = [each for each in passwd.splitlines() if not _is_of(each, name, identity.uid)]
    return Names(passwd=_joined([*others, line]), group=_joined([*group.splitlines(), *lines]))


def environment(order: Order) -> dict[str, str]:
    """What the processes of a container find in their environment."""
    name = lawful_name(order.request.account)
    web = {"CALIPSO_WEB_PREFIX": order.web_prefix} if order.request.image.protocol is Protocol.HTTP else {}
    return {"HOME": HOME, "USER": name, "LOGNAME": name, "PYTHONUNBUFFERED": "0", **web}


def lawful_name(account: str) -> str:
    """The name of an account as Linux bears it: `ada.lovelace@example.org`, `m_ller`; `user` when there is none."""
    name = _UNLAWFUL.sub("_", account)[:_LONGEST]
    # a number or a sign at the beginning would be mistaken for something else
    return name if name[:1].isalpha() or name[:1] == "_" else f"_{name}"[:_LONGEST] if name else "user"


def _is_of(line: str, name: str, uid: int) -> bool:
    return line.partition(":")[0] == name or _number(line) == str(uid)


def _number(line: str) -> str:
    return [*line.split(":"), "", ""][2]


def _shell(passwd: str) -> str:
    """The shell of the image's root, which is there."""
    root = next((line.split(":") for line in passwd.splitlines() if _number(line) == "0"), [])
    return root[6] if len(root) == 7 and root[6].endswith("sh") else _SHELL  # noqa: PLR2004 - the fields of passwd(5)


def _joined(lines: list[str]) -> str:
    return "".join(f"{line}\n" for line in lines)
