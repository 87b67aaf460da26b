"""The past is replayed into a database of its own."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import psycopg
from tests.rebuilding.conftest import Office


def count(url: str, table: str) -> int:
    with psycopg.connect(url) as connection:
        (number,) = connection.execute(f"SELECT count(*) FROM {table}".encode()).fetchone() or (0,)  # noqa: S608 - a test
    return int(number)


def test_up_to_a_time(office: Office, make_database: Callable[[], str]) -> None:
    then = datetime.now(UTC).isoformat()
    office.add_visit("eve")
    office.project()
    into = make_database()
    told = office.run("rebuild", "--all", "--until", then, "--into", into)
    assert (told.status, told.err) == (0, "")
    assert (count(into, "rm_users.users"), count(into, "rm_containers.containers")) == (2, 2)
    assert "guacamole" not in told.out


def test_up_to_a_position_and_then_further(office: Office, make_database: Callable[[], str]) -> None:
    into = make_database()
    assert office.run("rebuild", "users", "--until", "5", "--into", into).status == 0
    assert count(into, "rm_users.users") == 1
    told = office.run("rebuild", "users", "--into", into)
    assert told.status == 0
    assert count(into, "rm_users.users") == 2
    same = office.run("rebuild", "users", "--check").out.rpartition(": users ")[2]
    assert same in told.out
    back = office.run("rebuild", "users", "--until", "5", "--into", into)
    assert back.status == 1
    assert "beyond 5" in back.out


def test_what_is_no_moment_or_no_database_is_refused(office: Office, make_database: Callable[[], str]) -> None:
    into = make_database()

    def error(until: str, url: str = into) -> str:
        told = office.run("rebuild", "users", "--until", until, "--into", url)
        assert told.status == 1
        return told.err + told.out

    assert "has no time zone" in error("2026-01-01T00:00:00")
    assert "lies in the future" in error((datetime.now(UTC) + timedelta(days=1)).isoformat())
    assert "the last event is at position" in error("999999")
    assert "is not a time such as" in error("yesterday")
    assert "has events of its own" in error("5", office.program.environment["CALIPSO_DATABASE_URL"])
    assert "no read model" in office.run("rebuild", "guacamole", "--into", into).err
    assert "with --into" in office.run("rebuild", "users", "--check", "--into", into).err
    assert "database URL: missing" in office.run("rebuild", "users", "--into", "nonsense").out
    away = office.run("rebuild", "users", "--into", "postgresql://nobody@127.0.0.1:1/none")
    assert away.status == 1
    assert "does not answer" in away.out
