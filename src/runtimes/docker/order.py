"""How an order reads for a Docker Engine: the container's settings, its labels, and its secret."""

import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from docker.types import LogConfig, Mount

from calipso.commands.volumes import is_below
from calipso.events.container import ContainerRequested
from calipso.events.values import Identity, Mode, Volume
from calipso.runtimes.docker.files import File
from calipso.runtimes.names import Names, environment
from calipso.runtimes.protocol import Order
from calipso.runtimes.services import has_secret, service_port

_INSTALLATION, _FACILITY = "calipso.installation", "calipso.facility"
_TARGET, _CONTAINER = "calipso.target", "calipso.container"
PORT = "calipso.port"
_FOLDERS = "calipso.folders"
SECRET_FOLDER = "/run/secrets"  # noqa: S105 - a folder
NAMES_FOLDER = "/etc"
NAMES_WRITTEN = 1  # the time of change, in seconds of Unix, by which the files of names that we wrote are known
_SECRET_FILE = "vnc_password"  # noqa: S105 - a file's name
_RUN_BYTES = 64 * 2**20
_PROCESSOR = 1000  # millicores
_TURN, _LONGEST_PERIOD = 100_000, 1_000_000  # microseconds


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What every container of an engine is held to.

    `processes` is the number of processes of one container; `log_bytes` the size of each of its two log files;
    `publish_address` the private address of its port.
    """

    processes: int
    log_bytes: int
    publish_address: str


@dataclass(frozen=True, kw_only=True)
class Labels:
    """The labels by which containers are found again."""

    installation: str
    facility: str
    target: str

    def of(self, container_id: UUID) -> dict[str, str]:
        """The labels of one container."""
        return {**self.of_target(), _CONTAINER: str(container_id)}

    def of_target(self) -> dict[str, str]:
        """The labels of what all containers of the target share."""
        return {_INSTALLATION: self.installation, _FACILITY: self.facility, _TARGET: self.target}

    def filters(self) -> list[str]:
        """The labels that all containers of this installation and target have, as filters read them."""
        return [f"{_INSTALLATION}={self.installation}", f"{_TARGET}={self.target}"]

    def of_folders(self, container_id: UUID) -> list[str]:
        """The labels of what makes the folders of a container, which is no container of a user."""
        return [*self.filters(), f"{_FOLDERS}={container_id}"]

    def owned(self, labels: Mapping[str, str]) -> UUID | None:
        """The container that these labels belong to; None when it is not of this installation and target."""
        return self._named(labels, _CONTAINER)

    def prepared(self, labels: Mapping[str, str]) -> UUID | None:
        """The container whose folders are made by what has these labels; None when it makes none of ours."""
        return self._named(labels, _FOLDERS)

    def _named(self, labels: Mapping[str, str], label: str) -> UUID | None:
        if (labels.get(_INSTALLATION), labels.get(_TARGET)) != (self.installation, self.target):
            return None
        try:
            return UUID(labels.get(label, ""))
        except ValueError:
            return None


def settings(order: Order, labels: Labels) -> dict[str, Any]:
    """What `create_container` takes, besides the settings for the host."""
    request = order.request
    return {
        "image": request.image.reference,
        "name": order.name,
        "labels": {**labels.of(request.container_id), PORT: service_port(request.image)},
        "user": f"{request.identity.uid}:{request.identity.gid}",
        "environment": environment(order),
        "working_dir": _working_folder(request),
        "ports": [tuple(service_port(request.image).split("/"))],
        "use_config_proxy": False,  # this account's own settings are not the containers'
    }


def host_settings(order: Order, limits: Limits, processors: int, network: str) -> dict[str, Any]:
    """What `create_host_config` takes.

    Args:
        order: what is to be made.
        limits: what every container is held to.
        processors: the number that the engine has; it refuses a limit above it.
        network: the name of the network that it is in.
    """
    request = order.request
    resources = request.resources
    return {
        "mem_limit": resources.memory,
        "memswap_limit": resources.memory,
        **_processor_time(resources.millicores, processors),
        "pids_limit": limits.processes,
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],
        "read_only": True,
        "tmpfs": _tmpfs(resources.memory),
        "group_add": [str(group) for group in request.identity.groups],
        "mounts": _mounts(request),
        "network_mode": network,
        "port_bindings": {service_port(request.image): (limits.publish_address, None)},
        "log_config": LogConfig(type=LogConfig.types.JSON, config={"max-size": str(limits.log_bytes), "max-file": "2"}),
        "restart_policy": {"Name": "no"},
    }


def _processor_time(millicores: int, processors: int) -> dict[str, int]:
    """The limit of processor time.

    An engine by itself lets whoever has a tenth of a processor run for 10 ms and then halts it for 90. Less than one is
    as much in turns of 100 ms, as far as kernels go: so a container has started before it is halted.
    """
    if millicores == 0 or millicores >= _PROCESSOR:
        return {"nano_cpus": min(millicores * 10**6, processors * 10**9)}
    period = min(_TURN * _PROCESSOR // millicores, _LONGEST_PERIOD)
    return {"cpu_period": period, "cpu_quota": period * millicores // _PROCESSOR}


def secret_files(secret: str, identity: Identity) -> list[File]:
    """The secret's file, readable by the container's account alone."""
    entry = tarfile.TarInfo(_SECRET_FILE)
    entry.mode, entry.uid, entry.gid = 0o400, identity.uid, identity.gid
    return [(entry, secret)]


def names_files(names: Names) -> list[File]:
    """The files of the account's name."""
    return [(_names_entry("passwd"), names.passwd), (_names_entry("group"), names.group)]


def _names_entry(name: str) -> tarfile.TarInfo:
    # a file belongs to root, and everybody may read it, if nothing else is said
    entry = tarfile.TarInfo(name)
    entry.mtime = NAMES_WRITTEN
    return entry


def _working_folder(request: ContainerRequested) -> str | None:
    covered = any(request.workdir == v.bind or is_below(request.workdir, v.bind) for v in request.volumes)
    return request.workdir if request.workdir and covered else None


def _tmpfs(memory: int) -> dict[str, str]:
    """The writable folders; what lies in them counts as the container's memory."""
    common = "rw,nosuid,nodev,mode=1777"
    if not memory:
        return {"/tmp": f"{common},exec", "/run": f"{common},size={_RUN_BYTES}"}  # noqa: S108 - inside the container
    # programs build and load libraries below their home folder
    return {
        "/tmp": f"{common},exec,size={memory // 2}",  # noqa: S108 - inside the container
        "/run": f"{common},size={min(memory // 8, _RUN_BYTES)}",
    }


def _mounts(request: ContainerRequested) -> list[Mount]:
    # the image's own files are copied into it: an account gets its name there, and all else stays as it is
    mounts = [Mount(target=NAMES_FOLDER, source=None, type="volume"), *map(_bind, request.volumes)]
    if has_secret(request.image):
        # a tmpfs cannot be filled before the start, and after it the process would have to wait
        mounts.append(Mount(target=SECRET_FOLDER, source=None, type="volume", no_copy=True))
    return mounts


def _bind(volume: Volume) -> Mount:
    # unlike a "bind", a "mount" never makes a missing folder as root
    return Mount(target=volume.bind, source=volume.source, type="bind", read_only=volume.mode is Mode.READ_ONLY)
