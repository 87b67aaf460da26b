"""Locks that last as long as a connection: who loses it is told in our own words."""

import psycopg
import pytest

from calipso.database import Database
from calipso.errors import Unavailable

_HOLDERS = """
SELECT pg_terminate_backend(l.pid) FROM pg_locks l JOIN pg_database d ON d.oid = l.database
WHERE l.locktype = 'advisory' AND d.datname = current_database()
"""


async def test_the_loss_of_a_lock_is_told(database_url: str) -> None:
    database = Database(database_url)
    async with database.holding("a lock") as check:
        await check()
        assert database.is_held("a lock")
        with psycopg.connect(database_url) as connection:
            connection.execute(_HOLDERS)
        with pytest.raises(Unavailable):
            await check()
    assert not database.is_held("a lock")
    database.close()


async def test_a_lock_of_a_database_that_is_away_is_unavailable() -> None:
    with pytest.raises(Unavailable):
        async with Database("postgresql://127.0.0.1:1/away").holding("a lock"):
            pass


async def test_addresses_say_for_themselves_when_a_loss_is_noticed() -> None:
    assert "keepalives_idle=60" in Database("postgresql://host/name?keepalives_idle=60").url
    assert "keepalives_idle=5" in Database("postgresql://host/name").url
