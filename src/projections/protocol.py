"""What the runner asks of a projection, and the table in which a projection keeps its position."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Protocol

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Integer,
    MetaData,
    Table,
    bindparam,
    func,
    insert,
    select,
    union_all,
    update,
)

from calipso.events.envelope import Recorded


class Projection(Protocol):
    """Events in, rows out. Rows and position change in one transaction of the database where the rows live."""

    @property
    def name(self) -> str:
        """The word by which health, waiting requests and operators know it."""

    @property
    def topics(self) -> frozenset[str] | None:
        """The topics of the events that it applies; all others only move its position.

        None: it applies every event, also those that this program cannot read.
        """

    @property
    def position(self) -> Table:
        """Where the position of the last event applied is kept, beside the rows."""

    def prepare(self, connection: Connection) -> None:
        """Make what is missing of the tables, and refuse a database that cannot hold them.

        Raises:
            Invalid: the database has another layout than this projection writes.
        """

    def lock_position(self, connection: Connection) -> int:
        """The position of the last event applied; other writers wait until the transaction ends."""

    def apply(self, connection: Connection, events: Sequence[Recorded]) -> None:
        """Change the rows for events of `topics`, in the order of their positions."""

    def save_position(self, connection: Connection, position: int) -> None:
        """Keep the position together with the rows, for who holds it locked."""


def position_table(metadata: MetaData, schema: str | None, name: str = "position") -> Table:
    """A table of one row that holds a projection's position."""
    return Table(
        name,
        metadata,
        Column("only", Integer, primary_key=True, autoincrement=False),
        Column("position", BigInteger, nullable=False),
        schema=schema,
    )


def ensure_position(connection: Connection, table: Table) -> None:
    """Put position 0 into a table that has none."""
    if connection.execute(select(table.c.position)).first() is None:
        connection.execute(insert(table).values(only=1, position=0))


def lock_position(connection: Connection, table: Table) -> int:
    """Read the position and keep others out until the transaction ends."""
    position: int = connection.execute(_locked(table)).scalar_one()
    return position


def move_positions(connection: Connection, moves: Mapping[Table, tuple[int, int]]) -> bool:
    """Write positions, each if it is what we know, and keep others out as above; gives whether all were.

    Args:
        connection: in a transaction, which is to be rolled back when not all were.
        moves: the position that we know, and the new one, by their tables; those of PostgreSQL may be several.
    """
    values: dict[str, int] = {}
    for n, (before, after) in enumerate(moves.values()):
        values |= {f"before_{n}": before, f"after_{n}": after}
    if len(moves) == 1:
        return bool(connection.execute(_moved(*moves), values).rowcount)
    moved: int = connection.execute(_moved_together(tuple(moves)), values).scalar_one()
    return moved == len(moves)


def save_position(connection: Connection, table: Table, position: int) -> None:
    """Write the position of the last event applied."""
    connection.execute(_changed(table), {"position": position})


@cache
def _locked(table: Table) -> Any:  # noqa: ANN401 - SQLAlchemy's own types say little here
    return select(table.c.position).with_for_update()


@cache
def _moved(table: Table, number: int = 0) -> Any:  # noqa: ANN401 - as above
    known = table.c.position == bindparam(f"before_{number}")
    return update(table).where(known).values(position=bindparam(f"after_{number}"))


@cache
def _moved_together(tables: Sequence[Table]) -> Any:  # noqa: ANN401 - as above
    moved = [_moved(table, n).returning(table.c.only).cte(f"moved_{n}") for n, table in enumerate(tables)]
    return select(func.count()).select_from(union_all(*(select(each.c.only) for each in moved)).subquery())


@cache
def _changed(table: Table) -> Any:  # noqa: ANN401 - as above
    return update(table)
