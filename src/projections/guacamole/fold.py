"""What Guacamole should have of each container: its life folded from events, and the values of its rows."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from uuid import UUID

from calipso import credentials
from calipso.credentials import MasterKeys
from calipso.errors import Invalid
from calipso.events.container import (
    ContainerFailed,
    ContainerLost,
    ContainerRemoved,
    ContainerRequested,
    ContainerStarted,
    ContainerStopped,
)
from calipso.events.envelope import Recorded
from calipso.events.naming import container_name
from calipso.events.values import Placement, Protocol, Runtime
from calipso.projections.folding import topics_of

TOPICS = topics_of(
    ContainerRequested, ContainerStarted, ContainerFailed, ContainerStopped, ContainerRemoved, ContainerLost
)
OUR_ATTRIBUTE = "calipso-container"

# what an image need not say; guacd is silent about names that it does not know
_PARAMETERS: Mapping[str, Mapping[str, str]] = {
    Protocol.VNC: {},
    # the certificate of a container is made at its start, and nobody could have signed it
    Protocol.RDP: {"username": "user", "ignore-cert": "true", "security": "any", "resize-method": "display-update"},
    Protocol.SSH: {"username": "user"},
}


@dataclass(frozen=True, kw_only=True)
class Kept:
    """What is kept of a container from its request until its end; the ids are set once its rows were written."""

    container_id: UUID
    protocol: str
    key_number: int
    target: str
    parameters: Mapping[str, str] = field(default_factory=dict)
    connection_id: int | None = None
    entity_id: int | None = None


@dataclass(frozen=True, kw_only=True)
class Start:
    """Where a container is, and when it was there first."""

    placement: Placement
    time: datetime


@dataclass(frozen=True, kw_only=True)
class Life:
    """A container that Guacamole can show and that has not ended; `start` is None where no event told it."""

    kept: Kept
    start: Start | None = None


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """The values that the rows of a running container should have; `password_date` is in UTC."""

    kept: Kept
    account: str
    password_hash: bytes
    password_salt: bytes
    password_date: datetime
    connection: Mapping[str, object]
    parameters: Mapping[str, str]


def fold(lives: dict[UUID, Life], recorded: Recorded) -> None:
    """Change the lives by one more event; those that ended go."""
    match recorded.event:
        case ContainerRequested() as event if _is_shown(event):
            lives.setdefault(event.container_id, Life(kept=_kept(event)))
        case ContainerStarted(container_id=container_id, placement=placement) if container_id in lives:
            life = lives[container_id]
            first = life.start.time if life.start else recorded.time
            lives[container_id] = replace(life, start=Start(placement=placement, time=first))
        case ContainerFailed() | ContainerStopped() | ContainerRemoved() | ContainerLost() as event:
            lives.pop(event.container_id, None)


def wanted(kept: Kept, start: Start, keys: MasterKeys, guacd: Mapping[str, tuple[str, int]]) -> Wanted:
    """The rows of a container that runs.

    Args:
        kept: what its request told.
        start: what its start told.
        keys: from which its account and passwords derive.
        guacd: host and port of the guacd of each target.

    Raises:
        Invalid: its master key is missing.
    """
    if not keys.has(kept.key_number):
        raise Invalid(
            "master_keys",
            f"key {kept.key_number} is missing, from which the passwords of container {kept.container_id} derive",
        )
    salt = credentials.guacamole_salt(keys, kept.key_number, kept.container_id)
    password = credentials.guacamole_password(keys, kept.key_number, kept.container_id)
    return Wanted(
        kept=kept,
        account=credentials.guacamole_username(kept.container_id),
        password_hash=credentials.guacamole_hash(password, salt),
        password_salt=salt,
        # MySQL's `datetime` holds whole seconds without a zone
        password_date=start.time.astimezone(UTC).replace(microsecond=0),
        connection=_connection(kept, guacd),
        parameters=_parameters(kept, start.placement, keys),
    )


def _is_shown(event: ContainerRequested) -> bool:
    return event.image.protocol in _PARAMETERS and event.image.runtime is not Runtime.STATIC_LINK


def _kept(event: ContainerRequested) -> Kept:
    return Kept(
        container_id=event.container_id,
        protocol=event.image.protocol.value,
        key_number=event.key_number,
        target=event.target,
        parameters=event.image.parameters,
    )


def _connection(kept: Kept, guacd: Mapping[str, tuple[str, int]]) -> Mapping[str, object]:
    host, port = guacd.get(kept.target, ("", 0))
    return {
        "connection_name": container_name(kept.container_id),
        "protocol": kept.protocol,
        "proxy_hostname": host or None,
        "proxy_port": port if host else None,
    }


def _parameters(kept: Kept, placement: Placement, keys: MasterKeys) -> Mapping[str, str]:
    values = {
        **_PARAMETERS[kept.protocol],
        **kept.parameters,
        "hostname": placement.host,
        "port": str(placement.port or ""),
        "password": credentials.vnc_password(keys, kept.key_number, kept.container_id),
    }
    # Guacamole replaces ${NAME} in values, a doubled sign stands for itself; an unset parameter is one without a row
    return {name: value.replace("${", "$${") for name, value in values.items() if value}
