"""Guacamole's rows follow what runs, on every kind of database; nothing of anybody else's is touched."""

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Engine, Row, Table, delete, insert, select
from tests import builders
from tests.builders import History
from tests.guacamole.conftest import KEYS
from tests.guacamole.events import ELSEWHERE, PLACE, requested
from tests.guacamole.rows import apply, connection_id, count, parameters, snapshot

from calipso import credentials
from calipso.errors import Conflict, Invalid
from calipso.events.container import ContainerRequested
from calipso.events.naming import container_name
from calipso.events.values import Placement, Protocol, Runtime
from calipso.projections.guacamole import Guacamole, tables


def account_of(engine: Engine, container_id: UUID) -> Row[Any]:
    name = credentials.guacamole_username(container_id)
    query = select(tables.user, tables.entity.c.name).join(tables.entity).where(tables.entity.c.name == name)
    with engine.connect() as connection:
        return connection.execute(query).one()


def run(engine: Engine, guacamole: Guacamole, request: ContainerRequested) -> History:
    history = History()
    apply(engine, guacamole, history.record(request, builders.starting(request), builders.started(request, PLACE)))
    return history


def test_a_running_desktop_has_an_account_and_a_connection(engine: Engine, guacamole: Guacamole) -> None:
    request, history = requested(), History()
    apply(engine, guacamole, history.record(request, builders.starting(request)))
    assert count(engine) == {"calipso_connection": 1}
    apply(engine, guacamole, history.record(builders.started(request, PLACE)))
    with engine.connect() as connection:
        entity = connection.execute(select(tables.entity)).one()
        shown = connection.execute(select(tables.connection)).one()
        attribute = connection.execute(select(tables.connection_attribute)).one()
        permission = connection.execute(select(tables.connection_permission)).one()
        own = connection.execute(select(tables.user_permission)).one()
    assert (entity.name, entity.type) == (credentials.guacamole_username(request.container_id), "USER")
    assert (shown.connection_name, shown.protocol) == (container_name(request.container_id), "vnc")
    assert (shown.parent_id, shown.max_connections, shown.max_connections_per_user) == (None, None, None)
    assert tuple(attribute) == (shown.connection_id, "calipso-container", str(request.container_id))
    assert tuple(permission) == (entity.entity_id, shown.connection_id, "READ")
    user_id = account_of(engine, request.container_id).user_id
    assert tuple(own) == (entity.entity_id, user_id, "READ")


def test_what_the_image_says_of_the_connection(engine: Engine, guacamole: Guacamole) -> None:
    wanted = {"username": "pi", "enable-sftp": "true", "command": "echo ${GUAC_PASSWORD}"}
    request = requested(Protocol.SSH)
    request = replace(request, image=replace(request.image, parameters=wanted))
    run(engine, guacamole, request)
    found = parameters(engine, request.container_id)
    assert found == {
        "hostname": PLACE.host,
        "port": str(PLACE.port),
        "password": credentials.vnc_password(KEYS, request.key_number, request.container_id),
        **wanted,
        "command": "echo $${GUAC_PASSWORD}",
    }


def test_the_account_has_the_password_that_the_owner_is_told(engine: Engine, guacamole: Guacamole) -> None:
    request = requested()
    run(engine, guacamole, request)
    account = account_of(engine, request.container_id)
    password = credentials.guacamole_password(KEYS, 1, request.container_id)
    salt = bytes(account.password_salt)
    assert len(salt) == 32
    assert account.password_hash == hashlib.sha256((password + salt.hex().upper()).encode()).digest()
    assert account.password_hash != hashlib.sha256(password.encode() + salt).digest()
    assert account.password_hash != hashlib.sha256((password + salt.hex()).encode()).digest()
    assert (account.disabled, account.expired) == (False, False)


@pytest.mark.parametrize(
    ("password", "salt", "stored"),
    [
        (
            "guacadmin",
            "FE24ADC5E11E2B25288D1704ABE67A79E342ECC26064CE69C5B3177795A82264",
            "CA458A7D494E3BE824F5E1E175A1556C0F8EEF2C2D7DF3633BEC4A29C4411960",
        ),
        (
            "pässwörd-7",
            "000102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1D1E1F",
            "449BE747576627718F72BEBB6A2030B38956384F34703C17043980FE9BB48359",
        ),
    ],
)
def test_the_hash_is_the_one_that_guacamole_makes(password: str, salt: str, stored: str) -> None:
    assert credentials.guacamole_hash(password, bytes.fromhex(salt)).hex().upper() == stored


@pytest.mark.parametrize("last", [b"\0", b" "])
def test_a_salt_is_stored_to_its_last_byte(engine: Engine, guacamole: Guacamole, last: bytes) -> None:
    ids = iter(builders.uuid_of(f"container {number}") for number in range(100_000))
    container_id = next(found for found in ids if credentials.guacamole_salt(KEYS, 1, found).endswith(last))
    run(engine, guacamole, requested(container_id=container_id))
    assert account_of(engine, container_id).password_salt == credentials.guacamole_salt(KEYS, 1, container_id)


def test_the_password_dates_from_the_start_in_utc(engine: Engine, guacamole: Guacamole) -> None:
    request, history = requested(), History()
    events = history.record(request, builders.started(request, PLACE))
    elsewhere = events[1].time.astimezone(timezone(timedelta(hours=9)))
    apply(engine, guacamole, [events[0], replace(events[1], time=elsewhere)])
    stored: datetime = account_of(engine, request.container_id).password_date
    assert (stored.astimezone(UTC) if stored.tzinfo else stored.replace(tzinfo=UTC)) == events[1].time


@pytest.mark.parametrize("end", ["stopped", "removed", "failed", "lost"])
def test_an_end_takes_all_rows_away(engine: Engine, guacamole: Guacamole, end: str) -> None:
    request = requested()
    history = run(engine, guacamole, request)
    apply(engine, guacamole, history.record(getattr(builders, end)(request)))
    assert count(engine) == {}


@pytest.mark.parametrize("asked", ["stop_requested", "removal_requested", "adopted"])
def test_what_is_only_asked_for_changes_nothing(engine: Engine, guacamole: Guacamole, asked: str) -> None:
    request = requested()
    history = run(engine, guacamole, request)
    before = snapshot(engine)
    apply(engine, guacamole, history.record(getattr(builders, asked)(request)))
    assert snapshot(engine) == before


@pytest.mark.parametrize(
    ("protocol", "more"),
    [
        (Protocol.VNC, {}),
        (
            Protocol.RDP,
            {"username": "user", "ignore-cert": "true", "security": "any", "resize-method": "display-update"},
        ),
        (Protocol.SSH, {"username": "user"}),
    ],
)
def test_each_protocol_has_the_parameters_that_guacd_knows(
    engine: Engine, guacamole: Guacamole, protocol: Protocol, more: Mapping[str, str]
) -> None:
    request = requested(protocol, key_number=2)
    run(engine, guacamole, request)
    password = credentials.vnc_password(KEYS, 2, request.container_id)
    place = {"hostname": "10.1.0.7", "port": "32768", "password": password}
    assert parameters(engine, request.container_id) == {**place, **more}


@pytest.mark.parametrize(
    ("protocol", "runtime"),
    [
        (Protocol.HTTP, Runtime.DOCKER),
        (Protocol.NONE, Runtime.STATIC_LINK),
        (Protocol.VNC, Runtime.STATIC_LINK),
    ],
)
def test_what_guacamole_cannot_show_has_no_rows(
    engine: Engine, guacamole: Guacamole, protocol: Protocol, runtime: Runtime
) -> None:
    run(engine, guacamole, requested(protocol, runtime))
    assert count(engine) == {}


@pytest.mark.parametrize(
    ("target", "guacd"), [("far", ("guacd.example.org", 4823)), ("near", (None, None)), ("unknown", (None, None))]
)
def test_a_target_with_a_guacd_of_its_own_names_it(
    engine: Engine, guacamole: Guacamole, target: str, guacd: tuple[str | None, int | None]
) -> None:
    run(engine, guacamole, requested(target=target))
    with engine.connect() as connection:
        row = connection.execute(select(tables.connection)).one()
    assert (row.proxy_hostname, row.proxy_port) == guacd
    assert row.proxy_encryption_method is None


def test_a_changed_placement_keeps_the_connection(engine: Engine, guacamole: Guacamole) -> None:
    request = requested()
    history = run(engine, guacamole, request)
    before = connection_id(engine, request.container_id)
    apply(engine, guacamole, history.record(builders.started(request, ELSEWHERE)))
    assert connection_id(engine, request.container_id) == before
    found = parameters(engine, request.container_id)
    assert (found["hostname"], found["port"]) == ("10.1.0.8", "5901")


def test_tokens_in_values_stand_for_themselves(engine: Engine, guacamole: Guacamole) -> None:
    request = requested()
    placed = Placement(runtime_id="r", name="n", host="${GUAC_PASSWORD}.example.org", port=1)
    apply(engine, guacamole, History().record(request, builders.started(request, placed)))
    assert parameters(engine, request.container_id)["hostname"] == "$${GUAC_PASSWORD}.example.org"


def test_what_is_not_known_is_left_out(engine: Engine, guacamole: Guacamole) -> None:
    request = requested()
    placed = Placement(runtime_id="r", name="n")
    apply(engine, guacamole, History().record(request, builders.started(request, placed)))
    assert parameters(engine, request.container_id).keys() == {"password"}


def test_rows_of_others_are_not_touched(engine: Engine, guacamole: Guacamole) -> None:
    request = requested()
    with engine.begin() as connection:
        name = {"name": "guacadmin", "type": "USER"}
        admin = connection.execute(insert(tables.entity).values(name)).inserted_primary_key
        # an administrator's own connection of the very name that ours will have, and a group of our account's
        same = {"connection_name": container_name(request.container_id), "protocol": "ssh"}
        connection.execute(insert(tables.connection).values(same))
        group = {"name": credentials.guacamole_username(request.container_id), "type": "USER_GROUP"}
        connection.execute(insert(tables.entity).values(group))
    before = snapshot(engine)
    history = run(engine, guacamole, request)
    with engine.begin() as connection:
        ours = connection.execute(select(tables.kept.c.connection_id)).scalar_one()
        seen = {"entity_id": admin[0], "connection_id": ours, "permission": "READ"} if admin else {}
        connection.execute(insert(tables.connection_permission).values(seen))
    apply(engine, guacamole, history.record(builders.started(request, ELSEWHERE)))
    assert count(engine)["guacamole_connection_permission"] == 2
    apply(engine, guacamole, history.record(builders.stopped(request)))
    assert snapshot(engine) == before


def test_an_account_of_another_with_our_name_stops_the_projection(engine: Engine, guacamole: Guacamole) -> None:
    request = requested()
    name = credentials.guacamole_username(request.container_id)
    with engine.begin() as connection:
        connection.execute(insert(tables.entity).values(name=name, type="USER"))
    before = snapshot(engine)
    with pytest.raises(Conflict, match=name):
        run(engine, guacamole, request)
    assert snapshot(engine) == before


def test_a_projection_applied_twice_is_applied_once(engine: Engine, guacamole: Guacamole) -> None:
    request = requested()
    history = run(engine, guacamole, request)
    before = snapshot(engine)
    apply(engine, guacamole, history.events)
    assert snapshot(engine) == before


def test_an_unknown_master_key_stops_the_projection(engine: Engine, guacamole: Guacamole) -> None:
    with pytest.raises(Invalid, match="key 7 is missing"):
        run(engine, guacamole, requested(key_number=7))
    assert count(engine) == {}


@pytest.mark.parametrize("gone", [tables.connection, tables.entity])
def test_what_somebody_removed_does_not_stop_the_projection(engine: Engine, guacamole: Guacamole, gone: Table) -> None:
    request = requested()
    history = run(engine, guacamole, request)
    complete = count(engine)
    with engine.begin() as connection:
        connection.execute(delete(gone))
    apply(engine, guacamole, history.record(builders.started(request, ELSEWHERE)))
    assert count(engine) == complete
    with engine.begin() as connection:
        connection.execute(delete(gone))
    apply(engine, guacamole, history.record(builders.stopped(request)))
    assert count(engine) == {}


def test_an_operator_is_told_all_but_passwords(engine: Engine, guacamole: Guacamole) -> None:
    request = requested()
    history = run(engine, guacamole, request)
    with engine.begin() as connection:
        assert guacamole.rows_of(connection, uuid4()) is None
        told = guacamole.rows_of(connection, request.container_id)
        assert told is not None
        assert told.connection_id == connection_id(engine, request.container_id)
        assert told.account == credentials.guacamole_username(request.container_id)
        assert told.parameters == {"hostname": "10.1.0.7", "port": "32768", "password": "(hidden)"}
        connection.execute(delete(tables.entity))
        without = guacamole.rows_of(connection, request.container_id)
        assert without is not None
        assert without.account == ""
    apply(engine, guacamole, history.record(builders.stopped(request)))
    with engine.connect() as connection:
        assert guacamole.rows_of(connection, request.container_id) is None
