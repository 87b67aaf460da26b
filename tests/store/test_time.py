"""A clock of the database server that leaps back turns neither order nor time of events around."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from calipso.codec import Codec
from calipso.commands.dispatch import cause_of
from calipso.database import Database
from calipso.events.user import Role, RoleGranted
from calipso.store import PostgresStore
from calipso.vault import MemorySubjectKeys


def test_time_stands_still_after_a_leap_back_until_the_clock_has_caught_up(make_database: Callable[[], str]) -> None:
    database = Database(make_database())
    store = PostgresStore(database, Codec(MemorySubjectKeys()))
    store.migrate()

    def write() -> datetime:
        event = RoleGranted(user_id=uuid4(), role=Role.AUDITOR)
        return store.append([event], expected={}, cause=cause_of("service:test"))[0].time

    write()
    # as if the clock had been an hour ahead until now
    with database.connect() as connection:
        connection.execute("UPDATE stored_events SET recorded_at = recorded_at + interval '1 hour'")
    ahead = store.read(after=0, limit=10).events[-1].time
    assert ahead > datetime.now(UTC) + timedelta(minutes=59)
    assert [write(), write()] == [ahead, ahead]
    events = store.read(after=0, limit=10).events
    assert store.position_at(ahead) == events[-1].position
    assert store.position_at(ahead - timedelta(microseconds=1)) == 0
    # as if that hour had gone by
    with database.connect() as connection:
        connection.execute("UPDATE stored_events SET recorded_at = recorded_at - interval '1 hour'")
    last = store.read(after=0, limit=10).events[-1].time
    assert last < write() <= datetime.now(UTC) + timedelta(seconds=1)
    database.close()
