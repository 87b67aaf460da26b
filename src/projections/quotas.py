"""The limits of users, and what their active containers hold of them."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import Column, Connection, Table, Uuid, func, select

from calipso.events.envelope import Recorded, erased_values
from calipso.events.quota import QuotaAssigned, QuotaEvent, QuotaReleased, QuotaReserved
from calipso.events.user import UserErased
from calipso.events.values import Limits, Resources
from calipso.projections.columns import PlainText, Whole
from calipso.projections.folding import Changes, Row, topics_of
from calipso.projections.tables import ReadModel, read_model_metadata

_metadata = read_model_metadata("quotas")
limits = Table(
    "limits",
    _metadata,
    Column("user_id", Uuid, primary_key=True),
    Column("containers", Whole, nullable=False),
    Column("millicores", Whole, nullable=False),
    Column("memory", Whole, nullable=False),
    Column("disk", Whole, nullable=False),
)
reservations = Table(
    "reservations",
    _metadata,
    Column("container_id", Uuid, primary_key=True),
    Column("user_id", Uuid, nullable=False, index=True),
    Column("label", PlainText, nullable=False),
    Column("millicores", Whole, nullable=False),
    Column("memory", Whole, nullable=False),
    Column("disk", Whole, nullable=False),
)
_ERASED: Row = {"label": erased_values(QuotaReserved.topic())["label"]}


class Quotas(ReadModel):
    """Keeps a row for the limits of each user who has own ones, and a row for each reservation."""

    name = "quotas"
    topics = topics_of(QuotaEvent, UserErased)
    metadata = _metadata

    def apply(self, connection: Connection, events: Sequence[Recorded]) -> None:
        """Change limits and reservations."""
        assigned, reserved = Changes(limits), Changes(reservations)
        if erased := {recorded.event.user_id for recorded in events if isinstance(recorded.event, UserErased)}:
            reserved.read(connection, reservations.c.user_id, erased)
        for recorded in events:
            match recorded.event:
                case QuotaAssigned() as event:
                    key = {"user_id": event.user_id, "containers": event.limits.containers}
                    assigned.put(key | _columns(event.limits.resources))
                case QuotaReserved() as event:
                    key = {"container_id": event.container_id, "user_id": event.user_id, "label": event.label}
                    reserved.put(key | _columns(event.resources))
                case QuotaReleased(container_id=container_id):
                    reserved.drop(container_id)
                case UserErased(user_id=user_id):
                    for held in reserved.with_value(reservations.c.user_id, user_id):
                        reserved.put(held | _ERASED)
                case _:
                    pass
        assigned.write(connection)
        reserved.write(connection)


def _columns(resources: Resources) -> Row:
    return {"millicores": resources.millicores, "memory": resources.memory, "disk": resources.disk}


def limits_of(connection: Connection, user_id: UUID) -> Limits | None:
    """The limits of a user's own, None when the facility's defaults hold."""
    found = connection.execute(select(limits).where(limits.c.user_id == user_id)).first()
    if found is None:
        return None
    most = Resources(millicores=found.millicores, memory=found.memory, disk=found.disk)
    return Limits(containers=found.containers, resources=most)


def used_by(connection: Connection, user_id: UUID) -> tuple[int, Resources]:
    """The number of a user's active containers, and what they hold together."""
    held = reservations.c
    sums = (func.coalesce(func.sum(column), 0) for column in (held.millicores, held.memory, held.disk))
    found = connection.execute(select(func.count(), *sums).where(held.user_id == user_id)).one()
    count, millicores, memory, disk = (int(number) for number in found)
    return count, Resources(millicores=millicores, memory=memory, disk=disk)
