"""Holds a lock of a database until it is killed; arguments are the database's URL, the name of the lock, and how."""

import asyncio
import sys

from sqlalchemy import func, select

from calipso.database import Database, lock_number
from calipso.engines import engine_of


async def main(url: str, lock: str, how: str) -> None:
    """Hold the lock, and say so: as a process `leads`, or as a projection holds its position in a `transaction`."""
    database = Database(url)
    if how == "leads":
        async with database.holding(lock):
            await _say_held()
    else:
        with engine_of(database).begin() as connection:
            connection.execute(select(func.pg_advisory_xact_lock(lock_number(lock))))
            await _say_held()


async def _say_held() -> None:
    sys.stdout.write("held\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
