"""Reading and writing the rows of containers in Guacamole's tables; only what differs is written.

Ids that the database gave stay: links that were handed out hold them.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy import Column, Connection, Table, and_, bindparam, delete, select, update
from sqlalchemy.exc import IntegrityError

from calipso.errors import Conflict
from calipso.events.naming import container_name
from calipso.projections.bulk import Rows, delete_rows, insert_numbered, insert_rows, replace_rows
from calipso.projections.guacamole import tables
from calipso.projections.guacamole.adding import Ids, add
from calipso.projections.guacamole.fold import OUR_ATTRIBUTE, Kept, Wanted


def read_kept(connection: Connection, container_ids: Collection[UUID] | None = None) -> dict[UUID, Kept]:
    """What is kept of these containers, or of all."""
    if container_ids is None:
        rows = connection.execute(select(tables.kept))
    else:
        rows = connection.execute(_selection(tables.kept.c.container_id), {"values": [*map(str, container_ids)]})
    found = (Kept(**{**row, "container_id": UUID(row["container_id"])}) for row in rows.mappings())
    return {kept.container_id: kept for kept in found}


def forget(connection: Connection, kept: Collection[Kept]) -> None:
    """Take away the accounts and connections of these containers, and what is kept of them."""
    # the other rows of account and connection go with them, by Guacamole's own foreign keys
    keys: dict[Table, list[tuple[object, ...]]] = {
        tables.connection: [(key,) for key in _present(one.connection_id for one in kept)],
        tables.entity: [(key,) for key in _present(one.entity_id for one in kept)],
        tables.kept: [(str(one.container_id),) for one in kept],
    }
    delete_rows(connection, keys)


def remember(connection: Connection, kept: Collection[Kept]) -> None:
    """Keep what is known of these containers now."""
    replace_rows(connection, tables.kept, [{**vars(one), "container_id": str(one.container_id)} for one in kept])


def show(connection: Connection, wanted: Sequence[Wanted]) -> Mapping[UUID, Kept]:
    """Let the rows of running containers be what they should be; gives what is kept of them, with their ids.

    Raises:
        Conflict: an account that is not ours has the name of one of ours.
    """
    old: Sequence[Wanted] = wanted
    new: Sequence[Wanted] = []
    if connection.dialect.name == "postgresql":
        old = [one for one in wanted if _is_shown(one.kept)]
        new = [one for one in wanted if not _is_shown(one.kept)]
    ids = [*_mend(connection, old), *_add(connection, new)]
    return {
        one.kept.container_id: replace(one.kept, entity_id=entity_id, connection_id=connection_id)
        for one, entity_id, connection_id in ids
    }


def _is_shown(kept: Kept) -> bool:
    """Whether a row of the container is there."""
    return kept.entity_id is not None or kept.connection_id is not None


def _add(connection: Connection, new: Sequence[Wanted]) -> Ids:
    with _account_conflicts(one.account for one in new):
        return add(connection, new) if new else []


@contextmanager
def _account_conflicts(new: Iterable[str]) -> Iterator[None]:
    try:
        yield
    except IntegrityError as error:
        reason = f"one of these exists and is not ours, remove it: {', '.join(new)}"
        raise Conflict("Guacamole account", reason) from error


def _mend(connection: Connection, wanted: Sequence[Wanted]) -> Ids:
    """Let the rows be what they should be, of which some are there."""
    if not wanted:
        return []
    entities = _put_entities(connection, wanted)
    connections = _put_connections(connection, wanted)
    _put_users(connection, wanted, entities)
    ids = [(one, entities[one.account], connections[one.account]) for one in wanted]
    old = _present(one.kept.connection_id for one in wanted)
    parameter = tables.connection_parameter.c.connection_id
    _put(connection, parameter, old, _parameter_rows(ids), is_whole=True)
    _put(connection, tables.connection_attribute.c.connection_id, old, _attribute_rows(ids))
    _put(connection, tables.connection_permission.c.connection_id, old, _permission_rows(ids))
    return ids


def _put_entities(connection: Connection, wanted: Sequence[Wanted]) -> Mapping[str, int]:
    """The numbers of accounts."""
    rows = {one.account: {"name": one.account, "type": "USER"} for one in wanted}
    known = {one.account: one.kept.entity_id for one in wanted if one.kept.entity_id is not None}
    with _account_conflicts(rows.keys() - known.keys()):
        return _put_numbered(connection, tables.entity.c.entity_id, tables.entity.c.name, rows, known)


def _put_users(connection: Connection, wanted: Sequence[Wanted], entities: Mapping[str, int]) -> None:
    column = tables.user.c
    old = _present(one.kept.entity_id for one in wanted)
    passwords = {
        entities[one.account]: {
            "password_hash": one.password_hash,
            "password_salt": one.password_salt,
            "password_date": one.password_date,
        }
        for one in wanted
    }
    # a later start does not tell when the password was made, so its date alone is no difference
    there = _change(connection, column.entity_id, {n: passwords[n] for n in passwords if n in old}, {"password_date"})
    missing = [{"entity_id": number, **passwords[number]} for number in passwords if number not in there]
    users = {**_users_of(connection, there), **insert_numbered(connection, tables.user, missing, column.entity_id)}
    granted = [{"entity_id": entity, "affected_user_id": user, "permission": "READ"} for entity, user in users.items()]
    _put(connection, tables.user_permission.c.entity_id, old, granted)


def _users_of(connection: Connection, entities: Collection[int]) -> Mapping[int, int]:
    column = tables.user.c
    query = select(column.entity_id, column.user_id).where(column.entity_id.in_(entities))
    return dict(connection.execute(query).tuples().all()) if entities else {}


def _put_connections(connection: Connection, wanted: Sequence[Wanted]) -> Mapping[str, int]:
    """The numbers of connections, by the accounts that they are for."""
    key, name = tables.connection.c.connection_id, tables.connection.c.connection_name
    rows = {container_name(one.kept.container_id): one.connection for one in wanted}
    known = {
        container_name(one.kept.container_id): one.kept.connection_id
        for one in wanted
        if one.kept.connection_id is not None
    }
    numbers = _put_numbered(connection, key, name, rows, known)
    return {one.account: numbers[container_name(one.kept.container_id)] for one in wanted}


def _put_numbered(
    connection: Connection,
    key: Column[int],
    name: Column[str],
    rows: Mapping[str, Mapping[str, object]],
    known: Mapping[str, int],
) -> Mapping[str, int]:
    """Let there be these rows, by their names; gives their numbers, of which those that are known stay."""
    there = _change(connection, key, {number: rows[each] for each, number in known.items()})
    old = {each: number for each, number in known.items() if number in there}
    missing = [row for each, row in rows.items() if each not in old]
    return {**old, **insert_numbered(connection, key.table, missing, name)}


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


def _present(numbers: Iterable[int | None]) -> set[int]:
    return {number for number in numbers if number is not None}


@cache
def _selection(column: Column[Any]) -> Any:  # noqa: ANN401 - as above
    return select(column.table).where(column.in_(bindparam("values", expanding=True)))


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
    insert_rows(connection, table, [row for k, row in wanted.items() if k not in found or k in stale])
