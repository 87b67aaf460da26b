"""The values that events are made of. Sizes are integers: millicores and bytes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from uuid import UUID


class Runtime(StrEnum):
    """A way of making containers."""

    DOCKER = "docker_container"
    KUBERNETES = "kubernetes"
    VIRTUAL_MACHINE = "virtual_machine"
    STATIC_LINK = "static_link"


class Protocol(StrEnum):
    """How a container is reached; `NONE` stands for a link that is opened as it is."""

    VNC = "vnc"
    RDP = "rdp"
    SSH = "ssh"
    HTTP = "http"
    NONE = ""


class FailureReason(StrEnum):
    """Why a container never became usable, or ceased to be."""

    UNREACHABLE = "unreachable"  # the target did not answer
    IMAGE_MISSING = "image_missing"  # the target does not have the image and cannot get it
    REJECTED = "rejected"  # the target refused what was asked of it
    CRASHED = "crashed"  # the process ended before it was usable
    EXITED = "exited"  # the process of a running container ended with an error
    TIMEOUT = "timeout"  # not usable before the deadline
    CAPACITY = "capacity"  # the target had no room before the deadline
    ENDED = "ended"  # an administrator ended it, whatever its target says


class Mode(StrEnum):
    """Whether a volume may be written."""

    READ_ONLY = "ro"
    READ_WRITE = "rw"


@dataclass(frozen=True, kw_only=True)
class Resources:
    """What one container takes: processor time in millicores, memory and disk in bytes."""

    millicores: int = 0
    memory: int = 0
    disk: int = 0

    def __add__(self, other: "Resources") -> "Resources":
        return Resources(
            millicores=self.millicores + other.millicores,
            memory=self.memory + other.memory,
            disk=self.disk + other.disk,
        )


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The limits of a quota: number of active containers, and the resources that they hold together."""

    containers: int
    resources: Resources


@dataclass(frozen=True, kw_only=True)
class Volume:
    """A folder of the target (`source`) that is seen in the container at `bind`."""

    source: str
    bind: str
    mode: Mode


@dataclass(frozen=True, kw_only=True)
class ImageSpec:
    """All that a catalogue entry says but its name.

    `reference` is the runtime's name of the image, or the address of a link; `port_hook` a port such as `5901/tcp`;
    `logs_er` a regular expression that the log must match before the container is usable; `targets` the names of the
    targets that may run it, none meaning every target of the runtime; `parameters` what Guacamole is told of its
    connection. For a cluster, `node_selector` holds the labels that a node must have, and `tolerations` the taints that
    its pods bear, written as kubectl writes taints: `key=value:NoSchedule`.
    """

    reference: str
    runtime: Runtime
    protocol: Protocol
    resources: Resources
    port_hook: str = ""
    logs_er: str = ""
    targets: tuple[str, ...] = ()
    parameters: Mapping[str, str] = field(default_factory=dict)
    node_selector: Mapping[str, str] = field(default_factory=dict)
    tolerations: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Identity:
    """The numeric account that a container runs as; never root."""

    uid: int
    gid: int
    groups: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True)
class SessionRef:
    """A session of an experiment, with the membership that gave the right to its data."""

    experiment_id: UUID
    proposal_id: str
    session_number: str
    membership_id: UUID


@dataclass(frozen=True, kw_only=True)
class Placement:
    """Where a container came to be: the runtime's own id and name, and where it is reached.

    `host` and `port` are what guacd and the prober connect to; `link` is the address for a browser, where there is one.
    """

    runtime_id: str
    name: str
    host: str = ""
    port: int = 0
    link: str = ""
