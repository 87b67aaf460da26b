"""Containers: one row for each that was ever asked for."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    Boolean,
    Column,
    ColumnElement,
    Connection,
    Index,
    RowMapping,
    Select,
    Table,
    Uuid,
    bindparam,
    func,
    select,
)

from calipso.events import container as facts
from calipso.events.container import ACTIVE, ContainerEvent, State, transition
from calipso.events.envelope import Recorded, erased_values
from calipso.events.naming import container_name
from calipso.events.user import UserErased
from calipso.events.values import FailureReason, Protocol, Resources, Runtime
from calipso.projections.columns import Moment, PlainText, Whole
from calipso.projections.folding import Changes, Row, any_of, topics_of
from calipso.projections.images import images
from calipso.projections.tables import ReadModel, read_model_metadata
from calipso.projections.users import users

_metadata = read_model_metadata("containers")
containers = Table(
    "containers",
    _metadata,
    Column("container_id", Uuid, primary_key=True),
    Column("id", Whole, nullable=False, unique=True),
    Column("name", PlainText, nullable=False, unique=True),
    Column("user_id", Uuid, nullable=False, index=True),
    Column("target", PlainText, nullable=False),
    Column("runtime", PlainText, nullable=False),
    Column("protocol", PlainText, nullable=False),
    Column("image_id", Uuid, nullable=False),
    Column("image_name", PlainText, nullable=False),
    Column("label", PlainText, nullable=False),
    Column("info", PlainText, nullable=False),
    Column("millicores", Whole, nullable=False),
    Column("memory", Whole, nullable=False),
    Column("disk", Whole, nullable=False),
    Column("key_number", Whole, nullable=False),
    Column("deadline", Moment, nullable=False),
    Column("state", PlainText, nullable=False),
    Column("created", Moment, nullable=False),
    Column("started", Moment),
    Column("ended", Moment),
    Column("runtime_id", PlainText, nullable=False),
    Column("host", PlainText, nullable=False),
    Column("port", Whole, nullable=False),
    Column("link", PlainText, nullable=False),
    Column("web_prefix", PlainText, nullable=False),
    Column("web_token", PlainText, nullable=False),
    Column("image_digest", PlainText, nullable=False),
    Column("failure_reason", PlainText, nullable=False),
    Column("failure_detail", PlainText, nullable=False),
    Column("removal_requested", Boolean, nullable=False),
    Column("last_event_id", Uuid, nullable=False),
)
_ERASED: Row = {
    **{name: erased_values(facts.ContainerRequested.topic())[name] for name in ("label", "info")},
    "failure_detail": erased_values(facts.ContainerFailed.topic())["detail"],
}
_IN_STATE = containers.c.state
# written into the statement as it is: the planner must see that the index below holds all rows that are asked for
KEPT = _IN_STATE.in_(bindparam("kept", sorted({*ACTIVE, State.STOPPED}), expanding=True, literal_execute=True))
IS_ACTIVE = _IN_STATE.in_(sorted(ACTIVE))
Index("kept_on_target", containers.c.target, postgresql_where=KEPT)  # few of all containers that ever were


@dataclass(frozen=True, kw_only=True)
class ContainerRow:
    """A container; `id`, `user_wire_id` and `image_wire_id` (None when the image was withdrawn) are ids of the wire.

    `web_prefix` and `web_token` are what the image says of a service of HTTP by the parameters `prefix` and `token`.

    `created` is when it was asked for, `started` when it became usable, `ended` when it ceased to be active.
    """

    id: int
    container_id: UUID
    name: str
    user_id: UUID
    user_wire_id: int
    target: str
    runtime: Runtime
    protocol: Protocol
    image_id: UUID
    image_name: str
    image_wire_id: int | None
    label: str
    info: str
    resources: Resources
    key_number: int
    deadline: datetime
    state: State
    created: datetime
    started: datetime | None
    ended: datetime | None
    runtime_id: str
    host: str
    port: int
    link: str
    web_prefix: str
    web_token: str
    image_digest: str
    failure_reason: FailureReason | None
    failure_detail: str
    removal_requested: bool
    last_event_id: UUID


class Containers(ReadModel):
    """Keeps a row for each container that was ever asked for."""

    name = "containers"
    topics = topics_of(ContainerEvent, UserErased)
    metadata = _metadata

    def apply(self, connection: Connection, events: Sequence[Recorded]) -> None:
        """Change the rows of the containers that the events are about."""
        changes = Changes(containers)
        changes.read(connection, containers.c.container_id, {recorded.stream for recorded in events})
        erased = {recorded.event.user_id for recorded in events if isinstance(recorded.event, UserErased)}
        if erased:
            changes.read(connection, containers.c.user_id, erased)
        for recorded in events:
            if isinstance(recorded.event, UserErased):
                for known in changes.with_value(containers.c.user_id, recorded.event.user_id):
                    changes.put(known | _ERASED)
            elif row := _folded(changes.get(recorded.stream), recorded):
                changes.put(row)
        changes.write(connection)


def _folded(row: Row | None, recorded: Recorded) -> Row | None:
    """The row after one more event, None before the request."""
    event = recorded.event
    if row is None:
        return _requested(event, recorded) if isinstance(event, facts.ContainerRequested) else None
    state = transition(State(row["state"]), event)
    ended = None if state in ACTIVE else row["ended"] or recorded.time
    return row | _told(recorded) | {"state": state.value, "ended": ended, "last_event_id": recorded.id}


def _requested(event: facts.ContainerRequested, recorded: Recorded) -> Row:
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
        "state": State.REQUESTED.value,
        "created": recorded.time,
        "started": None,
        "ended": None,
        "runtime_id": "",
        "host": "",
        "port": 0,
        "link": "",
        "web_prefix": event.image.parameters.get("prefix", ""),
        "web_token": event.image.parameters.get("token", ""),
        "image_digest": "",
        "failure_reason": "",
        "failure_detail": "",
        "removal_requested": False,
        "last_event_id": recorded.id,
    }


def _told(recorded: Recorded) -> Row:
    """What an event tells beside the state to which it leads."""
    match recorded.event:
        case facts.ContainerStarted(placement=placement, image_digest=image_digest):
            return {
                "started": recorded.time,
                "runtime_id": placement.runtime_id,
                "host": placement.host,
                "port": placement.port,
                "link": placement.link,
                "image_digest": image_digest,
            }
        case facts.ContainerFailed(reason=reason, detail=detail):
            return {"failure_reason": reason.value, "failure_detail": detail}
        case facts.ContainerRemovalRequested():
            return {"removal_requested": True}
        case _:
            return {}


def by_id(connection: Connection, id: int) -> ContainerRow | None:  # noqa: A002 - its name on the wire
    """The container of an integer id."""
    return _one(connection, containers.c.id == id)


def by_uuid(connection: Connection, container_id: UUID) -> ContainerRow | None:
    """The container of a uuid."""
    return _one(connection, containers.c.container_id == container_id)


def by_uuids(connection: Connection, container_ids: Collection[UUID]) -> Mapping[UUID, ContainerRow]:
    """Those containers of some uuids that there are."""
    found = _all(connection, _rows().where(any_of(containers.c.container_id, container_ids)))
    return {row.container_id: row for row in found}


def by_name(connection: Connection, name: str) -> ContainerRow | None:
    """The container of a name."""
    return _one(connection, containers.c.name == name)


def active_of(connection: Connection, user_id: UUID | None) -> Sequence[ContainerRow]:
    """The active containers of a user, or of everybody, the oldest first."""
    return _all(connection, _owned(user_id).where(KEPT, IS_ACTIVE))


def running(connection: Connection) -> Sequence[UUID]:
    """The containers of everybody that run."""
    query = select(containers.c.container_id).where(KEPT, _IN_STATE == State.RUNNING)
    return connection.execute(query).scalars().all()


def kept(connection: Connection) -> Sequence[ContainerRow]:
    """The containers of everybody that are active, or stopped and not removed, the oldest first."""
    return _all(connection, _rows().where(KEPT))


def every_of(connection: Connection, user_id: UUID | None) -> Sequence[ContainerRow]:
    """All containers of a user, or of everybody, that ever were, the oldest first."""
    return _all(connection, _owned(user_id))


def owned_by(connection: Connection, user_id: UUID) -> tuple[int, Sequence[UUID]]:
    """A position, and all containers of a user that were asked for until then, perhaps some of later."""
    place = _metadata.tables[f"{_metadata.schema}.position"]
    position: int = connection.execute(select(place.c.position)).scalar_one()
    query = select(containers.c.container_id).where(containers.c.user_id == user_id)
    return position, connection.execute(query).scalars().all()


def _rows() -> Select[Any]:
    return (
        select(containers, func.coalesce(users.c.id, 0).label("user_wire_id"), images.c.id.label("image_wire_id"))
        .outerjoin(users, users.c.user_id == containers.c.user_id)
        .outerjoin(images, images.c.image_id == containers.c.image_id)
        .order_by(containers.c.id)
    )


def _owned(user_id: UUID | None) -> Select[Any]:
    return _rows() if user_id is None else _rows().where(containers.c.user_id == user_id)


def _one(connection: Connection, condition: ColumnElement[bool]) -> ContainerRow | None:
    return next(iter(_all(connection, _rows().where(condition))), None)


def _all(connection: Connection, query: Select[Any]) -> Sequence[ContainerRow]:
    return [_row(found) for found in connection.execute(query).mappings()]


def _row(found: RowMapping) -> ContainerRow:
    columns = dict(found)
    return ContainerRow(
        runtime=Runtime(columns.pop("runtime")),
        protocol=Protocol(columns.pop("protocol")),
        state=State(columns.pop("state")),
        failure_reason=FailureReason(reason) if (reason := columns.pop("failure_reason")) else None,
        resources=Resources(**{name: columns.pop(name) for name in ("millicores", "memory", "disk")}),
        **columns,
    )
