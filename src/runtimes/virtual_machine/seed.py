"""What cloud-init in the guest is told: the account, its secret, its folders; as a disk of its NoCloud source.

See https://cloudinit.readthedocs.io/en/latest/reference/datasources/nocloud.html.
"""

import io
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from pycdlib import PyCdlib

from calipso.events.container import ContainerRequested
from calipso.events.values import Mode, Protocol
from calipso.runtimes.names import lawful_name
from calipso.runtimes.protocol import Order
from calipso.runtimes.services import has_secret

FOLDER = "/etc/calipso"
SECRET_FILE = f"{FOLDER}/vnc_password"
WORKDIR_FILE = f"{FOLDER}/workdir"
WEB_PREFIX_FILE = f"{FOLDER}/web_prefix"
_ACCOUNT = re.compile(r"[a-z_][a-z0-9_-]{0,31}")
# programs that make accounts are stricter than Linux
_UNUSUAL = re.compile(r"[^a-z0-9_-]")
_ROOT = "root"
# an account of this name that the image brings must not lend its number to the user
_TAKE_OVER = '! id "$1" || usermod --non-unique --uid "$2" --gid "$3" "$1"'
_WITH_LOGIN = frozenset({Protocol.RDP, Protocol.SSH})
_OPTIONS = {"9p": "trans=virtio,version=9p2000.L,msize=262144", "virtiofs": "defaults"}


def account(request: ContainerRequested) -> str:
    """The name of the account in the guest: that with which Guacamole signs in, or that of the user."""
    wanted = request.image.parameters.get("username", "")
    name = wanted if _ACCOUNT.fullmatch(wanted) else _UNUSUAL.sub("_", lawful_name(request.account).lower())
    return f"_{name}" if name == _ROOT else name


def tag(number: int) -> str:
    """The name by which the guest mounts the folder of this number."""
    return f"calipso{number}"


def user_data(order: Order, *, own_screen: bool, shares: str) -> Mapping[str, Any]:
    """The `cloud-config` of a guest.

    Args:
        order: what is to be made.
        own_screen: whether the hypervisor serves the screen.
        shares: how folders come into the guest: `9p` or `virtiofs`.
    """
    request = order.request
    # where the hypervisor serves the screen, the secret is the hypervisor's affair
    name, secret = account(request), order.secret if has_secret(request.image) and not own_screen else ""
    logs_in = secret and request.image.protocol in _WITH_LOGIN
    config: dict[str, Any] = {
        # the module for groups cannot give them numbers
        "bootcmd": [
            _group(name, request.identity.gid),
            *(_group(_other(number), number) for number in request.identity.groups),
            _once("account", "sh", "-c", _TAKE_OVER, "sh", name, str(request.identity.uid), str(request.identity.gid)),
        ],
        "users": [_user(request, name, secret if logs_in else "")],
        "write_files": list(_files(order, name, secret)),
        "ssh_pwauth": bool(logs_in) and request.image.protocol is Protocol.SSH,
        "mounts": list(_mounts(request, shares)),
    }
    if logs_in:
        # for an account that the image brings, which is not made anew
        config["chpasswd"] = {"expire": False, "users": [{"name": name, "password": secret, "type": "text"}]}
    return config


def disk(order: Order, config: Mapping[str, Any]) -> bytes:
    """The disk that holds what cloud-init is told."""
    files = {
        # JSON is YAML, and nothing in it can be mistaken for something else
        "user-data": "#cloud-config\n" + json.dumps(config, indent=1) + "\n",
        "meta-data": json.dumps({"instance-id": str(order.request.container_id), "local-hostname": order.name}) + "\n",
    }
    iso = PyCdlib()
    iso.new(interchange_level=3, joliet=3, rock_ridge="1.09", vol_ident="cidata")
    for number, (name, text) in enumerate(files.items()):
        content = text.encode()
        iso.add_fp(io.BytesIO(content), len(content), f"/{number}.;1", rr_name=name, joliet_path=f"/{name}")
    made = io.BytesIO()
    iso.write_fp(made)
    iso.close()
    return made.getvalue()


def _group(name: str, number: int) -> Sequence[str]:
    # the number may have another name in the image
    return _once(f"group-{number}", "groupadd", "--non-unique", "--gid", str(number), name)


def _once(what: str, *command: str) -> Sequence[str]:
    """A command that runs once in the life of the guest."""
    return ["cloud-init-per", "instance", f"calipso-{what}", *command]


def _other(number: int) -> str:
    return f"calipso-{number}"


def _user(request: ContainerRequested, name: str, password: str) -> Mapping[str, Any]:
    # with its password from the first, because services of the guest answer before those of others are changed
    login = {"plain_text_passwd": password} if password else {}
    return {
        "name": name,
        "uid": request.identity.uid,
        "primary_group": name,
        "no_user_group": True,
        "groups": [_other(number) for number in request.identity.groups],
        "shell": "/bin/bash",
        "lock_passwd": not password,
        **login,
    }


def _files(order: Order, name: str, secret: str) -> Sequence[Mapping[str, Any]]:
    request = order.request
    files = [_file(WORKDIR_FILE, request.workdir, "root:root", "0444")] if request.workdir else []
    if request.image.protocol is Protocol.HTTP:
        files.append(_file(WEB_PREFIX_FILE, order.web_prefix, "root:root", "0444"))
    if secret:
        files.append(_file(SECRET_FILE, secret, f"{name}:{name}", "0400"))
    return files


def _file(path: str, content: str, owner: str, permissions: str) -> Mapping[str, Any]:
    # deferred, because the account is made after other files
    return {"path": path, "content": content, "owner": owner, "permissions": permissions, "defer": True}


def _mounts(request: ContainerRequested, shares: str) -> Sequence[Sequence[str]]:
    return [
        [
            tag(number),
            volume.bind,
            shares,
            f"{_OPTIONS[shares]},nofail,{'ro' if volume.mode is Mode.READ_ONLY else 'rw'}",
            "0",
            "0",
        ]
        for number, volume in enumerate(request.volumes)
    ]
