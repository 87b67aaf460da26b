"""The read model of the catalogue."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar
from uuid import UUID

from sqlalchemy import ARRAY, BigInteger, Column, Connection, RowMapping, Table, Text, Uuid, delete, select, update
from sqlalchemy.dialects.postgresql import insert

from calipso.events import image as facts
from calipso.events.envelope import Recorded
from calipso.events.values import ImageSpec, Protocol, Resources, Runtime
from calipso.projections.tables import ReadModel, read_model_metadata

_metadata = read_model_metadata("images")
images = Table(
    "images",
    _metadata,
    Column("image_id", Uuid, primary_key=True),
    Column("id", BigInteger, nullable=False, unique=True),
    Column("name", Text, nullable=False, unique=True),
    Column("reference", Text, nullable=False),
    Column("runtime", Text, nullable=False),
    Column("protocol", Text, nullable=False),
    Column("millicores", BigInteger, nullable=False),
    Column("memory", BigInteger, nullable=False),
    Column("disk", BigInteger, nullable=False),
    Column("port_hook", Text, nullable=False),
    Column("logs_er", Text, nullable=False),
    Column("targets", ARRAY(Text), nullable=False),
)


@dataclass(frozen=True, kw_only=True)
class ImageRow:
    """A catalogue entry; `id` is its number on the wire."""

    image_id: UUID
    id: int
    name: str
    spec: ImageSpec


class Images(ReadModel):
    """What may be launched."""

    name: ClassVar[str] = "images"
    metadata = _metadata
    topics = frozenset(t.topic() for t in (facts.ImageAdded, facts.ImageChanged, facts.ImageWithdrawn))

    def apply(self, connection: Connection, events: Sequence[Recorded]) -> None:
        """Change the rows for events, in order."""
        for recorded in events:
            _apply(connection, recorded)


def _apply(connection: Connection, recorded: Recorded) -> None:
    match recorded.event:
        case facts.ImageAdded(image_id=image_id, name=name, spec=spec):
            values = {"id": recorded.position, "name": name, **_columns(spec)}
            statement = insert(images).values(image_id=image_id, **values)
            connection.execute(statement.on_conflict_do_update(index_elements=["image_id"], set_=values))
        case facts.ImageChanged(image_id=image_id, spec=spec):
            connection.execute(update(images).where(images.c.image_id == image_id).values(_columns(spec)))
        case facts.ImageWithdrawn(image_id=image_id):
            connection.execute(delete(images).where(images.c.image_id == image_id))


def _columns(spec: ImageSpec) -> dict[str, object]:
    return {
        "reference": spec.reference,
        "runtime": spec.runtime.value,
        "protocol": spec.protocol.value,
        "millicores": spec.resources.millicores,
        "memory": spec.resources.memory,
        "disk": spec.resources.disk,
        "port_hook": spec.port_hook,
        "logs_er": spec.logs_er,
        "targets": list(spec.targets),
    }


def every(connection: Connection) -> Sequence[ImageRow]:
    """The whole catalogue, oldest first."""
    return [_row(row) for row in connection.execute(select(images).order_by(images.c.id)).mappings()]


def by_name(connection: Connection, name: str) -> ImageRow | None:
    """The entry of a name."""
    row = connection.execute(select(images).where(images.c.name == name)).mappings().first()
    return _row(row) if row else None


def _row(row: RowMapping) -> ImageRow:
    spec = ImageSpec(
        reference=row["reference"],
        runtime=Runtime(row["runtime"]),
        protocol=Protocol(row["protocol"]),
        resources=Resources(millicores=row["millicores"], memory=row["memory"], disk=row["disk"]),
        port_hook=row["port_hook"],
        logs_er=row["logs_er"],
        targets=tuple(row["targets"]),
    )
    return ImageRow(image_id=row["image_id"], id=row["id"], name=row["name"], spec=spec)
