"""The read model of accounts."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    DateTime,
    Integer,
    String,
    Table,
    Text,
    Uuid,
    cast,
    func,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import insert

from calipso.events import user as facts
from calipso.events.envelope import Recorded
from calipso.events.user import Role, UserEvent
from calipso.projections.paging import Page, like
from calipso.projections.tables import ReadModel, read_model_metadata

_metadata = read_model_metadata("users")
users = Table(
    "users",
    _metadata,
    Column("user_id", Uuid, primary_key=True),
    Column("id", BigInteger, nullable=False, unique=True),
    Column("name", Text, nullable=False),
    Column("name_key", Text, nullable=False, unique=True),
    Column("uid", Integer),
    Column("gid", Integer),
    Column("is_administrator", Boolean, nullable=False, default=False),
    Column("is_auditor", Boolean, nullable=False, default=False),
    Column("last_login", DateTime(timezone=True)),
    Column("erased", Boolean, nullable=False, default=False),
)
_ROLES = {Role.ADMINISTRATOR: "is_administrator", Role.AUDITOR: "is_auditor"}
_ORDERINGS = {"id": users.c.id, "user__username": users.c.name}


@dataclass(frozen=True, kw_only=True)
class UserRow:
    """An account; `id` is its number on the wire."""

    user_id: UUID
    id: int
    name: str
    uid: int | None
    gid: int | None
    is_administrator: bool
    is_auditor: bool
    last_login: datetime | None
    erased: bool


class Users(ReadModel):
    """Accounts with their roles and last sign-in."""

    name: ClassVar[str] = "users"
    metadata = _metadata
    topics = frozenset(
        t.topic()
        for t in (facts.UserRegistered, facts.RoleGranted, facts.RoleRevoked, facts.UserLoggedIn, facts.UserErased)
    )

    def apply(self, connection: Connection, events: Sequence[Recorded]) -> None:
        """Change the rows for events, in order."""
        for recorded in events:
            _apply(connection, recorded)


def _apply(connection: Connection, recorded: Recorded) -> None:
    event = recorded.event
    if isinstance(event, facts.UserRegistered):
        values = {
            "user_id": event.user_id,
            "id": recorded.position,
            "name": event.name,
            # erased accounts share a name, which must not collide
            "name_key": event.name.casefold() if event.name != "(erased)" else str(event.user_id),
            "uid": event.uid,
            "gid": event.gid,
        }
        connection.execute(insert(users).values(values).on_conflict_do_nothing())
    elif isinstance(event, UserEvent) and (changes := _changes(recorded)):
        connection.execute(update(users).where(users.c.user_id == event.user_id).values(changes))


def _changes(recorded: Recorded) -> dict[str, object]:
    match recorded.event:
        case facts.RoleGranted(role=role):
            return {_ROLES[role]: True}
        case facts.RoleRevoked(role=role):
            return {_ROLES[role]: False}
        case facts.UserLoggedIn():
            return {"last_login": recorded.time}
        case facts.UserErased(user_id=user_id):
            return {"erased": True, "name": "(erased)", "name_key": str(user_id), "uid": None, "gid": None}
        case _:
            return {}


_COLUMNS = [c for c in users.c if c.name != "name_key"]


def by_name(connection: Connection, name: str) -> UserRow | None:
    """The account of a name, however it is written."""
    row = connection.execute(select(*_COLUMNS).where(users.c.name_key == name.casefold())).mappings().first()
    return UserRow(**row) if row else None


def by_id(connection: Connection, user_id: UUID) -> UserRow | None:
    """The account of a uuid."""
    row = connection.execute(select(*_COLUMNS).where(users.c.user_id == user_id)).mappings().first()
    return UserRow(**row) if row else None


def page(connection: Connection, *, page_size: int, page: int, ordering: str = "", search: str = "") -> Page[UserRow]:
    """A page of accounts.

    Args:
        connection: of the read models' database.
        page_size: rows on a page.
        page: the number of the page, from 1.
        ordering: `id` or `user__username`, with `-` before it for descending; anything else is `id`.
        search: a part of the id or the name.
    """
    wanted = select(*_COLUMNS)
    if search:
        pattern = like(search)
        wanted = wanted.where(or_(cast(users.c.id, String).ilike(pattern), users.c.name.ilike(pattern)))
    column = _ORDERINGS.get(ordering.removeprefix("-"), users.c.id)
    order = column.desc() if ordering.startswith("-") else column.asc()
    count = connection.execute(select(func.count()).select_from(wanted.subquery())).scalar_one()
    rows = connection.execute(
        wanted.order_by(order, users.c.id).limit(page_size).offset((page - 1) * page_size)
    ).mappings()
    return Page(count=count, rows=[UserRow(**row) for row in rows])
