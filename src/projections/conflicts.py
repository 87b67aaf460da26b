"""Inserts into tables where the rows may be already.

SQLAlchemy's own inserts of this kind are turned into text anew at each execution, which takes longer than all else that
is done for a small batch of events. These are turned into text once.
"""

from typing import Any

from sqlalchemy import Insert, Table
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler


class Replacement(Insert):
    """Rows with a value for every column, in the place of those with their primary keys."""

    inherit_cache = True


class Addition(Insert):
    """Rows, but for those that are there already."""

    inherit_cache = True


def replacement(table: Table) -> Any:  # noqa: ANN401 - SQLAlchemy's own types say little here
    """Puts rows into a table."""
    return Replacement(table).inline()


def addition(table: Table) -> Any:  # noqa: ANN401 - as above
    """Adds rows to a table."""
    return Addition(table).inline()


@compiles(Replacement)
def _replacement(statement: Replacement, compiler: SQLCompiler, **options: Any) -> str:  # noqa: ANN401 - as above
    quote, table = compiler.preparer.quote, statement.table
    key = ", ".join(quote(column.name) for column in table.primary_key)
    changed = ", ".join(f"{quote(column.name)} = excluded.{quote(column.name)}" for column in table.columns)
    return f"{_insert(statement, compiler, options)} ON CONFLICT ({key}) DO UPDATE SET {changed}"


@compiles(Addition)
def _addition(statement: Addition, compiler: SQLCompiler, **options: Any) -> str:  # noqa: ANN401 - as above
    return f"{_insert(statement, compiler, options)} ON CONFLICT DO NOTHING"


def _insert(statement: Insert, compiler: SQLCompiler, options: dict[str, Any]) -> str:
    return str(compiler.visit_insert(statement, **options))  # type: ignore[no-untyped-call]  # the library has none here
