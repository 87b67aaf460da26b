"""Many rows of a table, written by one statement that is turned into text once, however many they are.

To PostgreSQL they go as one JSON array. Making a statement, and a parameter of each value, takes longer than all else
that is done for a small batch of events, and a statement for each row takes longer still.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cache
from typing import Any

import msgspec
from sqlalchemy import (
    JSON,
    Column,
    Connection,
    Dialect,
    Insert,
    LargeBinary,
    Table,
    Text,
    and_,
    bindparam,
    cast,
    column,
    delete,
    func,
    insert,
    select,
    tuple_,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.types import TypeEngine

Rows = Sequence[Mapping[str, Any]]  # all with the same names


class _Replacement(Insert):
    """Rows with a value for every column, in the place of those with their primary keys."""

    inherit_cache = True


class _Addition(Insert):
    """Rows, but for those that are there already."""

    inherit_cache = True


def insert_rows(connection: Connection, table: Table, rows: Rows) -> None:
    """Insert rows, on any database."""
    if rows and connection.dialect.name == "postgresql":
        connection.execute(_insertion(Insert, table, tuple(rows[0])), _given(_plain(connection, table, rows)))
    elif rows:
        connection.execute(insert(table), rows)  # the client makes one statement of it


def insert_numbered(connection: Connection, table: Table, rows: Rows, by: Column[Any]) -> Mapping[Any, int]:
    """Insert rows, on any database; gives the keys that it numbered them with, by a column that tells them apart."""
    if rows and connection.dialect.name == "postgresql":
        parameter = _given(_plain(connection, table, rows))
        return dict(connection.execute(_numbered(by, tuple(rows[0])), parameter).tuples().all())
    # what MySQL tells of several rows is the number of the first alone
    return {row[by.name]: _insert_one(connection, table, row) for row in rows}


def replace_rows(connection: Connection, table: Table, rows: Rows) -> None:
    """Put rows with a value for every column in the place of those with their primary keys, on any database."""
    if rows and connection.dialect.name == "postgresql":
        names = table.primary_key.columns.keys()
        # texts that differ may be the same to the database, as which the last of them stays
        last = {tuple(row[name] for name in names): row for row in _plain(connection, table, rows)}
        connection.execute(_insertion(_Replacement, table, tuple(rows[0])), _given(list(last.values())))
    elif rows:
        names = table.primary_key.columns.keys()
        delete_rows(connection, {table: [tuple(row[name] for name in names) for row in rows]})
        insert_rows(connection, table, rows)


def add_rows(connection: Connection, table: Table, rows: Rows) -> None:
    """Insert those rows that are not there already, on PostgreSQL."""
    if rows:
        connection.execute(_insertion(_Addition, table, tuple(rows[0])), _given(_plain(connection, table, rows)))


def delete_rows(connection: Connection, keys: Mapping[Table, Collection[tuple[Any, ...]]]) -> None:
    """Delete the rows of these primary keys from their tables, on any database."""
    present = {table: list(of_table) for table, of_table in keys.items() if of_table}
    if present and connection.dialect.name == "postgresql":
        given = {f"rows_{n}": _encoded(_keys(connection, *item)) for n, item in enumerate(present.items())}
        connection.execute(_deletions(tuple(present)), given)
        return
    for table, of_table in present.items():
        connection.execute(delete(table).where(tuple_(*table.primary_key).in_(of_table)))


def _keys(connection: Connection, table: Table, keys: Sequence[tuple[Any, ...]]) -> Rows:
    names = table.primary_key.columns.keys()
    return _plain(connection, table, [dict(zip(names, key, strict=True)) for key in keys])


def _insert_one(connection: Connection, table: Table, row: Mapping[str, Any]) -> int:
    key = connection.execute(insert(table).values(**row)).inserted_primary_key
    if key is None:
        message = f"{table.name} gave no key"
        raise RuntimeError(message)
    return int(key[0])


def _given(rows: Rows) -> Mapping[str, str]:
    """The parameter of these statements."""
    return {"rows": _encoded(rows)}


def _encoded(rows: Rows) -> str:
    return msgspec.json.encode(rows).decode()


def _plain(connection: Connection, table: Table, rows: Rows) -> Rows:
    """The rows with values that PostgreSQL reads out of JSON."""
    encoders = _encoders(table, connection.dialect)
    return [
        {name: encode(value) if (encode := encoders.get(name)) else value for name, value in row.items()}
        for row in rows
    ]


@cache
def _encoders(table: Table, dialect: Dialect) -> Mapping[str, Callable[[Any], Any]]:
    """What makes them of values, by the names of the columns that need it."""
    found = ((each.name, _encoder(each.type, dialect)) for each in table.columns)
    return {name: encoder for name, encoder in found if encoder is not None}


def _encoder(kind: TypeEngine[Any], dialect: Dialect) -> Callable[[Any], Any] | None:
    if isinstance(kind, LargeBinary):
        return lambda value: f"\\x{value.hex()}"
    return None if isinstance(kind, JSON) else kind.dialect_impl(dialect).bind_processor(dialect)


def _recordset(table: Table, names: Sequence[str], parameter: str = "rows") -> Any:  # noqa: ANN401 - SQLAlchemy's own types say little here
    """The rows of the parameter, as a table."""
    columns = (column(name, table.c[name].type) for name in names)
    rows = func.json_to_recordset(cast(bindparam(parameter, type_=Text), JSON))
    return rows.table_valued(*columns, name="given").render_derived(with_types=True)


@cache
def _insertion(kind: type[Insert], table: Table, names: tuple[str, ...]) -> Any:  # noqa: ANN401 - as above
    return kind(table).inline().from_select(names, select(*_recordset(table, names).c))


@cache
def _numbered(by: Column[Any], names: tuple[str, ...]) -> Any:  # noqa: ANN401 - as above
    return _insertion(Insert, by.table, names).returning(by, *by.table.primary_key)


@cache
def _deletions(tables: Sequence[Table]) -> Any:  # noqa: ANN401 - as above
    made = [_deletion(table, f"rows_{n}") for n, table in enumerate(tables)]
    return made[0] if len(made) == 1 else select(1).add_cte(*(each.cte(f"gone_{n}") for n, each in enumerate(made)))


def _deletion(table: Table, parameter: str) -> Any:  # noqa: ANN401 - as above
    gone = _recordset(table, table.primary_key.columns.keys(), parameter)
    return delete(table).where(and_(*(key == gone.c[key.name] for key in table.primary_key)))


@compiles(_Replacement)
def _replacement(statement: _Replacement, compiler: SQLCompiler, **options: Any) -> str:  # noqa: ANN401 - as above
    quote, table = compiler.preparer.quote, statement.table
    key = ", ".join(quote(each.name) for each in table.primary_key)
    changed = ", ".join(f"{quote(each.name)} = excluded.{quote(each.name)}" for each in table.columns)
    return f"{_insert(statement, compiler, options)} ON CONFLICT ({key}) DO UPDATE SET {changed}"


@compiles(_Addition)
def _addition(statement: _Addition, compiler: SQLCompiler, **options: Any) -> str:  # noqa: ANN401 - as above
    return f"{_insert(statement, compiler, options)} ON CONFLICT DO NOTHING"


def _insert(statement: Insert, compiler: SQLCompiler, options: dict[str, Any]) -> str:
    return str(compiler.visit_insert(statement, **options))  # type: ignore[no-untyped-call]  # the library has none here
