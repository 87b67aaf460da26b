"""Events that the audit finds, read in order up to a position, for those who fold them."""

from collections.abc import Iterator

from sqlalchemy import ColumnElement, Connection, select

from calipso.errors import Unavailable
from calipso.events.envelope import History, Recorded, Unreadable
from calipso.projections.audit import entries

_AT_ONCE = 1000


def readable(
    connection: Connection, history: History, position: int, *conditions: ColumnElement[bool]
) -> Iterator[Recorded]:
    """The events up to a position whose entries meet these conditions.

    Args:
        connection: of the read models' database.
        history: where events are read.
        position: of the last event that counts.
        conditions: on columns of `entries`.

    Raises:
        Unavailable: one of them was written by a newer program, so nobody knows what follows from it.
    """
    query = select(entries.c.position).where(entries.c.position <= position, *conditions)
    places = connection.execute(query.order_by(entries.c.position)).scalars().all()
    for first in range(0, len(places), _AT_ONCE):
        for recorded in history.at(places[first : first + _AT_ONCE]):
            if isinstance(recorded.event, Unreadable):
                raise Unavailable(f"the state at position {recorded.position}", recorded.event.reason)
            yield recorded
