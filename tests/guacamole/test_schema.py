"""Which databases are refused, what is made in the others, and what Guacamole's own keys do there."""

from datetime import UTC, datetime

import pytest
from sqlalchemy import Engine, delete, insert, inspect, select, text
from sqlalchemy.exc import IntegrityError
from tests import builders
from tests.builders import History
from tests.guacamole.conftest import KEYS
from tests.guacamole.databases import Database
from tests.guacamole.events import PLACE, requested
from tests.guacamole.rows import apply, count

from calipso.errors import Invalid
from calipso.projections.guacamole import Guacamole, tables

# as Guacamole's manual and its releases 1.0.0 to 1.6.0 name them
TABLES = {
    *("connection", "connection_attribute", "connection_group", "connection_group_attribute"),
    *("connection_group_permission", "connection_history", "connection_parameter", "connection_permission"),
    *("entity", "sharing_profile", "sharing_profile_attribute", "sharing_profile_parameter"),
    *("sharing_profile_permission", "system_permission", "user", "user_attribute", "user_group"),
    *("user_group_attribute", "user_group_member", "user_group_permission", "user_history"),
    *("user_password_history", "user_permission"),
}
TYPES = {
    *("guacamole_connection_group_type", "guacamole_entity_type", "guacamole_object_permission_type"),
    *("guacamole_proxy_encryption_method", "guacamole_system_permission_type"),
}


def test_a_database_without_guacamole_is_refused(empty: Database) -> None:
    with pytest.raises(Invalid, match="no Guacamole tables"), empty.engine.begin() as connection:
        Guacamole(KEYS, {}).prepare(connection)


def test_a_schema_before_1_0_is_refused(empty: Database) -> None:
    with empty.engine.begin() as connection:
        connection.execute(text("CREATE TABLE guacamole_user (user_id int PRIMARY KEY, username varchar(128))"))
    with pytest.raises(Invalid, match=r"older than 1\.0\.0"), empty.engine.begin() as connection:
        Guacamole(KEYS, {}).prepare(connection)


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        ("ALTER TABLE guacamole_connection DROP COLUMN proxy_hostname", "guacamole_connection lacks proxy_hostname"),
        ("DROP TABLE guacamole_connection_attribute", "guacamole_connection_attribute lacks attribute_name"),
    ],
)
def test_an_incomplete_schema_is_refused(empty: Database, statement: str, told: str) -> None:
    guacamole = Guacamole(KEYS, {})
    with empty.engine.begin() as connection:
        guacamole.create_schema(connection)
        connection.execute(text(statement))
    with pytest.raises(Invalid, match=told), empty.engine.begin() as connection:
        guacamole.prepare(connection)


def test_all_tables_of_guacamole_are_made(empty: Database, guacamole: Guacamole) -> None:
    with empty.engine.begin() as connection:
        for _ in range(2):  # as harmless to repeat as `migrate`
            guacamole.create_schema(connection)
            guacamole.prepare(connection)
        present = set(inspect(connection).get_table_names())
        assert present == {f"guacamole_{name}" for name in TABLES} | {"calipso_connection", "calipso_position"}
        assert guacamole.lock_position(connection) == 0
        if connection.dialect.name == "postgresql":
            types = connection.execute(text("SELECT typname FROM pg_type WHERE typtype = 'e'")).scalars()
            assert set(types) == TYPES


def test_every_foreign_key_has_an_index(engine: Engine) -> None:
    inspector = inspect(engine)
    for table in tables.guacamole.tables:
        begun = {inspector.get_pk_constraint(table)["constrained_columns"][0]}
        begun |= {str(index["column_names"][0]) for index in inspector.get_indexes(table)}
        begun |= {unique["column_names"][0] for unique in inspector.get_unique_constraints(table)}
        wanted = {key["constrained_columns"][0] for key in inspector.get_foreign_keys(table)}
        assert wanted <= begun, table


def test_the_printed_statements_make_our_tables(engine: Engine, guacamole: Guacamole) -> None:
    with engine.begin() as connection:
        tables.ours.drop_all(connection)
        for _ in range(2):
            for statement in guacamole.ddl(engine.dialect).split(";\n"):
                if statement.strip():
                    connection.execute(text(statement))
        guacamole.prepare(connection)
        assert {"calipso_connection", "calipso_position"} <= set(inspect(connection).get_table_names())
        assert guacamole.lock_position(connection) == 0


def test_an_account_that_may_not_make_tables_is_told_what_to_do(empty: Database) -> None:
    guacamole = Guacamole(KEYS, {})
    with empty.engine.begin() as connection:
        guacamole.create_schema(connection)
    engine = empty.limited()
    with pytest.raises(Invalid, match="migrate --guacamole --print-sql"), engine.begin() as connection:
        guacamole.prepare(connection)


def test_an_account_that_may_only_write_rows_is_enough(empty: Database) -> None:
    guacamole = Guacamole(KEYS, {})
    with empty.engine.begin() as connection:
        guacamole.create_schema(connection)
        tables.ours.create_all(connection)
    engine = empty.limited()
    if empty.engine.dialect.name == "postgresql":
        with empty.engine.begin() as connection:
            connection.execute(text("GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO PUBLIC"))
    with engine.begin() as connection:
        guacamole.prepare(connection)
    request, history = requested(), History()
    apply(engine, guacamole, history.record(request, builders.started(request, PLACE)))
    assert count(engine)["guacamole_connection"] == 1
    apply(engine, guacamole, history.record(builders.stopped(request)))
    assert count(engine) == {}


def test_history_outlives_connection_and_account(engine: Engine, guacamole: Guacamole) -> None:
    request, history = requested(), History()
    apply(engine, guacamole, history.record(request, builders.started(request, PLACE)))
    with engine.begin() as connection:
        ours = connection.execute(select(tables.kept)).one()
        user_id = connection.execute(select(tables.user.c.user_id)).scalar_one()
        seen = {"username": "x", "connection_name": "n", "start_date": datetime.now(UTC)}
        ids = {"connection_id": ours.connection_id, "user_id": user_id}
        connection.execute(insert(tables.connection_history).values(**seen, **ids))
        profile = {"sharing_profile_name": "p", "primary_connection_id": ours.connection_id}
        connection.execute(insert(tables.sharing_profile).values(profile))
    apply(engine, guacamole, history.record(builders.stopped(request)))
    with engine.connect() as connection:
        left = connection.execute(select(tables.connection_history)).one()
        assert connection.execute(select(tables.sharing_profile)).all() == []
    assert (left.connection_id, left.user_id, left.connection_name, left.username) == (None, None, "n", "x")


def test_a_user_without_its_entity_would_leave_the_name_taken(engine: Engine, guacamole: Guacamole) -> None:
    request = requested()
    apply(engine, guacamole, History().record(request, builders.started(request, PLACE)))
    with engine.begin() as connection:
        connection.execute(delete(tables.user))
    assert count(engine)["guacamole_entity"] == 1
    assert "guacamole_user_permission" not in count(engine)


@pytest.mark.parametrize(
    "values", [{"connection_id": 4711, "entity_id": 1}, {"connection_id": 1, "entity_id": 4711}], ids=str
)
def test_permissions_need_what_they_are_about(engine: Engine, values: dict[str, int]) -> None:
    with engine.begin() as connection:
        connection.execute(insert(tables.entity).values(entity_id=1, name="ada", type="USER"))
        connection.execute(insert(tables.connection).values(connection_id=1, connection_name="c", protocol="vnc"))
    with pytest.raises(IntegrityError), engine.begin() as connection:
        connection.execute(insert(tables.connection_permission).values(**values, permission="READ"))


def test_names_are_unique_by_kind(engine: Engine) -> None:
    with engine.begin() as connection:
        for kind in ("USER", "USER_GROUP"):
            connection.execute(insert(tables.entity).values(name="ada", type=kind))
    with pytest.raises(IntegrityError), engine.begin() as connection:
        connection.execute(insert(tables.entity).values(name="ada", type="USER"))
