"""Experiments as their members see them: with sessions, and with each member's own mark."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    Column,
    Connection,
    RowMapping,
    Select,
    Table,
    Uuid,
    and_,
    any_,
    func,
    literal,
    select,
)
from sqlalchemy.dialects.postgresql import ARRAY

from calipso.data_set_path import format_data_set_path
from calipso.events import experiment as facts
from calipso.events.envelope import Event, Recorded
from calipso.events.experiment import ExperimentDetails, ExperimentEvent, SessionDetails
from calipso.events.user import ExperimentMarkedFavorite, ExperimentUnmarkedFavorite
from calipso.projections import paging
from calipso.projections.columns import Moment, PlainText, Whole
from calipso.projections.folding import Changes, Row, topics_of
from calipso.projections.paging import Page
from calipso.projections.tables import ReadModel, read_model_metadata

_metadata = read_model_metadata("experiments")
experiments = Table(
    "experiments",
    _metadata,
    Column("experiment_id", Uuid, primary_key=True),
    Column("proposal_id", PlainText, nullable=False),
    Column("title", PlainText, nullable=False),
    Column("description", PlainText, nullable=False),
    Column("beam_line", PlainText, nullable=False),
    Column("uid", Whole),
    Column("gid", Whole),
    Column("search_key", PlainText, nullable=False),  # all texts, casefolded
)
sessions = Table(
    "sessions",
    _metadata,
    Column("experiment_id", Uuid, primary_key=True),
    Column("session_number", PlainText, primary_key=True),
    Column("start", Moment),
    Column("end", Moment),
    Column("subject", PlainText, nullable=False),
    Column("body", PlainText, nullable=False),
    Column("data_set_path", PlainText, nullable=False),
)
members = Table(
    "members",
    _metadata,
    Column("user_id", Uuid, primary_key=True),
    Column("experiment_id", Uuid, primary_key=True, index=True),
    Column("link_id", Whole, nullable=False, unique=True),
)
favorites = Table(
    "favorites",
    _metadata,
    Column("user_id", Uuid, primary_key=True),
    Column("experiment_id", Uuid, primary_key=True),
)

_FAVORITE = favorites.c.experiment_id.is_not(None)
_ORDERINGS: dict[str, Any] = {
    "subject": func.lower(experiments.c.title),
    "body": func.lower(experiments.c.description),
    "proposal_id": func.lower(experiments.c.proposal_id),
    "beam_line": func.lower(experiments.c.beam_line),
    "calipsouserexperiment__favorite": _FAVORITE,
}


@dataclass(frozen=True, kw_only=True)
class SessionRow:
    """A session; `data_set_path` is the text that names its volumes."""

    session_number: str
    start: datetime | None
    end: datetime | None
    subject: str
    body: str
    data_set_path: str


@dataclass(frozen=True, kw_only=True)
class ExperimentRow:
    """An experiment as one of its members sees it; `link_id` names that membership on the wire."""

    link_id: int
    experiment_id: UUID
    proposal_id: str
    title: str
    description: str
    beam_line: str
    uid: int | None
    gid: int | None
    favorite: bool
    sessions: tuple[SessionRow, ...]


@dataclass(frozen=True, kw_only=True)
class Link:
    """A membership: whose, of what, and whether the member marked the experiment."""

    user_id: UUID
    experiment_id: UUID
    favorite: bool


class Experiments(ReadModel):
    """Keeps a row for each experiment, each session, each membership and each mark."""

    name = "experiments"
    topics = topics_of(ExperimentEvent, ExperimentMarkedFavorite, ExperimentUnmarkedFavorite)
    metadata = _metadata

    def apply(self, connection: Connection, events: Sequence[Recorded]) -> None:
        """Change the rows of the experiments that the events are about."""
        batch = _Batch()
        batch.experiments.read(connection, experiments.c.experiment_id, {recorded.stream for recorded in events})
        for recorded in events:
            batch.apply(recorded)
        batch.write(connection)


class _Batch:
    """The changes that a batch of events makes to all tables."""

    def __init__(self) -> None:
        self.experiments = Changes(experiments)
        self._sessions = Changes(sessions)
        self._members = Changes(members)
        self._favorites = Changes(favorites)

    def write(self, connection: Connection) -> None:
        for changes in (self.experiments, self._sessions, self._members, self._favorites):
            changes.write(connection)

    def apply(self, recorded: Recorded) -> None:
        match recorded.event:
            case ExperimentMarkedFavorite(user_id=user_id, experiment_id=experiment_id):
                self._favorites.put({"user_id": user_id, "experiment_id": experiment_id})
            case ExperimentUnmarkedFavorite(user_id=user_id, experiment_id=experiment_id):
                self._favorites.drop(user_id, experiment_id)
            case facts.ExperimentAdded() as event:
                self._empty(event.experiment_id)
                self.experiments.put(_experiment(event))
            case ExperimentEvent() as event if row := self.experiments.get(event.experiment_id):
                self._change(row, event, recorded.position)
            case _:
                pass

    def _empty(self, experiment_id: UUID) -> None:
        self._sessions.clear(sessions.c.experiment_id, experiment_id)
        self._members.clear(members.c.experiment_id, experiment_id)

    def _change(self, row: Row, event: Event, position: int) -> None:
        match event:
            case facts.ExperimentChanged(details=details):
                self.experiments.put(row | _details(row["proposal_id"], details))
            case facts.ExperimentRemoved(experiment_id=experiment_id):
                self._empty(experiment_id)
                self.experiments.drop(experiment_id)
            case facts.SessionAdded() | facts.SessionChanged():
                self._sessions.put({"experiment_id": event.experiment_id} | _session(event.session))
            case facts.MemberAdded(user_id=user_id, experiment_id=experiment_id):
                self._members.put({"user_id": user_id, "experiment_id": experiment_id, "link_id": position})
            case facts.MemberRemoved(user_id=user_id, experiment_id=experiment_id):
                self._members.drop(user_id, experiment_id)
            case _:
                pass


def _experiment(event: facts.ExperimentAdded) -> Row:
    key = {"experiment_id": event.experiment_id, "proposal_id": event.proposal_id}
    return key | _details(event.proposal_id, event.details)


def _details(proposal_id: str, details: ExperimentDetails) -> Row:
    # no word of a search holds a line break, so none is found across two texts
    texts = (proposal_id, details.title, details.description, details.beam_line)
    return {
        "title": details.title,
        "description": details.description,
        "beam_line": details.beam_line,
        "uid": details.uid,
        "gid": details.gid,
        "search_key": "\n".join(texts).casefold(),
    }


def _session(session: SessionDetails) -> Row:
    return {
        "session_number": session.session_number,
        "start": session.start,
        "end": session.end,
        "subject": session.subject,
        "body": session.body,
        "data_set_path": format_data_set_path(session.volumes),
    }


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
    """One page of the experiments of which a user is a member.

    Args:
        connection: of the read models' database.
        user_id: the member.
        page: counted from 1.
        page_size: rows on each page.
        ordering: `subject`, `body`, `proposal_id`, `beam_line` or `calipsouserexperiment__favorite`, with `-` before
            it for descending; anything else is `proposal_id`.
        search: words that must stand in these texts, in whatever case.
        favorite: only what the user marked, or only what the user did not mark.
    """
    wanted = [members.c.user_id == user_id, paging.searched(search, experiments.c.search_key)]
    if favorite is not None:
        wanted.append(_FAVORITE if favorite else ~_FAVORITE)
    order = paging.ordered(ordering, _ORDERINGS, default="proposal_id")
    query = _memberships().where(*wanted).order_by(*order, _ORDERINGS["proposal_id"], members.c.link_id)
    found = paging.read_page(connection, query, page=page, page_size=page_size)
    dated = _sessions_of(connection, [row["experiment_id"] for row in found.rows])
    return Page(count=found.count, rows=[_row(row, dated) for row in found.rows])


def of_proposals(connection: Connection, user_id: UUID, experiment_ids: Sequence[UUID]) -> Sequence[ExperimentRow]:
    """Those of these experiments of which a user is a member, in the order given."""
    wanted = experiments.c.experiment_id == any_(literal(list(experiment_ids), ARRAY(Uuid)))
    found = connection.execute(_memberships().where(members.c.user_id == user_id, wanted)).mappings().all()
    dated = _sessions_of(connection, experiment_ids)
    rows = {row["experiment_id"]: _row(row, dated) for row in found}
    return [rows[experiment_id] for experiment_id in experiment_ids if experiment_id in rows]


def proposals_of(connection: Connection, user_id: UUID) -> Mapping[UUID, str]:
    """The public numbers of all experiments of which a user is a member, by their uuids."""
    query = (
        select(experiments.c.experiment_id, experiments.c.proposal_id)
        .join(members, members.c.experiment_id == experiments.c.experiment_id)
        .where(members.c.user_id == user_id)
    )
    return {row.experiment_id: row.proposal_id for row in connection.execute(query)}


def link(connection: Connection, link_id: int) -> Link | None:
    """The membership of an integer id, None when there is none (any more)."""
    found = connection.execute(_memberships().where(members.c.link_id == link_id)).mappings().first()
    if found is None:
        return None
    return Link(user_id=found["user_id"], experiment_id=found["experiment_id"], favorite=found["favorite"])


def _memberships() -> Select[Any]:
    marks = and_(favorites.c.user_id == members.c.user_id, favorites.c.experiment_id == members.c.experiment_id)
    return (
        select(members.c.link_id, members.c.user_id, experiments, _FAVORITE.label("favorite"))
        .join(experiments, experiments.c.experiment_id == members.c.experiment_id)
        .outerjoin(favorites, marks)
    )


def _sessions_of(connection: Connection, experiment_ids: Collection[UUID]) -> Mapping[UUID, Sequence[SessionRow]]:
    number = sessions.c.session_number
    query = (
        select(sessions)
        .where(sessions.c.experiment_id == any_(literal(list(experiment_ids), ARRAY(Uuid))))
        .order_by(func.length(number), number)  # so that 2 comes before 10
    )
    dated: dict[UUID, list[SessionRow]] = defaultdict(list)
    for found in connection.execute(query).mappings():
        columns = {name: value for name, value in found.items() if name != "experiment_id"}
        dated[found["experiment_id"]].append(SessionRow(**columns))
    return dated


def _row(found: RowMapping, dated: Mapping[UUID, Sequence[SessionRow]]) -> ExperimentRow:
    columns = {name: value for name, value in found.items() if name not in {"user_id", "search_key"}}
    return ExperimentRow(**columns, sessions=tuple(dated.get(found["experiment_id"], ())))
