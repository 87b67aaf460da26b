"""What the runner asks of a projection, and the table in which a projection keeps its position."""

from collections.abc import Sequence
from functools import cache
from typing import Any, Protocol

from sqlalchemy import BigInteger, Column, Connection, Integer, MetaData, Table, bindparam, insert, select, update

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

    def prepare(self, connection: Connection) -> None:
        """Make what is missing of the tables, and refuse a database that cannot hold them.

        Raises:
            Invalid: the database has another layout than this projection writes.
        """

    def lock_position(self, connection: Connection) -> int:
        """The position of the last event applied; other writers wait until the transaction ends."""

    def move_position(self, connection: Connection, *, before: int, after: int) -> bool:
        """Keep the position together with the rows; other writers wait until the transaction ends.

        Gives whether the last event applied was at `before`; otherwise nothing was changed.
        """

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


def move_position(connection: Connection, table: Table, before: int, after: int) -> bool:
    """Write the position of the last event applied, if it is what we know, and keep others out as above."""
    return bool(connection.execute(_moved(table), {"before": before, "after": after}).rowcount)


def save_position(connection: Connection, table: Table, position: int) -> None:
    """Write the position of the last event applied."""
    connection.execute(_changed(table), {"position": position})


@cache
def _locked(table: Table) -> Any:  # noqa: ANN401 - SQLAlchemy's own types say little here
    return select(table.c.position).with_for_update()


@cache
def _moved(table: Table) -> Any:  # noqa: ANN401 - as above
    return update(table).where(table.c.position == bindparam("before")).values(position=bindparam("after"))


@cache
def _changed(table: Table) -> Any:  # noqa: ANN401 - as above
    return update(table)
