"""The catalogue as it is shown."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Column, Connection, RowMapping, Table, Uuid, select
from sqlalchemy.dialects.postgresql import ARRAY

from calipso.events.envelope import Recorded
from calipso.events.image import ImageAdded, ImageChanged, ImageEvent, ImageWithdrawn
from calipso.events.values import ImageSpec, Protocol, Resources, Runtime
from calipso.projections.columns import PlainText, Whole
from calipso.projections.folding import Changes, Row, topics_of
from calipso.projections.tables import ReadModel, read_model_metadata

_metadata = read_model_metadata("images")
images = Table(
    "images",
    _metadata,
    Column("image_id", Uuid, primary_key=True),
    Column("id", Whole, nullable=False),
    Column("name", PlainText, nullable=False, index=True),
    Column("reference", PlainText, nullable=False),
    Column("runtime", PlainText, nullable=False),
    Column("protocol", PlainText, nullable=False),
    Column("millicores", Whole, nullable=False),
    Column("memory", Whole, nullable=False),
    Column("disk", Whole, nullable=False),
    Column("port_hook", PlainText, nullable=False),
    Column("logs_er", PlainText, nullable=False),
    Column("targets", ARRAY(PlainText), nullable=False),
)


@dataclass(frozen=True, kw_only=True)
class ImageRow:
    """An entry of the catalogue; `id` is its integer id on the wire, another one when it was added again."""

    id: int
    image_id: UUID
    name: str
    spec: ImageSpec


class Images(ReadModel):
    """Keeps a row for each entry that may be launched."""

    name = "images"
    topics = topics_of(ImageEvent)
    metadata = _metadata

    def apply(self, connection: Connection, events: Sequence[Recorded]) -> None:
        """Change the rows of the entries that the events are about."""
        changes = Changes(images)
        changes.read(connection, images.c.image_id, {recorded.stream for recorded in events})
        for recorded in events:
            match recorded.event:
                case ImageAdded() as event:
                    added = {"image_id": event.image_id, "id": recorded.position, "name": event.name}
                    changes.put(added | _columns(event.spec))
                case ImageChanged() as event if row := changes.get(event.image_id):
                    changes.put(row | _columns(event.spec))
                case ImageWithdrawn() as event:
                    changes.drop(event.image_id)
                case _:
                    pass
        changes.write(connection)


def _columns(spec: ImageSpec) -> Row:
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
    """All entries, the oldest first."""
    return [_row(found) for found in connection.execute(select(images).order_by(images.c.id)).mappings()]


def by_name(connection: Connection, name: str) -> ImageRow | None:
    """The entry of a name."""
    found = connection.execute(select(images).where(images.c.name == name)).mappings().first()
    return None if found is None else _row(found)


def _row(found: RowMapping) -> ImageRow:
    return ImageRow(id=found["id"], image_id=found["image_id"], name=found["name"], spec=_spec(found))


def _spec(found: RowMapping) -> ImageSpec:
    return ImageSpec(
        reference=found["reference"],
        runtime=Runtime(found["runtime"]),
        protocol=Protocol(found["protocol"]),
        resources=Resources(millicores=found["millicores"], memory=found["memory"], disk=found["disk"]),
        port_hook=found["port_hook"],
        logs_er=found["logs_er"],
        targets=tuple(found["targets"]),
    )
