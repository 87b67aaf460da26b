"""Everything that an installation keeps anywhere, as bytes in which a text can be looked for."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass

import nats
import psycopg
from psycopg.sql import SQL, Identifier
from tests.acceptance.system import System


@dataclass(frozen=True, kw_only=True)
class Kept:
    """One thing that is kept: a row, a message, a log file."""

    where: str
    content: bytes


def everything(made: System) -> Iterator[Kept]:
    """Every row of every table of every database, every message of every stream, and every log."""
    addresses = made.addresses()
    for name in ("database_url", "guacamole_database_url"):
        yield from rows(addresses[name])
    yield from asyncio.run(messages(addresses["nats_url"]))
    for log in (made.log, *made.data.glob("*.log*")):
        yield Kept(where=log.name, content=log.read_bytes())
    for file in (made.data / "backups").glob("*"):
        yield Kept(where=file.name, content=file.read_bytes())


def rows(url: str) -> Iterator[Kept]:
    """Every row of every table, in PostgreSQL's binary form, in which texts and bytes stand as they are."""
    with psycopg.connect(url) as connection:
        tables = connection.execute(
            "SELECT table_schema, table_name FROM information_schema.tables WHERE table_type = 'BASE TABLE' "
            "AND table_schema NOT IN ('pg_catalog', 'information_schema')"
        ).fetchall()
        for schema, table in tables:
            query = SQL("COPY {}.{} TO STDOUT (FORMAT binary)").format(Identifier(schema), Identifier(table))
            with connection.cursor().copy(query) as copy:
                for row in copy:
                    yield Kept(where=f"{schema}.{table}", content=bytes(row))


async def messages(url: str) -> list[Kept]:
    """Every message of the streams, with its subject and headers."""
    client = await nats.connect(url)
    jetstream, found = client.jetstream(), []
    try:
        for stream in await jetstream.streams_info():
            name, state = str(stream.config.name), stream.state
            for sequence in range(max(state.first_seq, 1), state.last_seq + 1):
                message = await jetstream.get_msg(name, seq=sequence)
                content = f"{message.subject}\n{message.headers}\n".encode() + (message.data or b"")
                found.append(Kept(where=name, content=content))
    finally:
        await client.close()
    return found


def places_of(made: System, *words: str) -> set[tuple[str, str]]:
    """Where these words stand, in whatever case, each place with the word."""
    lowered = [word.casefold().encode() for word in words]
    return {
        (kept.where, word.decode()) for kept in everything(made) for word in lowered if word in kept.content.lower()
    }
