"""What the provisioner and the reconciler ask of a runtime, whatever makes the containers.

Every method is one short blocking exchange with the target; waiting until a container is usable is the provisioner's
affair, so that it can be cut short. A target that does not answer raises `Unavailable`, whatever was asked of it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from threading import Event
from typing import Protocol
from uuid import UUID

from calipso.errors import CalipsoError
from calipso.events.container import ContainerRequested
from calipso.events.values import FailureReason, Runtime


@dataclass(frozen=True, kw_only=True)
class Target:
    """A named instance of a runtime, as the settings describe it.

    `address` is where the runtime answers (`unix:///var/run/docker.sock`, `tcp://host:2376`); `public_host` is what
    guacd and browsers connect to; `publish_address` is the private address on which ports are published; `guacd_host`
    and `guacd_port` name the guacd near the target, empty meaning Guacamole's own; `capacity` is the number of
    containers that it holds at most and `starts` the number that it starts at one time; without `egress` containers
    reach nothing outside; with `guards_host` they are kept from the services of their engine's host.

    `folder_image` is an image with a shell in which the folders of volumes are looked at and made, on a cluster or an
    engine that is elsewhere; empty for the container's own.

    Of a cluster, `namespace` holds the pods, `service` is the kind of their services, `networks` may reach them,
    `volumes` says where folders are (`host`, `nfs:SERVER`, `claim:NAME:ROOT`), `pull_policy` and `pull_secrets` how
    images come.

    Of virtual machines, `pool` is the storage pool with the disks of images, `network` the network of libvirt that
    machines are in, and `shares` how folders come into them: `9p` or `virtiofs`.
    """

    name: str
    runtime: Runtime
    address: str = ""
    tls_ca: Path | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None
    public_host: str = "127.0.0.1"
    publish_address: str = "127.0.0.1"
    guacd_host: str = ""
    guacd_port: int = 4822
    capacity: int = 1000
    starts: int = 10
    egress: bool = True
    guards_host: bool = True
    folder_image: str = ""
    namespace: str = "default"
    service: str = "NodePort"
    networks: tuple[str, ...] = ()
    volumes: str = "host"
    pull_policy: str = "IfNotPresent"
    pull_secrets: tuple[str, ...] = ()
    pool: str = "default"
    network: str = "default"
    shares: str = "9p"


@dataclass(frozen=True, kw_only=True)
class Order:
    """All that a runtime must know to make one container.

    `secret` is the password that the container's service asks for; it reaches the container by a file only.
    `web_prefix` is the path under which browsers see its web service, with a slash at both ends.
    """

    request: ContainerRequested
    name: str
    secret: str
    web_prefix: str = "/"


class Status(StrEnum):
    """What a target says of a container's process."""

    CREATED = "created"
    RUNNING = "running"
    EXITED = "exited"


@dataclass(frozen=True, kw_only=True)
class Observation:
    """What a target says of one container now; it becomes a fact only through a command.

    `host` and `port` are where its service is reached, 0 while there is none; `link` is set where the runtime itself
    knows the address for a browser; `exit_code` is known once the process has ended; `detail` is the runtime's own
    word on why it ended (`out of memory`), or why it has not begun; `failure` is set when it never will.
    """

    container_id: UUID
    runtime_id: str
    name: str
    status: Status
    host: str = ""
    port: int = 0
    link: str = ""
    image_digest: str = ""
    exit_code: int | None = None
    detail: str = ""
    failure: FailureReason | None = None


@dataclass(eq=False)
class RuntimeFailed(CalipsoError):
    """The target answered, and did not do what was asked: `reason` for the record, `detail` in its own words."""

    reason: FailureReason
    detail: str

    def __str__(self) -> str:
        return f"{self.reason}: {self.detail}"


class ContainerRuntime(Protocol):
    """A way of making containers on one target. Names and labels derive from the container id alone.

    Only what carries this installation's id and the target's name is ever seen or touched.
    """

    @property
    def keeps_containers(self) -> bool:
        """Whether something exists on the target for each container.

        Where nothing does (a link), nothing can be observed, listed or end, and that it is absent proves nothing.
        """

    def start(self, order: Order) -> Observation:
        """Make the container and start its process; what is already there under its name and labels is adopted.

        Raises:
            RuntimeFailed: the target refused; nothing is left behind.
            Unavailable: the target did not answer; something may be left behind.
        """

    def observe(self, container_id: UUID) -> Observation | None:
        """Say what the target has of one container; None when there is nothing."""

    def list(self) -> Mapping[UUID, Observation]:
        """Say what the target has of every container of this installation; complete, or an error."""

    def logs(self, container_id: UUID, *, lines: int) -> tuple[str, ...]:
        """The last lines of the container's log, none when it is not there."""

    def stop(self, container_id: UUID, *, grace: timedelta) -> None:
        """End the container's process, by force after the grace; nothing happens when it has ended or is not there.

        What ran is observed as exited when this returns, and until it is removed; with its exit code, or with 137 where
        the target has lost it.

        Raises:
            RuntimeFailed: the process could not be ended.
        """

    def remove(self, container_id: UUID) -> None:
        """Remove all that was made for the container, running or not; nothing happens when it is not there.

        Raises:
            RuntimeFailed: something is left.
        """

    def watch(self, ended: Event) -> Iterator[UUID]:
        """The containers whose process ended or that were removed, as it happens, until `ended` is set."""

    def ping(self) -> str:
        """What the target says it is, such as its version."""
