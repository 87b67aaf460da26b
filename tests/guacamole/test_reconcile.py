"""A rebuild in place mends what differs, and only that."""

from collections.abc import Callable
from uuid import uuid4

import pytest
from sqlalchemy import Connection, Engine, delete, insert, literal, select, update
from tests import builders
from tests.builders import History
from tests.guacamole.databases import Database
from tests.guacamole.events import PLACE, requested
from tests.guacamole.rows import Snapshot, apply, snapshot, values

from calipso.events.container import ContainerRequested
from calipso.projections.guacamole import Guacamole, tables

Damage = Callable[[Connection, int, int], object]

MENDED_IN_PLACE: dict[str, Damage] = {
    "another host": lambda c, number, _: c.execute(
        update(tables.connection_parameter)
        .where(tables.connection_parameter.c.connection_id == number)
        .where(tables.connection_parameter.c.parameter_name == "hostname")
        .values(parameter_value="10.66.6.6")
    ),
    "one parameter more": lambda c, number, _: c.execute(
        insert(tables.connection_parameter).values(
            connection_id=number, parameter_name="recording-path", parameter_value="/tmp"
        )
    ),
    "no parameters": lambda c, number, _: c.execute(
        delete(tables.connection_parameter).where(tables.connection_parameter.c.connection_id == number)
    ),
    "another name": lambda c, number, _: c.execute(
        update(tables.connection).where(tables.connection.c.connection_id == number).values(connection_name="mine")
    ),
    "another guacd": lambda c, number, _: c.execute(
        update(tables.connection).where(tables.connection.c.connection_id == number).values(proxy_hostname="h")
    ),
    "another protocol": lambda c, number, _: c.execute(
        update(tables.connection).where(tables.connection.c.connection_id == number).values(protocol="ssh")
    ),
    "another id in the attribute": lambda c, number, _: c.execute(
        update(tables.connection_attribute)
        .where(tables.connection_attribute.c.connection_id == number)
        .values(attribute_value=str(uuid4()))
    ),
    "no attribute": lambda c, number, _: c.execute(
        delete(tables.connection_attribute).where(tables.connection_attribute.c.connection_id == number)
    ),
    "no permission": lambda c, number, _: c.execute(
        delete(tables.connection_permission).where(tables.connection_permission.c.connection_id == number)
    ),
    "another password": lambda c, _, entity: c.execute(
        update(tables.user).where(tables.user.c.entity_id == entity).values(password_hash=b"x" * 32)
    ),
    "another account name": lambda c, _, entity: c.execute(
        update(tables.entity).where(tables.entity.c.entity_id == entity).values(name="ada")
    ),
    "no permission on itself": lambda c, _, entity: c.execute(
        delete(tables.user_permission).where(tables.user_permission.c.entity_id == entity)
    ),
}
MADE_ANEW: dict[str, Damage] = {
    "no connection": lambda c, number, _: c.execute(
        delete(tables.connection).where(tables.connection.c.connection_id == number)
    ),
    "no account": lambda c, _, entity: c.execute(delete(tables.entity).where(tables.entity.c.entity_id == entity)),
    "no user, but its entity": lambda c, _, entity: c.execute(
        delete(tables.user).where(tables.user.c.entity_id == entity)
    ),
}


def some_that_run(engine: Engine, guacamole: Guacamole) -> tuple[History, ContainerRequested]:
    """Two that run, one that has ended, one that was only requested."""
    history, damaged, other, ended = History(), requested(), requested(), requested()
    for request in (damaged, other, ended):
        apply(engine, guacamole, history.record(request, builders.started(request, PLACE)))
    apply(engine, guacamole, history.record(builders.stopped(ended), requested()))
    return history, damaged


def rebuild(engine: Engine, guacamole: Guacamole, history: History) -> None:
    with engine.begin() as connection:
        guacamole.lock_position(connection)
        guacamole.reconcile(connection, history.events)
        guacamole.save_position(connection, len(history.events))


def shown(engine: Engine) -> Snapshot:
    with engine.connect() as connection:
        return values(connection)


def damage(engine: Engine, request: ContainerRequested, how: Damage) -> None:
    with engine.begin() as connection:
        ours = select(tables.kept).where(tables.kept.c.container_id == str(request.container_id))
        row = connection.execute(ours).one()
        how(connection, row.connection_id, row.entity_id)


def test_what_is_right_stays_as_it_is(engine: Engine, guacamole: Guacamole) -> None:
    history, _ = some_that_run(engine, guacamole)
    live = snapshot(engine)
    rebuild(engine, guacamole, history)
    assert snapshot(engine) == live


@pytest.mark.parametrize("how", MENDED_IN_PLACE.values(), ids=MENDED_IN_PLACE)
def test_what_differs_is_mended_in_place(engine: Engine, guacamole: Guacamole, how: Damage) -> None:
    history, damaged = some_that_run(engine, guacamole)
    live = snapshot(engine)
    damage(engine, damaged, how)
    assert snapshot(engine) != live
    rebuild(engine, guacamole, history)
    assert snapshot(engine) == live


@pytest.mark.parametrize("how", MADE_ANEW.values(), ids=MADE_ANEW)
def test_what_is_missing_is_made_anew(engine: Engine, guacamole: Guacamole, how: Damage) -> None:
    history, damaged = some_that_run(engine, guacamole)
    live = shown(engine)
    damage(engine, damaged, how)
    assert shown(engine) != live
    rebuild(engine, guacamole, history)
    assert shown(engine) == live


def test_what_an_administrator_may_set_stays(engine: Engine, guacamole: Guacamole) -> None:
    history, request = some_that_run(engine, guacamole)
    with engine.begin() as connection:
        ours = (
            tables.connection.c.connection_id
            == connection.execute(
                select(tables.kept.c.connection_id).where(tables.kept.c.container_id == str(request.container_id))
            ).scalar_one()
        )
        connection.execute(update(tables.connection).where(ours).values(max_connections=1))
        told = {"attribute_name": "their-word", "attribute_value": "x"}
        connection.execute(
            insert(tables.connection_attribute).from_select(
                ["connection_id", *told], select(tables.connection.c.connection_id, *map(literal, told.values()))
            )
        )
        connection.execute(update(tables.user).values(disabled=True))
    set_so = snapshot(engine)
    rebuild(engine, guacamole, history)
    assert snapshot(engine) == set_so


def test_what_the_history_does_not_tell_goes(engine: Engine, guacamole: Guacamole) -> None:
    history, _ = some_that_run(engine, guacamole)
    live = snapshot(engine)
    stranger = requested()
    apply(engine, guacamole, History().record(stranger, builders.started(stranger, PLACE)))
    rebuild(engine, guacamole, history)
    assert snapshot(engine) == live


def test_a_new_database_gets_what_the_old_one_had(engine: Engine, empty: Database, guacamole: Guacamole) -> None:
    history, _ = some_that_run(engine, guacamole)
    with empty.engine.begin() as connection:
        guacamole.create_schema(connection)
        guacamole.prepare(connection)
    rebuild(empty.engine, guacamole, history)
    assert shown(empty.engine) == shown(engine)
