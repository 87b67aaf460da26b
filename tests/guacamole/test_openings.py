"""Guacamole's own history of what was opened, read on every kind of database."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

from sqlalchemy import Engine, insert

from calipso.credentials import guacamole_username
from calipso.events.naming import container_name
from calipso.projections.guacamole.openings import Opening, openings_of
from calipso.projections.guacamole.tables import connection_history

BEGIN = datetime(2026, 11, 20, 14, tzinfo=UTC)
HOUR = timedelta(hours=1)


def test_openings_of_containers_that_are_gone_are_told(engine: Engine) -> None:
    mine, other = uuid4(), uuid4()
    with engine.begin() as connection:
        for container_id, begin, end in (
            (mine, BEGIN + HOUR, None),
            (mine, BEGIN, BEGIN + HOUR / 2),
            (other, BEGIN, None),
        ):
            account = guacamole_username(container_id) if end else "guacadmin"
            row = {"username": account, "connection_name": container_name(container_id), "remote_host": "10.0.0.7"}
            # as Guacamole writes on a database without zones
            times = {"start_date": begin, "end_date": end}
            if engine.dialect.name == "mysql":
                times = {name: time and time.replace(tzinfo=None) for name, time in times.items()}
            connection.execute(insert(connection_history).values(**row, **times))
        found = openings_of(connection, [mine, uuid4()])
    closed = Opening(begin=BEGIN, end=BEGIN + HOUR / 2, address="10.0.0.7")
    still_open = Opening(begin=BEGIN + HOUR, end=None, address="10.0.0.7", account="guacadmin")
    assert found == {mine: [closed, still_open]}


def test_an_opening_covers_the_time_between() -> None:
    opening = Opening(begin=BEGIN, end=BEGIN + HOUR, address="")
    moments = (BEGIN - HOUR, BEGIN, BEGIN + HOUR / 2, BEGIN + HOUR, BEGIN + 2 * HOUR)
    assert [opening.covers(moment) for moment in moments] == [False, True, True, True, False]
    assert Opening(begin=BEGIN, end=None, address="").covers(BEGIN + 9 * HOUR)
