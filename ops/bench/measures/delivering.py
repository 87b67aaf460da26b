"""The time from an event's own time, given just before its commit, until a durable consumer has it; one at a time."""

import asyncio
import contextlib
import statistics
import time
from collections.abc import Callable
from uuid import uuid4

from measures.facility import Facility, facility
from measures.results import Result, peak_memory
from nats.js import JetStreamContext

from calipso.bus import STREAM, Bus, connected
from calipso.codec import Codec
from calipso.commands.dispatch import cause_of
from calipso.events.user import Role, RoleGranted
from calipso.parts import PARTS_DDL, Parts
from calipso.relay import Relay
from calipso.store import PostgresStore
from calipso.vault import NoSubjectKeys

_EVENTS, _WARM, _LIMIT = 300, 20, 0.005


def measure(make_database: Callable[[], str], nats_url: str) -> Result:
    """Measure `delivered`: its median in seconds, beside the limit of 5 ms."""
    return asyncio.run(_measure(make_database, nats_url))


async def _measure(make_database: Callable[[], str], nats_url: str) -> Result:
    with facility(make_database()) as made:
        with made.database.connect() as connection:
            connection.execute(PARTS_DDL.encode())
        async with connected(nats_url, "bench", name="bench") as bus:
            await bus.ensure_streams()
            await bus.jetstream.delete_stream(STREAM)
            await bus.ensure_streams()
            relay = Relay(
                made.database, PostgresStore(made.database, Codec(NoSubjectKeys())), bus, Parts(made.database)
            )
            running = asyncio.create_task(relay.run())
            cpu = time.process_time()
            seconds = await _deliver(made, bus)
            cpu = time.process_time() - cpu
            running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await running
    return Result(
        name="delivered",
        measured=statistics.median(seconds),
        limit=_LIMIT,
        unit="s",
        spread=(min(seconds), max(seconds)),
        cpu_ms=cpu / len(seconds) * 1000,
        rss_mb=peak_memory(),
        wanted="<= 1",
    )


async def _deliver(made: Facility, bus: Bus) -> list[float]:
    """The seconds of each event, the first ones left out."""
    consumer = await bus.jetstream.pull_subscribe("calipso.v1.bench.>", durable="bench", stream=STREAM)
    (first,) = await consumer.fetch(1, timeout=30)  # the image of the facility: the relay leads
    await first.ack()
    seconds = []
    for _ in range(_WARM + _EVENTS):
        event = RoleGranted(user_id=uuid4(), role=Role.AUDITOR)
        arriving = asyncio.create_task(_arrival(consumer))
        stored = await asyncio.to_thread(made.store.append, [event], expected={}, cause=cause_of("service:bench"))
        seconds.append(await arriving - stored[0].time.timestamp())
    return seconds[_WARM:]


async def _arrival(consumer: JetStreamContext.PullSubscription) -> float:
    """When the next message came."""
    (message,) = await consumer.fetch(1, timeout=30)
    arrived = time.time()
    await message.ack()
    return arrived
