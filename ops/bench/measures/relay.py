"""Events published a second by the relay, beside the same messages published in windows without it."""

import asyncio
import contextlib
import gc
import time
from collections.abc import Awaitable, Callable, Sequence

from measures.facility import Facility, facility, register
from measures.results import Result, rate
from measures.slices import Slice

from calipso.bus import STREAM, Bus, Message, connected
from calipso.codec import Codec
from calipso.parts import PARTS_DDL, Parts
from calipso.relay import Relay, to_message
from calipso.store import PostgresStore
from calipso.vault import NoSubjectKeys

_EVENTS, _ROUNDS, _WINDOW = 5000, 5, 100
_LOOK_SECONDS = 0.002


def measure(make_database: Callable[[], str], nats_url: str) -> Result:
    """Measure `relay`."""
    return asyncio.run(_measure(make_database, nats_url))


async def _measure(make_database: Callable[[], str], nats_url: str) -> Result:
    ours: list[Slice] = []
    limit: list[Slice] = []
    with facility(make_database()) as made:
        with made.database.connect() as connection:
            connection.execute(PARTS_DDL.encode())
        register(made, _EVENTS)
        events = made.store.read(after=0, limit=2 * _EVENTS).events
        messages = [to_message(recorded, "bench") for recorded in events]
        gc.freeze()  # a relay does not keep all events, through which each collection of garbage would go
        async with connected(nats_url, "bench", name="bench") as bus:
            for _ in range(_ROUNDS + 1):
                await _empty(made, bus)
                limit.append(await _slice(len(messages), _publish(bus, messages)))
                await _empty(made, bus)
                ours.append(await _slice(len(messages), _relay(made, bus, len(messages))))
    return rate("relay", ours[1:], limit[1:], wanted=0.5)


async def _slice(count: int, work: Awaitable[None]) -> Slice:
    cpu, begun = time.process_time(), time.perf_counter()
    await work
    taken = time.perf_counter() - begun
    return Slice(count / taken, time.process_time() - cpu, [taken / count] * count)


async def _empty(made: Facility, bus: Bus) -> None:
    """A stream without messages, and a relay that remembers none."""
    await bus.ensure_streams()
    await bus.jetstream.delete_stream(STREAM)
    await bus.ensure_streams()
    with made.database.connect() as connection:
        connection.execute("DELETE FROM parts")


async def _publish(bus: Bus, messages: Sequence[Message]) -> None:
    for first in range(0, len(messages), _WINDOW):
        await bus.publish(messages[first : first + _WINDOW], after=first)


async def _relay(made: Facility, bus: Bus, count: int) -> None:
    running = asyncio.create_task(
        Relay(made.database, PostgresStore(made.database, Codec(NoSubjectKeys())), bus, Parts(made.database)).run()
    )
    while (await bus.jetstream.stream_info(STREAM)).state.messages < count:  # noqa: ASYNC110 - NATS tells nobody
        await asyncio.sleep(_LOOK_SECONDS)
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running
