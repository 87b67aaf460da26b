"""Guacamole's rows follow what runs, on both kinds of database; nothing of anybody else's is touched."""

import hashlib
import itertools
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, Engine, Select, delete, insert, inspect, select, text
from tests import builders
from tests.builders import History
from tests.guacamole.conftest import KEYS

from calipso import credentials
from calipso.errors import Invalid
from calipso.events.container import ContainerRequested
from calipso.events.envelope import Event, Recorded
from calipso.events.naming import container_name
from calipso.events.values import Placement, Protocol, Runtime
from calipso.projections import guacamole_tables as tables
from calipso.projections.guacamole import Guacamole

PLACE = Placement(runtime_id="r", name="n", host="10.1.0.7", port=32768)
SHOWN = (
    tables.entity,
    tables.user,
    tables.user_permission,
    tables.connection,
    tables.connection_parameter,
    tables.connection_attribute,
    tables.connection_permission,
    tables.known,
)


def requested(protocol: Protocol = Protocol.VNC, **changes: Any) -> ContainerRequested:  # noqa: ANN401 - fields of the event
    image = builders.image_spec(protocol=protocol)
    return builders.container_requested(uuid4(), image=image, **changes)


def apply(engine: Engine, guacamole: Guacamole, events: Sequence[Recorded]) -> None:
    """One batch, as the runner does it."""
    with engine.begin() as connection:
        guacamole.lock_position(connection)
        guacamole.apply(connection, events)
        guacamole.save_position(connection, events[-1].position)


def rows(connection: Connection) -> dict[str, list[tuple[Any, ...]]]:
    """Everything in the tables that the projection writes, without the numbers that the database gives."""
    numbers = {"entity_id", "user_id", "connection_id", "affected_user_id"}
    found = {}
    for table in SHOWN:
        columns = [column for column in table.c if column.name not in numbers]
        result = connection.execute(select(*columns) if columns else select(table.c[0]))
        found[table.name] = sorted((tuple(map(str, row)) for row in result), key=str)
    return found


def count(engine: Engine) -> dict[str, int]:
    with engine.connect() as connection:
        return {name: len(values) for name, values in rows(connection).items() if values}


def parameters(engine: Engine, container_id: UUID) -> dict[str, str]:
    connection_name = container_name(container_id)
    wanted = select(tables.connection_parameter.c.parameter_name, tables.connection_parameter.c.parameter_value)
    wanted = wanted.join(tables.connection).where(tables.connection.c.connection_name == connection_name)
    with engine.connect() as connection:
        return {str(name): str(value) for name, value in connection.execute(wanted)}


def test_a_running_desktop_has_an_account_and_a_connection(engine: Engine, guacamole: Guacamole) -> None:
    request = requested()
    events = History().record(request, builders.starting(request), builders.started(request, PLACE))
    apply(engine, guacamole, events[:2])
    assert count(engine) == {"calipso_connection": 1}
    apply(engine, guacamole, events[2:])
    container_id = request.container_id
    password = credentials.vnc_password(KEYS, 1, container_id)
    assert parameters(engine, container_id) == {"hostname": "10.1.0.7", "port": "32768", "password": password}
    with engine.connect() as connection:
        account = connection.execute(select(tables.user, tables.entity.c.name).join(tables.entity)).one()
        assert account.name == credentials.guacamole_username(container_id)
        assert account.name == account.name.lower()
        guacamole_password = credentials.guacamole_password(KEYS, 1, container_id)
        salt = bytes(account.password_salt)
        assert len(salt) == 32
        expected = hashlib.sha256((guacamole_password + salt.hex().upper()).encode()).digest()
        assert bytes(account.password_hash) == expected
        stored = account.password_date
        stored = stored if stored.tzinfo else stored.replace(tzinfo=UTC)
        assert abs((stored - events[2].time).total_seconds()) < 1
        readable = connection.execute(select(tables.connection_permission.c.permission)).scalars().all()
        assert readable == ["READ"]
        assert connection.execute(select(tables.user_permission.c.permission)).scalars().all() == ["READ"]
        told = guacamole.rows_of(connection, container_id)
        assert told is not None
        assert told.parameters["password"] == "(hidden)"


@pytest.mark.parametrize("end", [builders.stopped, builders.removed, builders.failed, builders.lost])
def test_an_end_takes_all_rows_away(
    engine: Engine, guacamole: Guacamole, end: Callable[[ContainerRequested], Event]
) -> None:
    request = requested()
    events = History().record(request, builders.starting(request), builders.started(request, PLACE), end(request))
    apply(engine, guacamole, events[:3])
    apply(engine, guacamole, events[3:])
    assert count(engine) == {}


@pytest.mark.parametrize("protocol", [Protocol.RDP, Protocol.SSH])
def test_other_protocols_have_parameters_that_guacd_knows(
    engine: Engine, guacamole: Guacamole, protocol: Protocol
) -> None:
    request = requested(protocol)
    apply(engine, guacamole, History().record(request, builders.started(request, PLACE)))
    found = parameters(engine, request.container_id)
    known = {"hostname", "port", "username", "password", "ignore-cert", "security", "resize-method"}
    assert set(found) <= known
    assert (found["hostname"], found["port"]) == ("10.1.0.7", "32768")


@pytest.mark.parametrize("protocol", [Protocol.HTTP, Protocol.NONE])
def test_what_guacamole_cannot_show_has_no_rows(engine: Engine, guacamole: Guacamole, protocol: Protocol) -> None:
    request = requested(protocol)
    apply(engine, guacamole, History().record(request, builders.started(request, PLACE)))
    assert count(engine) == {}


def test_a_target_with_a_guacd_of_its_own_names_it(engine: Engine, guacamole: Guacamole) -> None:
    near, far = requested(), requested(target="far")
    apply(
        engine,
        guacamole,
        History().record(near, far, builders.started(near, PLACE), builders.started(far, PLACE)),
    )
    wanted = select(tables.connection.c.proxy_hostname, tables.connection.c.proxy_port)
    with engine.connect() as connection:
        found = {tuple(row) for row in connection.execute(wanted)}
    assert found == {(None, None), ("guacd.example.org", 4823)}


def test_a_changed_placement_keeps_the_connection(engine: Engine, guacamole: Guacamole) -> None:
    request = requested()
    history = History()
    apply(engine, guacamole, history.record(request, builders.started(request, PLACE)))
    with engine.connect() as connection:
        before = connection.execute(select(tables.connection.c.connection_id)).scalar_one()
    moved = Placement(runtime_id="r", name="n", host="10.1.0.8", port=5901)
    apply(engine, guacamole, history.record(builders.started(request, moved)))
    with engine.connect() as connection:
        assert connection.execute(select(tables.connection.c.connection_id)).scalar_one() == before
    assert parameters(engine, request.container_id)["hostname"] == "10.1.0.8"


def test_tokens_in_values_stand_for_themselves(engine: Engine, guacamole: Guacamole) -> None:
    request = requested()
    placed = Placement(runtime_id="r", name="n", host="${GUAC_PASSWORD}.example.org", port=1)
    apply(engine, guacamole, History().record(request, builders.started(request, placed)))
    assert parameters(engine, request.container_id)["hostname"] == "$${GUAC_PASSWORD}.example.org"


def test_rows_of_others_are_not_touched(engine: Engine, guacamole: Guacamole) -> None:
    request = requested()
    with engine.begin() as connection:
        connection.execute(insert(tables.entity).values(name="guacadmin", type="USER"))
        # an administrator's own connection of the very name that ours will have
        connection.execute(
            insert(tables.connection).values(connection_name=container_name(request.container_id), protocol="ssh")
        )
    before = count(engine)
    history = History()
    apply(engine, guacamole, history.record(request, builders.started(request, PLACE)))
    apply(engine, guacamole, history.record(builders.stopped(request)))
    assert count(engine) == before


def test_a_projection_applied_twice_is_applied_once(engine: Engine, guacamole: Guacamole) -> None:
    request = requested()
    events = History().record(request, builders.starting(request), builders.started(request, PLACE))
    apply(engine, guacamole, events)
    with engine.connect() as connection:
        before = rows(connection)
    apply(engine, guacamole, events)
    with engine.connect() as connection:
        assert rows(connection) == before


def test_an_unknown_master_key_stops_the_projection(engine: Engine, guacamole: Guacamole) -> None:
    request = requested(key_number=7)
    with pytest.raises(KeyError):
        apply(engine, guacamole, History().record(request, builders.started(request, PLACE)))
    assert count(engine) == {}


def test_a_rebuild_in_place_keeps_what_is_right_and_mends_the_rest(engine: Engine, guacamole: Guacamole) -> None:
    history, runs, gone, missing = History(), requested(), requested(), requested()
    for request in (runs, gone, missing):
        apply(engine, guacamole, history.record(request, builders.started(request, PLACE)))
    apply(engine, guacamole, history.record(builders.stopped(gone)))
    with engine.begin() as connection:
        live, kept = rows(connection), connection.execute(_id_of(runs)).scalar_one()
        # what a mistaken administrator could do
        connection.execute(delete(tables.connection).where(tables.connection.c.connection_id == kept + 10_000))
        connection.execute(
            insert(tables.known).values(container_id=str(uuid4()), protocol="vnc", key_number=1, target="")
        )
    with engine.begin() as connection:
        guacamole.reconcile(connection, history.events)
    with engine.connect() as connection:
        assert rows(connection) == live
        assert connection.execute(_id_of(runs)).scalar_one() == kept


def _id_of(request: ContainerRequested) -> Select[tuple[int]]:
    name = container_name(request.container_id)
    return select(tables.connection.c.connection_id).where(tables.connection.c.connection_name == name)


def test_a_database_without_guacamole_is_refused(engine: Engine) -> None:
    with pytest.raises(Invalid, match="no Guacamole tables"), engine.begin() as connection:
        Guacamole(KEYS, {}).prepare(connection)


def test_a_schema_before_1_0_is_refused(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE guacamole_user (user_id int PRIMARY KEY, username varchar(128))"))
    with pytest.raises(Invalid, match=r"older than 1\.0\.0"), engine.begin() as connection:
        Guacamole(KEYS, {}).prepare(connection)


def test_the_printed_statements_make_our_tables(engine: Engine, guacamole: Guacamole) -> None:
    with engine.begin() as connection:
        tables.ours.drop_all(connection)
        for statement in guacamole.ddl(engine.dialect).split(";\n"):
            if statement.strip():
                connection.execute(text(statement))
        guacamole.prepare(connection)
        assert {"calipso_connection", "calipso_position"} <= set(inspect(connection).get_table_names())
        assert guacamole.lock_position(connection) == 0


def test_foreign_keys_hold_and_history_outlives_the_connection(engine: Engine, guacamole: Guacamole) -> None:
    request = requested()
    history = History()
    apply(engine, guacamole, history.record(request, builders.started(request, PLACE)))
    with engine.begin() as connection:
        connection_id = connection.execute(_id_of(request)).scalar_one()
        connection.execute(
            insert(tables.connection_history).values(
                username="x", connection_id=connection_id, connection_name="n", start_date=datetime.now(UTC)
            )
        )
    apply(engine, guacamole, history.record(builders.stopped(request)))
    with engine.connect() as connection:
        kept = connection.execute(select(tables.connection_history)).one()
    assert (kept.connection_id, kept.connection_name) == (None, "n")


_IDS = [builders.uuid_of(f"container {number}") for number in range(3)]
_KINDS = ("requested", "started", "stopped", "removed", "failed", "lost", "starting")


def _event(kind: str, container_id: UUID, runtime: Runtime = Runtime.DOCKER) -> Event:
    image = builders.image_spec(protocol=Protocol.VNC, runtime=runtime)
    request = builders.container_requested(container_id, image=image)
    if kind == "requested":
        return request
    if kind == "started":
        return builders.started(request, PLACE)
    made: Event = getattr(builders, kind)(request)
    return made


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(st.tuples(st.sampled_from(_KINDS), st.sampled_from(_IDS)), min_size=1, max_size=12),
    cuts=st.sets(st.integers(1, 11)),
)
def test_any_batches_give_the_rows_of_single_events(
    engine: Engine, guacamole: Guacamole, steps: list[tuple[str, UUID]], cuts: set[int]
) -> None:
    events = History().record(*(_event(kind, container_id) for kind, container_id in steps))
    found = []
    for bounds in (sorted({0, *cuts, len(events)}), range(len(events) + 1)):
        with engine.connect() as connection, connection.begin() as transaction:
            edges = [bound for bound in bounds if bound <= len(events)]
            for first, last in itertools.pairwise(edges):
                guacamole.apply(connection, events[first:last])
            found.append(rows(connection))
            transaction.rollback()
    assert found[0] == found[1]
