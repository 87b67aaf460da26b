"""Which events are asked for, and where they are."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, func, select, true

from calipso.projections.audit import entries
from calipso.projections.folding import any_of

LAST = 2**63 - 1


@dataclass(frozen=True, kw_only=True)
class Selection:
    """What events must have in common; None and an empty tuple stand for no condition.

    `user_id`, `experiment_id` and `container_id` are those of whom or what an event tells, `actor` is who caused it as
    the store names them; `topics` are full. Positions are those above `after` and up to `until`.
    """

    stream: UUID | None = None
    user_id: UUID | None = None
    experiment_id: UUID | None = None
    container_id: UUID | None = None
    actor: str | None = None
    correlation_id: UUID | None = None
    topics: tuple[str, ...] = ()
    after: int = 0
    until: int = LAST

    def from_after(self, position: int) -> "Selection":
        """The part of it after a position."""
        return replace(self, after=max(self.after, position))

    def up_to(self, position: int) -> "Selection":
        """The part of it up to a position."""
        return replace(self, until=min(self.until, position))


def positions(connection: Connection, wanted: Selection, *, limit: int, newest_first: bool = False) -> Sequence[int]:
    """The positions of the first (or last) `limit` events of a selection."""
    place = entries.c.position
    query = select(place).where(*_conditions(wanted)).limit(limit)
    return connection.execute(query.order_by(place.desc() if newest_first else place)).scalars().all()


def neighbours(connection: Connection, position: int) -> tuple[int | None, int | None]:
    """The positions of the events before and after one, None where there is none; positions may have gaps."""
    before = positions(connection, Selection(until=position - 1), limit=1, newest_first=True)
    after = positions(connection, Selection(after=position), limit=1)
    return next(iter(before), None), next(iter(after), None)


def topics_of_kind(connection: Connection, kind: str) -> Sequence[str]:
    """The topics of a kind that the history has, also those that this program does not know."""
    # a walk along the index from one topic to the next, however many events each has
    topic, found = entries.c.topic, list[str]()
    last = begin = f"calipso.{kind}."
    while (last := connection.execute(select(func.min(topic)).where(topic > last)).scalar_one() or "").startswith(
        begin
    ):
        found.append(last)
    return found


def exists(connection: Connection, stream: UUID) -> bool:
    """Whether there is such a stream."""
    return connection.execute(select(entries.c.position).where(entries.c.stream == stream).limit(1)).first() is not None


def _conditions(wanted: Selection) -> Sequence[ColumnElement[bool]]:
    columns = entries.c
    same = ("stream", "user_id", "experiment_id", "container_id", "actor", "correlation_id")
    found = [columns[name] == value for name in same if (value := getattr(wanted, name)) is not None]
    if len(wanted.topics) == 1:
        found.append(columns.topic == wanted.topics[0])
    elif wanted.topics:
        found.append(any_of(columns.topic, wanted.topics))
    return [true(), *found, columns.position > wanted.after, columns.position <= wanted.until]
