"""Read models as they were: the events up to a position, applied to empty tables of the same shape.

The tables are temporary and go with their transaction. The queries are those of the read models, so the past is shown
as the present is.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import TypeVar
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, Engine, MetaData, exists, insert, or_, select, true
from sqlalchemy.schema import CreateTable

from calipso.events.container import ContainerEvent
from calipso.events.envelope import History
from calipso.events.experiment import ExperimentEvent, MemberAdded
from calipso.events.image import ImageEvent
from calipso.events.naming import quota_stream
from calipso.events.quota import QuotaEvent
from calipso.events.user import ExperimentMarkedFavorite, ExperimentUnmarkedFavorite
from calipso.projections import containers
from calipso.projections.audit import AUDIT, entries, of_kind
from calipso.projections.audit.reading import readable
from calipso.projections.containers import Containers
from calipso.projections.experiments import Experiments
from calipso.projections.folding import any_of, topics_of
from calipso.projections.images import Images
from calipso.projections.quotas import Quotas
from calipso.projections.tables import ReadModel

T = TypeVar("T")

_AT_ONCE = 1000
_TEMPORARY = "pg_temp"
_LIVE = "live_containers"  # stands for the schema of the live read model where the other is meant otherwise
_live = containers.containers.to_metadata(MetaData(), schema=_LIVE)


@dataclass(frozen=True)
class Past:
    """Empty read models, to be filled as they were.

    Args:
        connection: to the temporary tables; the audit and accounts are the live ones.
        history: where events are read.
        position: of the last event that counts.
    """

    connection: Connection
    history: History
    position: int

    def apply(self, model: ReadModel, *conditions: ColumnElement[bool]) -> None:
        """Let a read model apply the events that meet these conditions on their entries in the audit.

        Raises:
            Unavailable: one of them was written by a newer program.
        """
        events = readable(self.connection, self.history, self.position, *conditions)
        while batch := list(islice(events, _AT_ONCE)):
            model.apply(self.connection, batch)


@dataclass(frozen=True, kw_only=True)
class View:
    """A part of the past: the read models that show it, and how they are filled.

    `needs` are the projections that must have come to the position before.
    """

    models: tuple[ReadModel, ...]
    fill: Callable[[Past], None]
    needs: tuple[str, ...] = (AUDIT,)


def look(engine: Engine, history: History, position: int, view: View, ask: Callable[[Connection], T]) -> T:
    """What a query of the read models answered when an event was the last one.

    Args:
        engine: of the read models' database.
        history: where events are read.
        position: of that event.
        view: the part of the past that the query needs.
        ask: the query.

    Raises:
        Unavailable: an event that counts was written by a newer program.
    """
    with _empty(engine, history, position, view.models) as past:
        view.fill(past)
        return ask(past.connection)


@contextmanager
def _empty(engine: Engine, history: History, position: int, models: Sequence[ReadModel]) -> Iterator[Past]:
    schemas: dict[str | None, str | None] = {str(model.metadata.schema): _TEMPORARY for model in models}
    schemas[_LIVE] = Containers.metadata.schema
    with engine.connect().execution_options(schema_translate_map=schemas) as connection:
        transaction = connection.begin()
        try:
            for model in models:
                for table in model.metadata.sorted_tables:
                    if table.name != "position":
                        connection.execute(CreateTable(table))
            yield Past(connection, history, position)
        finally:
            transaction.rollback()


def _fill_images(past: Past) -> None:
    past.apply(Images(), of_kind(ImageEvent.kind))


CATALOGUE = View(models=(Images(),), fill=_fill_images)


def quota_of(user_id: UUID) -> View:
    """The limits and reservations of a user."""
    return View(
        models=(Quotas(),),
        fill=lambda past: past.apply(Quotas(), entries.c.stream == quota_stream(user_id), of_kind(QuotaEvent.kind)),
    )


def experiments_of(user_id: UUID) -> View:
    """The experiments of which a user was ever a member, and the marks of the user."""

    def fill(past: Past) -> None:
        joined = select(entries.c.experiment_id).where(
            entries.c.user_id == user_id,
            entries.c.topic == MemberAdded.topic(),
            entries.c.position <= past.position,
        )
        marks = topics_of(ExperimentMarkedFavorite, ExperimentUnmarkedFavorite)
        past.apply(
            Experiments(),
            or_(
                entries.c.stream.in_(joined) & of_kind(ExperimentEvent.kind),
                (entries.c.stream == user_id) & any_of(entries.c.topic, marks),
            ),
        )

    return View(models=(Experiments(),), fill=fill)


def containers_of(user_id: UUID | None) -> View:
    """The containers of a user, or of everybody, that ever were."""
    return _containers(true() if user_id is None else _live.c.user_id == user_id)


def container(wire_id: int) -> View:
    """The container of an integer id."""
    return _containers(_live.c.id == wire_id)


def active_at(moment: datetime, user_id: UUID | None) -> View:
    """The containers of a user, or of everybody, that were active at a moment."""
    lived = or_(_live.c.ended.is_(None), _live.c.ended >= moment)
    return _containers(lived if user_id is None else lived & (_live.c.user_id == user_id))


def _containers(wanted: ColumnElement[bool]) -> View:
    """The containers whose live rows meet a condition that does not change once they have ended."""

    def fill(past: Past) -> None:
        _fill_images(past)
        asked_for = _live.c.id <= past.position, wanted
        last = (entries.c.container_id == _live.c.container_id, entries.c.event_id == _live.c.last_event_id)
        has_not_changed = exists().where(*last, entries.c.position <= past.position)
        # a row that no event has changed since is as it was; the others are folded anew
        table = containers.containers
        as_it_is = select(*(_live.c[column.name] for column in table.columns)).where(*asked_for, has_not_changed)
        past.connection.execute(insert(table).from_select([column.name for column in table.columns], as_it_is))
        is_there = exists().where(table.c.container_id == _live.c.container_id)
        others = past.connection.execute(select(_live.c.container_id).where(*asked_for, ~is_there)).scalars().all()
        past.apply(
            Containers(),
            any_of(entries.c.container_id, others),
            of_kind(ContainerEvent.kind),
        )

    return View(models=(Images(), Containers()), fill=fill, needs=(AUDIT, Containers.name))
