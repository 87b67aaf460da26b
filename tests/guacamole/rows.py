"""What the tests read of Guacamole's tables, and how they apply events."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Engine, Select, select

from calipso.events.envelope import Recorded
from calipso.events.naming import container_name
from calipso.projections.guacamole import Guacamole, tables

SHOWN = (*tables.WRITTEN, tables.kept)
NUMBERS = frozenset({"entity_id", "user_id", "connection_id", "affected_user_id"})

Snapshot = dict[str, list[tuple[Any, ...]]]


def apply(engine: Engine, guacamole: Guacamole, events: Sequence[Recorded]) -> None:
    """One batch, as the runner does it."""
    with engine.begin() as connection:
        guacamole.lock_position(connection)
        guacamole.apply(connection, events)
        guacamole.save_position(connection, events[-1].position)


def all_rows(connection: Connection) -> Snapshot:
    """Everything in the tables that the projection writes."""
    return {table.name: sorted((tuple(row) for row in connection.execute(select(table))), key=str) for table in SHOWN}


def values(connection: Connection) -> Snapshot:
    """Everything in these tables but the numbers that the database gives."""
    found: Snapshot = {}
    for table in SHOWN:
        columns = [column for column in table.c if column.name not in NUMBERS]
        found[table.name] = sorted((tuple(row) for row in connection.execute(select(*columns))), key=str)
    return found


def snapshot(engine: Engine) -> Snapshot:
    """`all_rows` as they are stored now."""
    with engine.connect() as connection:
        return all_rows(connection)


def count(engine: Engine) -> dict[str, int]:
    """The number of rows of each table that has any."""
    return {name: len(rows) for name, rows in snapshot(engine).items() if rows}


def parameters(engine: Engine, container_id: UUID) -> dict[str, str]:
    """The parameters of a container's connection."""
    wanted = select(tables.connection_parameter.c.parameter_name, tables.connection_parameter.c.parameter_value)
    wanted = wanted.join(tables.connection).where(tables.connection.c.connection_name == container_name(container_id))
    with engine.connect() as connection:
        return {str(name): str(value) for name, value in connection.execute(wanted)}


def id_of(container_id: UUID) -> Select[tuple[int]]:
    """The query of the number of a container's connection."""
    return select(tables.connection.c.connection_id).where(
        tables.connection.c.connection_name == container_name(container_id)
    )


def connection_id(engine: Engine, container_id: UUID) -> int:
    """The number of a container's connection."""
    with engine.connect() as connection:
        return connection.execute(id_of(container_id)).scalar_one()
