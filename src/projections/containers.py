"""The read model of containers: one row for each that was ever asked for."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    Connection,
    DateTime,
    Index,
    Integer,
    RowMapping,
    Select,
    Table,
    Text,
    Uuid,
    and_,
    case,
    func,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import insert

from calipso.events import container as facts
from calipso.events.container import ACTIVE, ContainerEvent, State
from calipso.events.envelope import EVENT_TYPES, Recorded
from calipso.events.naming import container_name
from calipso.events.values import Protocol, Resources, Runtime
from calipso.projections.images import images
from calipso.projections.tables import ReadModel, read_model_metadata
from calipso.projections.users import users

_metadata = read_model_metadata("containers")
containers = Table(
    "containers",
    _metadata,
    Column("container_id", Uuid, primary_key=True),
    Column("id", BigInteger, nullable=False, unique=True),
    Column("name", Text, nullable=False, unique=True),
    Column("user_id", Uuid, nullable=False, index=True),
    Column("target", Text, nullable=False),
    Column("runtime", Text, nullable=False),
    Column("protocol", Text, nullable=False),
    Column("image_id", Uuid, nullable=False),
    Column("image_name", Text, nullable=False),
    Column("label", Text, nullable=False),
    Column("info", Text, nullable=False),
    Column("millicores", BigInteger, nullable=False),
    Column("memory", BigInteger, nullable=False),
    Column("disk", BigInteger, nullable=False),
    Column("key_number", Integer, nullable=False),
    Column("deadline", DateTime(timezone=True), nullable=False),
    Column("created", DateTime(timezone=True), nullable=False),
    Column("state", Text, nullable=False),
    Column("started", DateTime(timezone=True)),
    Column("ended", DateTime(timezone=True)),
    Column("runtime_id", Text, nullable=False, default=""),
    Column("host", Text, nullable=False, default=""),
    Column("port", Integer, nullable=False, default=0),
    Column("link", Text, nullable=False, default=""),
    Column("image_digest", Text, nullable=False, default=""),
    Column("failure_reason", Text, nullable=False, default=""),
    Column("removal_requested", Boolean, nullable=False, default=False),
)
_OPEN = or_(
    containers.c.state.in_(sorted(ACTIVE)),
    and_(containers.c.state == State.STOPPED, containers.c.removal_requested),
)
# only few of all containers that ever were are open
Index("open_on_target", containers.c.target, postgresql_where=_OPEN)


@dataclass(frozen=True, kw_only=True)
class ContainerRow:
    """A container; `id`, `user_wire_id` and `image_wire_id` (None when withdrawn) are numbers of the wire."""

    container_id: UUID
    id: int
    name: str
    user_id: UUID
    user_wire_id: int
    target: str
    runtime: Runtime
    protocol: Protocol
    image_wire_id: int | None
    image_name: str
    label: str
    info: str
    resources: Resources
    key_number: int
    deadline: datetime
    created: datetime
    state: State
    runtime_id: str
    port: int
    link: str


class Containers(ReadModel):
    """Every container that was ever asked for."""

    name: ClassVar[str] = "containers"
    metadata = _metadata
    topics = frozenset(topic for topic, t in EVENT_TYPES.items() if issubclass(t, ContainerEvent))

    def apply(self, connection: Connection, events: Sequence[Recorded]) -> None:
        """Change the rows for events, in order; a row is written once however many of its events there are."""
        new: dict[UUID, dict[str, Any]] = {}
        changed: dict[UUID, dict[str, Any]] = {}
        for recorded in events:
            event = recorded.event
            if isinstance(event, facts.ContainerRequested):
                new[event.container_id] = _requested(event, recorded)
            elif isinstance(event, ContainerEvent):
                row = (
                    new[event.container_id] if event.container_id in new else changed.setdefault(event.container_id, {})
                )
                row.update(_changes(recorded, row.get("state", containers.c.state)))
        if new:
            connection.execute(insert(containers).on_conflict_do_nothing(), list(new.values()))
        for container_id, values in changed.items():
            connection.execute(update(containers).where(containers.c.container_id == container_id).values(values))


def _requested(event: facts.ContainerRequested, recorded: Recorded) -> dict[str, Any]:
    return {
        "container_id": event.container_id,
        "id": recorded.position,
        "name": container_name(event.container_id),
        "user_id": event.user_id,
        "target": event.target,
        "runtime": event.image.runtime.value,
        "protocol": event.image.protocol.value,
        "image_id": event.image_id,
        "image_name": event.image_name,
        "label": event.label,
        "info": event.info,
        "millicores": event.resources.millicores,
        "memory": event.resources.memory,
        "disk": event.resources.disk,
        "key_number": event.key_number,
        "deadline": event.deadline,
        "created": recorded.time,
        "state": State.REQUESTED.value,
        "started": None,
        "ended": None,
        "runtime_id": "",
        "host": "",
        "port": 0,
        "link": "",
        "image_digest": "",
        "failure_reason": "",
        "removal_requested": False,
    }


def _changes(recorded: Recorded, state: str | ColumnElement[str]) -> dict[str, Any]:
    """The columns that an event changes; the states are those of `events.container.evolve`.

    Args:
        recorded: the event.
        state: the state before it, or the column that holds it.
    """
    match recorded.event:
        case facts.ContainerStarting() | facts.ContainerAdopted():
            return {"state": State.STARTING.value}
        case facts.ContainerStarted(placement=placement, image_digest=digest):
            return {
                "state": State.RUNNING.value,
                "started": recorded.time,
                "runtime_id": placement.runtime_id,
                "host": placement.host,
                "port": placement.port,
                "link": placement.link,
                "image_digest": digest,
            }
        case facts.ContainerFailed(reason=reason):
            return {"state": State.FAILED.value, "ended": recorded.time, "failure_reason": reason.value}
        case facts.ContainerStopRequested():
            return {"state": State.STOPPING.value}
        case facts.ContainerStopped():
            return {"state": State.STOPPED.value, "ended": recorded.time}
        case facts.ContainerRemovalRequested():
            return {"state": _removing(state), "removal_requested": True}
        case facts.ContainerRemoved():
            return {"state": State.REMOVED.value}
        case facts.ContainerLost():
            return {"state": State.LOST.value, "ended": recorded.time}
        case _:
            return {}


def _removing(state: str | ColumnElement[str]) -> str | ColumnElement[str]:
    if isinstance(state, str):
        return State.STOPPING.value if state in ACTIVE else state
    return case((state.in_(sorted(ACTIVE)), State.STOPPING.value), else_=state)


_JOINED = containers.outerjoin(users, users.c.user_id == containers.c.user_id).outerjoin(
    images, images.c.image_id == containers.c.image_id
)


def _rows() -> Select[Any]:
    wanted = select(containers, func.coalesce(users.c.id, 0).label("user_wire_id"), images.c.id.label("image_wire_id"))
    return wanted.select_from(_JOINED).order_by(containers.c.id)


def _row(row: RowMapping) -> ContainerRow:
    return ContainerRow(
        container_id=row["container_id"],
        id=row["id"],
        name=row["name"],
        user_id=row["user_id"],
        user_wire_id=row["user_wire_id"],
        target=row["target"],
        runtime=Runtime(row["runtime"]),
        protocol=Protocol(row["protocol"]),
        image_wire_id=row["image_wire_id"],
        image_name=row["image_name"],
        label=row["label"],
        info=row["info"],
        resources=Resources(millicores=row["millicores"], memory=row["memory"], disk=row["disk"]),
        key_number=row["key_number"],
        deadline=row["deadline"],
        created=row["created"],
        state=State(row["state"]),
        runtime_id=row["runtime_id"],
        port=row["port"],
        link=row["link"],
    )


def _first(connection: Connection, condition: ColumnElement[bool]) -> ContainerRow | None:
    row = connection.execute(_rows().where(condition)).mappings().first()
    return _row(row) if row else None


def by_id(connection: Connection, number: int) -> ContainerRow | None:
    """The container of a number of the wire."""
    return _first(connection, containers.c.id == number)


def by_uuid(connection: Connection, container_id: UUID) -> ContainerRow | None:
    """The container of a uuid."""
    return _first(connection, containers.c.container_id == container_id)


def by_name(connection: Connection, name: str) -> ContainerRow | None:
    """The container of a name."""
    return _first(connection, containers.c.name == name)


def every_of(connection: Connection, user_id: UUID | None = None) -> Sequence[ContainerRow]:
    """All containers ever, of one user when named, oldest first."""
    wanted = _rows() if user_id is None else _rows().where(containers.c.user_id == user_id)
    return [_row(row) for row in connection.execute(wanted).mappings()]


def active_of(connection: Connection, user_id: UUID | None = None) -> Sequence[ContainerRow]:
    """The active containers, of one user when named, oldest first."""
    wanted = _rows().where(containers.c.state.in_(sorted(ACTIVE)))
    wanted = wanted if user_id is None else wanted.where(containers.c.user_id == user_id)
    return [_row(row) for row in connection.execute(wanted).mappings()]


def open_on(connection: Connection, target: str) -> Sequence[UUID]:
    """The containers of a target that are active, or stopped and to be removed."""
    return (
        connection.execute(select(containers.c.container_id).where(containers.c.target == target, _OPEN))
        .scalars()
        .all()
    )


def held_on(connection: Connection, target: str) -> int:
    """How many containers take room on a target."""
    room = containers.c.state.in_([State.STARTING, State.RUNNING, State.STOPPING, State.STOPPED])
    wanted = select(func.count()).select_from(containers).where(containers.c.target == target, room)
    return connection.execute(wanted).scalar_one()
