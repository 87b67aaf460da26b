"""Holds a lock of a database until it is killed; arguments are the database's URL and the name of the lock."""

import asyncio
import sys

from calipso.database import Database


async def main(url: str, lock: str) -> None:
    """Hold the lock, and say so."""
    async with Database(url).holding(lock):
        sys.stdout.write("held\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
