"""When desktops were opened, as Guacamole's connection history tells; only read."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from sqlalchemy import Connection, select

from calipso.events.naming import container_name
from calipso.projections.guacamole.tables import connection_history as history


@dataclass(frozen=True, kw_only=True)
class Opening:
    """A desktop was opened at `begin` from `address`; `end` is None while it is open, or where its end was not told."""

    begin: datetime
    end: datetime | None
    address: str

    def covers(self, moment: datetime) -> bool:
        """Whether it was open at a moment."""
        return self.begin <= moment and (self.end is None or moment <= self.end)


def openings_of(connection: Connection, container_ids: Collection[UUID]) -> Mapping[UUID, Sequence[Opening]]:
    """All openings of these containers, the first one first.

    Args:
        connection: of Guacamole's database.
        container_ids: their connections bear their names, also when they are gone.
    """
    names = {container_name(container_id): container_id for container_id in container_ids}
    query = select(history.c.connection_name, history.c.start_date, history.c.end_date, history.c.remote_host)
    query = query.where(history.c.connection_name.in_(sorted(names))).order_by(history.c.start_date)
    found: dict[UUID, list[Opening]] = defaultdict(list)
    for row in connection.execute(query):
        end = None if row.end_date is None else _in_utc(row.end_date)
        opening = Opening(begin=_in_utc(row.start_date), end=end, address=row.remote_host or "")
        found[names[row.connection_name]].append(opening)
    return found


def _in_utc(moment: datetime) -> datetime:
    # MySQL keeps no zone; Guacamole writes UTC there
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
