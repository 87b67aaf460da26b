"""When desktops were opened and by whom, as Guacamole's connection history tells; only read.

It is asked by connections, so that it tells of accounts that are not ours, too: those of Guacamole's administrators.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from sqlalchemy import Connection, select

from calipso.credentials import guacamole_username
from calipso.events.naming import container_name
from calipso.projections.guacamole.tables import connection_history as history


@dataclass(frozen=True, kw_only=True)
class Opening:
    """A desktop was opened at `begin` from `address`; `end` is None while it is open, or where its end was not told.

    `account` is empty for the owner's own, which is made for the container alone; else it is one of Guacamole's.
    """

    begin: datetime
    end: datetime | None
    address: str
    account: str = ""

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
    told = (
        history.c.connection_name,
        history.c.username,
        history.c.start_date,
        history.c.end_date,
        history.c.remote_host,
    )
    query = select(*told)
    query = query.where(history.c.connection_name.in_(sorted(names))).order_by(history.c.start_date)
    found: dict[UUID, list[Opening]] = defaultdict(list)
    for row in connection.execute(query):
        end = None if row.end_date is None else _in_utc(row.end_date)
        container_id = names[row.connection_name]
        account = "" if row.username == guacamole_username(container_id) else row.username
        opening = Opening(begin=_in_utc(row.start_date), end=end, address=row.remote_host or "", account=account)
        found[container_id].append(opening)
    return found


def _in_utc(moment: datetime) -> datetime:
    # MySQL keeps no zone; Guacamole writes UTC there
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
