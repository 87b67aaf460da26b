"""Accounts as administrators list them and as sign-ins look them up."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Boolean, Column, Connection, RowMapping, Table, Uuid, cast, select

from calipso.events.envelope import Recorded, erased_values
from calipso.events.user import Role, RoleGranted, RoleRevoked, UserErased, UserEvent, UserLoggedIn, UserRegistered
from calipso.projections import paging
from calipso.projections.columns import Moment, PlainText, Whole
from calipso.projections.folding import Changes, Row, any_of, topics_of
from calipso.projections.paging import Page
from calipso.projections.tables import ReadModel, read_model_metadata

_metadata = read_model_metadata("users")
users = Table(
    "users",
    _metadata,
    Column("user_id", Uuid, primary_key=True),
    Column("id", Whole, nullable=False),
    Column("name", PlainText, nullable=False),
    Column("name_key", PlainText, unique=True),  # casefolded; empty once the account is erased
    Column("uid", Whole),
    Column("gid", Whole),
    Column("is_administrator", Boolean, nullable=False),
    Column("is_auditor", Boolean, nullable=False),
    Column("last_login", Moment),
    Column("erased", Boolean, nullable=False),
)

_ROLE_COLUMNS = {Role.ADMINISTRATOR: "is_administrator", Role.AUDITOR: "is_auditor"}
_ERASED: Row = {
    **erased_values(UserRegistered.topic()),
    "name_key": None,
    "is_administrator": False,
    "is_auditor": False,
    "erased": True,
}
_ORDERINGS: dict[str, Any] = {"id": users.c.id, "user__username": users.c.name_key}


@dataclass(frozen=True, kw_only=True)
class UserRow:
    """An account; `id` is its integer id on the wire, `name` a placeholder once it is erased."""

    id: int
    user_id: UUID
    name: str
    uid: int | None
    gid: int | None
    is_administrator: bool
    is_auditor: bool
    last_login: datetime | None
    erased: bool


class Users(ReadModel):
    """Keeps a row for each account."""

    name = "users"
    topics = topics_of(UserRegistered, RoleGranted, RoleRevoked, UserLoggedIn, UserErased)
    metadata = _metadata

    def apply(self, connection: Connection, events: Sequence[Recorded]) -> None:
        """Change the rows of the accounts that the events are about."""
        changes = Changes(users)
        changes.read(connection, users.c.user_id, {recorded.stream for recorded in events})
        for recorded in events:
            if isinstance(recorded.event, UserRegistered):
                changes.put(_registered(recorded, recorded.event))
            elif isinstance(recorded.event, UserEvent) and (row := changes.get(recorded.event.user_id)):
                changes.put(row | _changes(recorded))
        changes.write(connection)


def _registered(recorded: Recorded, event: UserRegistered) -> Row:
    # after an erasure a replay reads the placeholder, which is nobody's name
    is_erased = event.name == _ERASED["name"]
    return {
        "user_id": event.user_id,
        "id": recorded.position,
        "name": event.name,
        "name_key": None if is_erased else event.name.casefold(),
        "uid": event.uid,
        "gid": event.gid,
        "is_administrator": False,
        "is_auditor": False,
        "last_login": None,
        "erased": False,
    }


def _changes(recorded: Recorded) -> Row:
    match recorded.event:
        case RoleGranted(role=role):
            return {_ROLE_COLUMNS[role]: True}
        case RoleRevoked(role=role):
            return {_ROLE_COLUMNS[role]: False}
        case UserLoggedIn():
            return {"last_login": recorded.time}
        case UserErased():
            return _ERASED
        case _:
            return {}


def by_name(connection: Connection, name: str) -> UserRow | None:
    """The account of a user name, in whatever case it is written."""
    return _one(connection, users.c.name_key == name.casefold())


def by_id(connection: Connection, user_id: UUID) -> UserRow | None:
    """The account of a uuid, also one that was erased."""
    return _one(connection, users.c.user_id == user_id)


def named(connection: Connection, user_ids: Collection[UUID]) -> Mapping[UUID, UserRow]:
    """The accounts of these uuids, also those that were erased."""
    rows = connection.execute(select(users).where(any_of(users.c.user_id, user_ids))).mappings()
    return {row["user_id"]: row_of(row) for row in rows}


def page(connection: Connection, *, page: int, page_size: int, ordering: str = "", search: str = "") -> Page[UserRow]:
    """One page of the accounts that are not erased.

    Args:
        connection: of the read models' database.
        page: counted from 1.
        page_size: rows on each page.
        ordering: `id` or `user__username`, with `-` before it for descending; anything else is `id`.
        search: words that must stand in the name or the integer id, in whatever case.
    """
    query = (
        select(users)
        .where(~users.c.erased, paging.searched(search, users.c.name_key, cast(users.c.id, PlainText)))
        .order_by(*paging.ordered(ordering, _ORDERINGS, default="id"), users.c.id)
    )
    found = paging.read_page(connection, query, page=page, page_size=page_size)
    return Page(count=found.count, rows=[row_of(row) for row in found.rows])


def _one(connection: Connection, condition: Any) -> UserRow | None:  # noqa: ANN401 - SQLAlchemy's condition
    found = connection.execute(select(users).where(condition)).mappings().first()
    return None if found is None else row_of(found)


def row_of(found: RowMapping) -> UserRow:
    """The account of a row of the table."""
    return UserRow(**{name: value for name, value in found.items() if name != "name_key"})
