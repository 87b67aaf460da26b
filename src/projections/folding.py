"""How read models fold a batch of events: the rows concerned are read at once, changed in memory, written at once.

Live batches are small, and making a statement takes longer than running it: each is made once for its table.
"""

from collections.abc import Collection
from functools import cache
from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, Table, any_, bindparam, delete, literal, select
from sqlalchemy.dialects.postgresql import ARRAY

from calipso.events.envelope import EVENT_TYPES, Event
from calipso.projections.bulk import delete_rows, replace_rows

Row = dict[str, Any]


def topics_of(*event_types: type[Event]) -> frozenset[str]:
    """The topics of these event types and of all that derive from them."""
    return frozenset(topic for topic, event_type in EVENT_TYPES.items() if issubclass(event_type, event_types))


def any_of(column: Column[Any], values: Collection[object]) -> ColumnElement[bool]:
    """Whether a column has one of these values; one statement for any number of them."""
    return column == any_(literal(list(values), ARRAY(column.type)))


class Changes:
    """What a batch of events does to one table: the last word on each row, written in a few round trips.

    Args:
        table: with a primary key; a row is a dict with a value for every column.
    """

    def __init__(self, table: Table) -> None:
        self._table = table
        self._key = tuple(column.name for column in table.primary_key)
        self._stored: dict[tuple[Any, ...], Row] = {}
        self._rows: dict[tuple[Any, ...], Row | None] = {}
        self._cleared: dict[str, set[Any]] = {}

    def read(self, connection: Connection, column: Column[Any], values: Collection[object]) -> None:
        """Make the stored rows known that have one of these values in a column; to be called before all changes."""
        for found in connection.execute(rows_with(column), {"values": list(values)}).mappings():
            self._stored[self._key_of(found)] = dict(found)
        self._rows |= self._stored

    def get(self, *key: object) -> Row | None:
        """The row of a primary key as it is by now; only for rows that were read or put."""
        return self._rows.get(key)

    def with_value(self, column: Column[Any], value: object) -> list[Row]:
        """The rows that have a value in a column by now; only of rows that were read or put."""
        return [row for row in self._rows.values() if row is not None and row[column.name] == value]

    def put(self, row: Row) -> None:
        """Let the table hold this row, in the place of the one with its primary key."""
        self._rows[self._key_of(row)] = row

    def drop(self, *key: object) -> None:
        """Let the table hold no row of this primary key."""
        self._rows[key] = None

    def clear(self, column: Column[Any], value: object) -> None:
        """Let the table hold no row with this value in a column, also none that was not read."""
        self._cleared.setdefault(column.name, set()).add(value)
        for key in [key for key, row in self._rows.items() if row is not None and row[column.name] == value]:
            del self._rows[key]
        for key in [key for key, row in self._stored.items() if row[column.name] == value]:
            del self._stored[key]

    def write(self, connection: Connection) -> None:
        """Write what differs from what is stored."""
        for name, values in self._cleared.items():
            column = self._table.c[name]
            connection.execute(delete(self._table).where(any_of(column, values)))
        delete_rows(connection, {self._table: [key for key, row in self._rows.items() if row is None]})
        changed = [row for key, row in self._rows.items() if row is not None and row != self._stored.get(key)]
        replace_rows(connection, self._table, changed)

    def _key_of(self, row: Any) -> tuple[Any, ...]:  # noqa: ANN401 - a dict, or a row of the database
        return tuple(row[name] for name in self._key)


@cache
def rows_with(column: Column[Any]) -> Any:  # noqa: ANN401 - SQLAlchemy's own types say little here
    """The rows that have one of the parameter `values` in a column; made once for each."""
    return select(column.table).where(column == any_(bindparam("values", type_=ARRAY(column.type))))
