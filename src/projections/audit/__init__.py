"""The audit: a row for each event that says what it is about, so that history can be asked for.

The events themselves are read from the store. No row holds personal data, so an erasure changes none.
"""

from collections.abc import Collection, Mapping, Sequence
from posixpath import normpath
from typing import Any
from uuid import UUID

from sqlalchemy import Column, ColumnElement, Connection, Index, Table, Uuid, select, update

from calipso.events.container import ContainerRequested
from calipso.events.envelope import Event, Recorded, Unreadable
from calipso.events.experiment import ExperimentAdded, SessionAdded, SessionChanged
from calipso.events.image import ImageAdded
from calipso.events.naming import parse_uuid
from calipso.projections.bulk import add_rows
from calipso.projections.columns import PlainText, Whole
from calipso.projections.folding import Changes, Row, any_of, rows_with
from calipso.projections.tables import ReadModel, read_model_metadata

AUDIT = "audit"

_metadata = read_model_metadata(AUDIT)
entries = Table(
    "entries",
    _metadata,
    Column("position", Whole, primary_key=True, autoincrement=False),
    Column("event_id", Uuid, nullable=False),
    Column("stream", Uuid, nullable=False),
    Column("topic", PlainText(collation="C"), nullable=False),  # so that the topics of a kind stand together
    Column("actor", PlainText, nullable=False),
    Column("correlation_id", Uuid, nullable=False),
    Column("user_id", Uuid),
    Column("experiment_id", Uuid),
    Column("container_id", Uuid),
)
for _name in ("stream", "topic", "actor", "correlation_id", "user_id", "experiment_id", "container_id"):
    _column = entries.c[_name]
    # a page is a range of one of these; a row that says nothing there is in no such range
    Index(f"by_{_name}", _column, entries.c.position, postgresql_where=_column.is_not(None))
beside = Table(
    "beside",  # the containers that were asked for beside an experiment's data
    _metadata,
    Column("container_id", Uuid, primary_key=True),
    Column("experiment_id", Uuid, nullable=False),
)
named = Table(
    "named",  # the public numbers of experiments, and the names of images
    _metadata,
    Column("id", Uuid, primary_key=True),
    Column("name", PlainText, nullable=False),
)
folders = Table(
    "folders",  # those that a session was said to have, by the event that said so
    _metadata,
    Column("source", PlainText, primary_key=True),
    Column("position", Whole, primary_key=True, autoincrement=False),
    Column("experiment_id", Uuid, nullable=False),
)
Index("below", folders.c.source, postgresql_ops={"source": "text_pattern_ops"})


class Audit(ReadModel):
    """Keeps a row for each event, whatever it is."""

    name = AUDIT
    topics = None
    metadata = _metadata

    def apply(self, connection: Connection, events: Sequence[Recorded]) -> None:
        """Add the rows of these events."""
        known = _beside(connection, events)
        # told twice is told once
        add_rows(connection, entries, [_row(recorded, known) for recorded in events])
        _put(connection, named, _named(events))
        _put(connection, folders, _folders(events))


def _row(recorded: Recorded, known: Mapping[UUID, UUID]) -> Row:
    told = about(recorded.event)
    container_id = told.get("container_id")
    return {
        "position": recorded.position,
        "event_id": recorded.id,
        "stream": recorded.stream,
        "topic": recorded.topic,
        "actor": recorded.actor,
        "correlation_id": recorded.correlation_id,
        "user_id": told.get("user_id"),
        "experiment_id": told.get("experiment_id") or (known.get(container_id) if container_id else None),
        "container_id": container_id,
    }


def about(event: Event) -> Mapping[str, UUID | None]:
    """The ids of whom and what an event is about; of one that cannot be read, as far as they are told alike."""
    names = ("user_id", "experiment_id", "container_id")
    if isinstance(event, Unreadable):
        return {name: parse_uuid(str(event.data.get(name))) for name in names}
    return {name: getattr(event, name, None) for name in names}


def _beside(connection: Connection, events: Sequence[Recorded]) -> Mapping[UUID, UUID]:
    """The experiments beside which the containers of these events were asked for; what is new of it is stored."""
    asked = [r.event for r in events if isinstance(r.event, ContainerRequested)]
    new = {event.container_id: event.session.experiment_id for event in asked if event.session}
    concerned = {container for r in events if (container := about(r.event)["container_id"])}
    if new:
        _put(connection, beside, [{"container_id": container, "experiment_id": new[container]} for container in new])
        # a reservation comes before its request, perhaps in an earlier batch
        earlier = any_of(entries.c.container_id, new.keys()), entries.c.experiment_id.is_(None)
        its = beside.c.container_id == entries.c.container_id
        connection.execute(update(entries).where(*earlier, its).values(experiment_id=beside.c.experiment_id))
    known = connection.execute(rows_with(beside.c.container_id), {"values": list(concerned - new.keys())})
    return new | {row.container_id: row.experiment_id for row in known}


def _put(connection: Connection, table: Table, rows: Sequence[Row]) -> None:
    changes = Changes(table)
    for row in rows:
        changes.put(row)
    changes.write(connection)


def _named(events: Sequence[Recorded]) -> Sequence[Row]:
    rows: list[Row] = []
    for recorded in events:
        match recorded.event:
            case ExperimentAdded(experiment_id=key, proposal_id=name) | ImageAdded(image_id=key, name=name):
                rows.append({"id": key, "name": name})
            case _:
                pass
    return rows


def _folders(events: Sequence[Recorded]) -> Sequence[Row]:
    return [
        {
            "source": plain_path(volume.source),
            "position": recorded.position,
            "experiment_id": recorded.event.experiment_id,
        }
        for recorded in events
        if isinstance(recorded.event, SessionAdded | SessionChanged)
        for volume in recorded.event.session.volumes
    ]


def of_kind(kind: str) -> ColumnElement[bool]:
    """Whether an entry is of a kind, also when its type is not known to this program."""
    begin = f"calipso.{kind}"
    return (entries.c.topic >= f"{begin}.") & (entries.c.topic < f"{begin}/")  # the character after the dot


def plain_path(path: str) -> str:
    """An absolute path without what means nothing in it."""
    return "/" + normpath(path).lstrip("/")


def names_of(connection: Connection, ids: Collection[UUID]) -> Mapping[UUID, str]:
    """The names of experiments and images, also of those that are no more."""
    query = select(named).where(any_of(named.c.id, ids))
    return {row.id: row.name for row in connection.execute(query)}


def position(connection: Connection) -> int:
    """The position up to which the audit tells."""
    table: Any = _metadata.tables[f"{_metadata.schema}.position"]
    return int(connection.execute(select(table.c.position)).scalar_one())
