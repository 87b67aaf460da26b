"""The read model of quotas: limits of users, and what their active containers hold."""

from collections.abc import Sequence
from typing import ClassVar
from uuid import UUID

from sqlalchemy import BigInteger, Column, Connection, Integer, Table, Text, Uuid, delete, func, select
from sqlalchemy.dialects.postgresql import insert

from calipso.events import quota as facts
from calipso.events.envelope import Event, Recorded
from calipso.events.values import Limits, Resources
from calipso.projections.tables import ReadModel, read_model_metadata

_metadata = read_model_metadata("quotas")
limits = Table(
    "limits",
    _metadata,
    Column("user_id", Uuid, primary_key=True),
    Column("containers", Integer, nullable=False),
    Column("millicores", BigInteger, nullable=False),
    Column("memory", BigInteger, nullable=False),
    Column("disk", BigInteger, nullable=False),
)
reservations = Table(
    "reservations",
    _metadata,
    Column("container_id", Uuid, primary_key=True),
    Column("user_id", Uuid, nullable=False, index=True),
    Column("label", Text, nullable=False),
    Column("millicores", BigInteger, nullable=False),
    Column("memory", BigInteger, nullable=False),
    Column("disk", BigInteger, nullable=False),
)


class Quotas(ReadModel):
    """Limits and reservations."""

    name: ClassVar[str] = "quotas"
    metadata = _metadata
    topics = frozenset(t.topic() for t in (facts.QuotaAssigned, facts.QuotaReserved, facts.QuotaReleased))

    def apply(self, connection: Connection, events: Sequence[Recorded]) -> None:
        """Change the rows for events, in order."""
        for recorded in events:
            _apply(connection, recorded.event)


def _apply(connection: Connection, event: Event) -> None:
    match event:
        case facts.QuotaAssigned():
            values = {"containers": event.limits.containers, **_columns(event.limits.resources)}
            statement = insert(limits).values(user_id=event.user_id, **values)
            connection.execute(statement.on_conflict_do_update(index_elements=["user_id"], set_=values))
        case facts.QuotaReserved():
            statement = insert(reservations).values(
                container_id=event.container_id, user_id=event.user_id, label=event.label, **_columns(event.resources)
            )
            connection.execute(statement.on_conflict_do_nothing())
        case facts.QuotaReleased():
            connection.execute(delete(reservations).where(reservations.c.container_id == event.container_id))


def _columns(resources: Resources) -> dict[str, int]:
    return {"millicores": resources.millicores, "memory": resources.memory, "disk": resources.disk}


def limits_of(connection: Connection, user_id: UUID) -> Limits | None:
    """The user's own limits, None when the facility's defaults hold."""
    row = connection.execute(select(limits).where(limits.c.user_id == user_id)).first()
    if row is None:
        return None
    resources = Resources(millicores=row.millicores, memory=row.memory, disk=row.disk)
    return Limits(containers=row.containers, resources=resources)


def used_by(connection: Connection, user_id: UUID) -> tuple[int, Resources]:
    """How many active containers a user has, and what they hold together."""
    sums = [func.coalesce(func.sum(reservations.c[name]), 0) for name in ("millicores", "memory", "disk")]
    wanted = select(func.count(), *sums).where(reservations.c.user_id == user_id)
    count, millicores, memory, disk = connection.execute(wanted).one()
    return count, Resources(millicores=int(millicores), memory=int(memory), disk=int(disk))
