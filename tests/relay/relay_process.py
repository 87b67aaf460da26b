"""A relay as a process of its own, for tests that kill it: arguments are database URL, NATS URL and facility."""

import asyncio
import sys

from calipso.bus import connected
from calipso.codec import Codec
from calipso.database import Database
from calipso.parts import Parts
from calipso.relay import Relay
from calipso.store import PostgresStore
from calipso.vault import MemorySubjectKeys


async def main(database_url: str, nats_url: str, facility: str) -> None:
    database = Database(database_url)
    store = PostgresStore(database, Codec(MemorySubjectKeys()))
    async with connected(nats_url, facility, name="test relay") as bus:
        await Relay(database, store, bus, Parts(database)).run()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
