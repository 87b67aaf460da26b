"""The read model of experiments: sessions, members, and what members marked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Connection,
    DateTime,
    Integer,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    and_,
    delete,
    func,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import insert

from calipso.data_set_path import format_data_set_path
from calipso.events import experiment as facts
from calipso.events import user as user_facts
from calipso.events.envelope import Event, Recorded
from calipso.events.experiment import ExperimentDetails, SessionDetails
from calipso.projections.paging import Page, like
from calipso.projections.tables import ReadModel, read_model_metadata

_metadata = read_model_metadata("experiments")
experiments = Table(
    "experiments",
    _metadata,
    Column("experiment_id", Uuid, primary_key=True),
    Column("proposal_id", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("description", Text, nullable=False),
    Column("beam_line", Text, nullable=False),
    Column("uid", Integer),
    Column("gid", Integer),
)
sessions = Table(
    "sessions",
    _metadata,
    Column("experiment_id", Uuid, primary_key=True),
    Column("session_number", Text, primary_key=True),
    Column("start", DateTime(timezone=True)),
    Column("end", DateTime(timezone=True)),
    Column("subject", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("data_set_path", Text, nullable=False),
)
members = Table(
    "members",
    _metadata,
    Column("link_id", BigInteger, primary_key=True, autoincrement=False),
    Column("experiment_id", Uuid, nullable=False),
    Column("user_id", Uuid, nullable=False, index=True),
    UniqueConstraint("experiment_id", "user_id"),
)
favorites = Table(
    "favorites",
    _metadata,
    Column("user_id", Uuid, primary_key=True),
    Column("experiment_id", Uuid, primary_key=True),
)


@dataclass(frozen=True, kw_only=True)
class SessionRow:
    """A session as the list shows it."""

    session_number: str
    start: datetime | None
    end: datetime | None
    subject: str
    body: str
    data_set_path: str


@dataclass(frozen=True, kw_only=True)
class ExperimentRow:
    """An experiment of one member; `link_id` is the number of the membership on the wire."""

    link_id: int
    proposal_id: str
    title: str
    description: str
    beam_line: str
    uid: int | None
    gid: int | None
    favorite: bool
    sessions: Sequence[SessionRow]


@dataclass(frozen=True, kw_only=True)
class Link:
    """A membership, and whether its member marked the experiment."""

    user_id: UUID
    experiment_id: UUID
    favorite: bool


class Experiments(ReadModel):
    """Experiments with their sessions, members and marks."""

    name: ClassVar[str] = "experiments"
    metadata = _metadata
    topics = frozenset(
        t.topic()
        for t in (
            facts.ExperimentAdded,
            facts.ExperimentChanged,
            facts.ExperimentRemoved,
            facts.SessionAdded,
            facts.SessionChanged,
            facts.MemberAdded,
            facts.MemberRemoved,
            user_facts.ExperimentMarkedFavorite,
            user_facts.ExperimentUnmarkedFavorite,
        )
    )

    def apply(self, connection: Connection, events: Sequence[Recorded]) -> None:
        """Change the rows for events, in order."""
        for recorded in events:
            _apply(connection, recorded.event, recorded.position)


def _apply(connection: Connection, event: Event, position: int) -> None:
    match event:
        case facts.ExperimentAdded():
            values = {"proposal_id": event.proposal_id, **_details(event.details)}
            statement = insert(experiments).values(experiment_id=event.experiment_id, **values)
            connection.execute(statement.on_conflict_do_update(index_elements=["experiment_id"], set_=values))
        case facts.ExperimentChanged():
            changed = update(experiments).where(experiments.c.experiment_id == event.experiment_id)
            connection.execute(changed.values(_details(event.details)))
        case facts.ExperimentRemoved():
            for table in (sessions, members, experiments):
                connection.execute(delete(table).where(table.c.experiment_id == event.experiment_id))
        case facts.SessionAdded() | facts.SessionChanged():
            _put_session(connection, event.experiment_id, event.session)
        case facts.MemberAdded():
            statement = insert(members).values(
                link_id=position, experiment_id=event.experiment_id, user_id=event.user_id
            )
            connection.execute(statement.on_conflict_do_nothing())
        case facts.MemberRemoved():
            _delete(connection, members, event.user_id, event.experiment_id)
        case user_facts.ExperimentMarkedFavorite():
            statement = insert(favorites).values(user_id=event.user_id, experiment_id=event.experiment_id)
            connection.execute(statement.on_conflict_do_nothing())
        case user_facts.ExperimentUnmarkedFavorite():
            _delete(connection, favorites, event.user_id, event.experiment_id)


def _delete(connection: Connection, table: Table, user_id: UUID, experiment_id: UUID) -> None:
    connection.execute(delete(table).where(table.c.user_id == user_id, table.c.experiment_id == experiment_id))


def _put_session(connection: Connection, experiment_id: UUID, session: SessionDetails) -> None:
    values = {
        "start": session.start,
        "end": session.end,
        "subject": session.subject,
        "body": session.body,
        "data_set_path": format_data_set_path(session.volumes),
    }
    statement = insert(sessions).values(experiment_id=experiment_id, session_number=session.session_number, **values)
    connection.execute(statement.on_conflict_do_update(index_elements=["experiment_id", "session_number"], set_=values))


def _details(details: ExperimentDetails) -> dict[str, object]:
    return {
        "title": details.title,
        "description": details.description,
        "beam_line": details.beam_line,
        "uid": details.uid,
        "gid": details.gid,
    }


_IS_FAVORITE: ColumnElement[bool] = favorites.c.user_id.is_not(None)
_TEXTS = {
    "subject": experiments.c.title,
    "body": experiments.c.description,
    "proposal_id": experiments.c.proposal_id,
    "beam_line": experiments.c.beam_line,
}
_ORDERINGS: Mapping[str, ColumnElement[Any]] = {**_TEXTS, "calipsouserexperiment__favorite": _IS_FAVORITE}
_JOINED = members.join(experiments, members.c.experiment_id == experiments.c.experiment_id).outerjoin(
    favorites,
    and_(favorites.c.experiment_id == members.c.experiment_id, favorites.c.user_id == members.c.user_id),
)


def page(
    connection: Connection,
    user_id: UUID,
    *,
    page: int,
    page_size: int,
    ordering: str = "",
    search: str = "",
    favorite: bool | None = None,
) -> Page[ExperimentRow]:
    """A page of the experiments of which a user is a member.

    Args:
        connection: of the read models' database.
        user_id: the member.
        page: the number of the page, from 1.
        page_size: rows on a page.
        ordering: subject, body, proposal_id, beam_line or calipsouserexperiment__favorite, with `-` before it for
            descending; anything else is proposal_id.
        search: a part of subject, body, proposal_id or beam_line.
        favorite: only those that the user marked, or only the others.
    """
    columns = (members.c.link_id, *experiments.c, _IS_FAVORITE.label("favorite"))
    wanted = select(*columns).select_from(_JOINED).where(members.c.user_id == user_id)
    if search:
        wanted = wanted.where(or_(*(column.ilike(like(search)) for column in _TEXTS.values())))
    if favorite is not None:
        wanted = wanted.where(_IS_FAVORITE if favorite else ~_IS_FAVORITE)
    column = _ORDERINGS.get(ordering.removeprefix("-"), experiments.c.proposal_id)
    order = column.desc() if ordering.startswith("-") else column.asc()
    count = connection.execute(select(func.count()).select_from(wanted.subquery())).scalar_one()
    ordered = wanted.order_by(order, members.c.link_id).limit(page_size).offset((page - 1) * page_size)
    rows = [dict(row) for row in connection.execute(ordered).mappings()]
    found = _sessions_of(connection, [row["experiment_id"] for row in rows])
    return Page(
        count=count, rows=[ExperimentRow(sessions=found.get(row.pop("experiment_id"), []), **row) for row in rows]
    )


def link(connection: Connection, link_id: int) -> Link | None:
    """The membership of a number."""
    wanted = select(members.c.user_id, members.c.experiment_id, _IS_FAVORITE.label("favorite"))
    row = connection.execute(wanted.select_from(_JOINED).where(members.c.link_id == link_id)).mappings().first()
    return Link(**row) if row else None


def _sessions_of(connection: Connection, ids: Sequence[UUID]) -> Mapping[UUID, list[SessionRow]]:
    wanted = select(sessions).where(sessions.c.experiment_id.in_(ids))
    found: dict[UUID, list[SessionRow]] = {}
    for row in connection.execute(wanted.order_by(sessions.c.session_number)).mappings():
        values = dict(row)
        found.setdefault(values.pop("experiment_id"), []).append(SessionRow(**values))
    return found
