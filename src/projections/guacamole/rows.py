"""Reading and writing the rows of containers in Guacamole's tables; only what differs is written.

Ids that the database gave stay: links that were handed out hold them.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Column, Connection, Table, and_, bindparam, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from calipso.errors import Conflict
from calipso.projections.guacamole import tables
from calipso.projections.guacamole.fold import OUR_ATTRIBUTE, Kept, Wanted

Rows = Sequence[Mapping[str, Any]]


def read_kept(connection: Connection, container_ids: Collection[UUID] | None = None) -> dict[UUID, Kept]:
    """What is kept of these containers, or of all."""
    query = select(tables.kept)
    if container_ids is not None:
        query = query.where(tables.kept.c.container_id.in_([str(container_id) for container_id in container_ids]))
    found = (Kept(**{**row, "container_id": UUID(row["container_id"])}) for row in connection.execute(query).mappings())
    return {kept.container_id: kept for kept in found}


def remember(connection: Connection, kept: Collection[Kept]) -> None:
    """Keep what requests told."""
    if kept:
        connection.execute(insert(tables.kept), [{**vars(one), "container_id": str(one.container_id)} for one in kept])


def forget(connection: Connection, kept: Collection[Kept]) -> None:
    """Take away all rows of these containers."""
    # the other rows of account and connection go with them, by Guacamole's own foreign keys
    _delete(connection, tables.connection.c.connection_id, (one.connection_id for one in kept))
    _delete(connection, tables.entity.c.entity_id, (one.entity_id for one in kept))
    _delete(connection, tables.kept.c.container_id, (str(one.container_id) for one in kept))


def show(connection: Connection, wanted: Sequence[Wanted]) -> None:
    """Let the rows of running containers be what they should be.

    Raises:
        Conflict: an account that is not ours has the name of one of ours.
    """
    if not wanted:
        return
    entities = _put_entities(connection, wanted)
    connections = _put_connections(connection, wanted)
    _put_users(connection, wanted, entities)
    ids = [(one, entities[one.kept.container_id], connections[one.kept.container_id]) for one in wanted]
    old = _present(one.kept.connection_id for one in wanted)
    parameter = tables.connection_parameter.c.connection_id
    _put(connection, parameter, old, _parameter_rows(ids), is_whole=True)
    _put(connection, tables.connection_attribute.c.connection_id, old, _attribute_rows(ids))
    _put(connection, tables.connection_permission.c.connection_id, old, _permission_rows(ids))
    _keep_ids(connection, ids)


def _put_entities(connection: Connection, wanted: Sequence[Wanted]) -> Mapping[UUID, int]:
    column = tables.entity.c
    names = {one.kept.entity_id: {"name": one.account} for one in wanted if one.kept.entity_id is not None}
    there = _change(connection, column.entity_id, names)
    if missing := [one.account for one in wanted if one.kept.entity_id not in there]:
        try:
            connection.execute(insert(tables.entity), [{"name": name, "type": "USER"} for name in missing])
        except IntegrityError as error:
            reason = f"one of these exists and is not ours, remove it: {', '.join(missing)}"
            raise Conflict("Guacamole account", reason) from error
    query = select(column.name, column.entity_id)
    query = query.where(column.type == "USER", column.name.in_([one.account for one in wanted]))
    numbers = dict(connection.execute(query).tuples().all())
    return {one.kept.container_id: numbers[one.account] for one in wanted}


def _put_users(connection: Connection, wanted: Sequence[Wanted], entities: Mapping[UUID, int]) -> None:
    column = tables.user.c
    old = _present(one.kept.entity_id for one in wanted)
    passwords = {
        entities[one.kept.container_id]: {
            "password_hash": one.password_hash,
            "password_salt": one.password_salt,
            "password_date": one.password_date,
        }
        for one in wanted
    }
    # a later start does not tell when the password was made, so its date alone is no difference
    there = _change(connection, column.entity_id, {n: passwords[n] for n in passwords if n in old}, {"password_date"})
    if missing := [{"entity_id": number, **passwords[number]} for number in passwords if number not in there]:
        connection.execute(insert(tables.user), missing)
    users = connection.execute(select(column.entity_id, column.user_id).where(column.entity_id.in_(passwords)))
    granted = [{"entity_id": entity, "affected_user_id": user, "permission": "READ"} for entity, user in users]
    _put(connection, tables.user_permission.c.entity_id, old, granted)


def _put_connections(connection: Connection, wanted: Sequence[Wanted]) -> Mapping[UUID, int]:
    column = tables.connection.c.connection_id
    old = {one.kept.connection_id: one.connection for one in wanted if one.kept.connection_id is not None}
    there = _change(connection, column, old)
    return {
        one.kept.container_id: one.kept.connection_id
        if one.kept.connection_id in there
        else _insert(connection, tables.connection, one.connection)
        for one in wanted
    }


Ids = Sequence[tuple[Wanted, int, int]]


def _parameter_rows(ids: Ids) -> Rows:
    return [
        {"connection_id": connection_id, "parameter_name": name, "parameter_value": value}
        for one, _, connection_id in ids
        for name, value in sorted(one.parameters.items())
    ]


def _attribute_rows(ids: Ids) -> Rows:
    return [
        {
            "connection_id": connection_id,
            "attribute_name": OUR_ATTRIBUTE,
            "attribute_value": str(one.kept.container_id),
        }
        for one, _, connection_id in ids
    ]


def _permission_rows(ids: Ids) -> Rows:
    return [
        {"entity_id": entity_id, "connection_id": connection_id, "permission": "READ"}
        for _, entity_id, connection_id in ids
    ]


def _keep_ids(connection: Connection, ids: Ids) -> None:
    changed = [
        {"of": str(one.kept.container_id), "entity_id": entity_id, "connection_id": connection_id}
        for one, entity_id, connection_id in ids
        if (one.kept.entity_id, one.kept.connection_id) != (entity_id, connection_id)
    ]
    if changed:
        connection.execute(update(tables.kept).where(tables.kept.c.container_id == bindparam("of")), changed)


def _present(numbers: Iterable[int | None]) -> set[int]:
    return {number for number in numbers if number is not None}


def _delete(connection: Connection, column: Column[Any], values: Iterable[int | str | None]) -> None:
    if present := [value for value in values if value is not None]:
        connection.execute(delete(column.table).where(column.in_(present)))


def _insert(connection: Connection, table: Table, values: Mapping[str, object]) -> int:
    key = connection.execute(insert(table).values(**values)).inserted_primary_key
    if key is None:
        message = f"{table.name} gave no key"
        raise RuntimeError(message)
    return int(key[0])


def _change(
    connection: Connection,
    key: Column[int],
    wanted: Mapping[int, Mapping[str, object]],
    uncompared: Collection[str] = (),
) -> set[int]:
    """Let the rows that there are of these keys have these values; gives their keys."""
    if not wanted:
        return set()
    found = {row[key]: row for row in connection.execute(select(key.table).where(key.in_(wanted))).mappings()}
    for number, row in found.items():
        values = wanted[number]
        if any(row[name] != value for name, value in values.items() if name not in uncompared):
            connection.execute(update(key.table).where(key == number).values(**values))
    return set(found)


def _put(
    connection: Connection, owner: Column[int], old: Collection[int], rows: Rows, *, is_whole: bool = False
) -> None:
    """Let the owner's table hold these rows; `old` are the owners that may have some already.

    With `is_whole` the rows are all that their owners have; otherwise what others put there stays.
    """
    table = owner.table
    key = tuple(column.name for column in table.primary_key)
    wanted = {tuple(row[name] for name in key): row for row in rows}
    found = {}
    if old:
        query = select(table).where(owner.in_(old))
        found = {tuple(row[name] for name in key): row for row in connection.execute(query).mappings()}
    stale = {k for k, row in found.items() if (row != wanted[k] if k in wanted else is_whole)}
    if stale:
        where = and_(*(table.c[name] == bindparam(f"of_{name}") for name in key))
        connection.execute(
            delete(table).where(where), [{f"of_{name}": v for name, v in zip(key, k, strict=True)} for k in stale]
        )
    if new := [row for k, row in wanted.items() if k not in found or k in stale]:
        connection.execute(insert(table), new)
