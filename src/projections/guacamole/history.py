"""What Guacamole itself keeps of the use of our accounts: when, and from which address."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, select, update

from calipso.credentials import guacamole_username
from calipso.projections.guacamole import tables

_AT_ONCE = 500


@dataclass(frozen=True, kw_only=True)
class Use:
    """One use of a container's connection; `end` is None while it lasts."""

    container_id: UUID
    address: str | None
    start: datetime
    end: datetime | None


def forget_addresses(connection: Connection, container_ids: Sequence[UUID]) -> None:
    """Let the history of these containers tell no address."""
    for table in (tables.connection_history, tables.user_history):
        for first in range(0, len(container_ids), _AT_ONCE):
            accounts = [guacamole_username(each) for each in container_ids[first : first + _AT_ONCE]]
            connection.execute(
                update(table)
                .where(table.c.username.in_(accounts), table.c.remote_host.is_not(None))
                .values(remote_host=None)
            )


def uses_of(connection: Connection, container_ids: Sequence[UUID]) -> Sequence[Use]:
    """How the connections of these containers were used."""
    owners = {guacamole_username(container_id): container_id for container_id in container_ids}
    table = tables.connection_history
    found: list[Row[Any]] = []
    for first in range(0, len(container_ids), _AT_ONCE):
        accounts = list(owners)[first : first + _AT_ONCE]
        query = select(table.c.username, table.c.remote_host, table.c.start_date, table.c.end_date)
        found += connection.execute(query.where(table.c.username.in_(accounts)).order_by(table.c.history_id)).all()
    return [
        Use(
            container_id=owners[row.username],
            address=row.remote_host,
            start=_utc(row.start_date),
            end=_utc(row.end_date) if row.end_date else None,
        )
        for row in found
    ]


def _utc(time: datetime) -> datetime:
    # MySQL's `datetime` has no zone; Guacamole is told to write UTC there
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
