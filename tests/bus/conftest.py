"""A provisioner's service on a store and a world in memory, behind a real NATS server."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import nats
import pytest
from tests.conftest import PATIENCE, nats_server
from tests.provisioning.conftest import House

from calipso.bus import Bus, connected
from calipso.bus.dead_letters import DeadLetters
from calipso.relay import to_message
from calipso.runtimes.service import Service

FACILITY = "fac"


@pytest.fixture
def nats_url(tmp_path: Path, free_port: int) -> Iterator[str]:
    with nats_server(free_port, tmp_path / "nats"):
        yield f"nats://127.0.0.1:{free_port}"


@pytest.fixture
def house() -> Iterator[House]:
    made = House()
    yield made
    made.world.close()


@dataclass(frozen=True, kw_only=True)
class Line:
    """The way of events to a provisioner."""

    url: str
    house: House
    bus: Bus
    dead: DeadLetters

    async def relay(self) -> None:
        """Publish what was stored and not published yet."""
        await self.bus.ensure_streams()
        tail = await self.bus.tail()
        page = self.house.store.read(after=tail.position or 0, limit=1000)
        await self.bus.publish([to_message(r, FACILITY) for r in page.events], after=tail.sequence)

    async def throw_in(self, event: str, payload: bytes) -> None:
        """Publish a message that is none of ours where provisioners look for theirs."""
        client = await nats.connect(self.url)
        await client.jetstream().publish(f"calipso.v1.{FACILITY}.container.{event}.here", payload)
        await client.close()

    @asynccontextmanager
    async def served(
        self, *, leading: AbstractAsyncContextManager[None] | None = None, period: float = 60
    ) -> AsyncIterator[None]:
        """Let a service run, by default one that does not lead, so that only messages move it."""
        provisioner = self.house.provisioner()
        service = Service(
            provisioner=provisioner,
            reconciler=self.house.reconciler(provisioner),
            bus=self.bus,
            period=period,
            still_holding=_always,
            provisioners=lambda: 1,
            told=lambda ok, detail: self.house.told.append((ok, detail)),
        )
        async with asyncio.TaskGroup() as group:  # a service that fails ends the test at once
            task = group.create_task(service.run(leading or _elsewhere()))
            try:
                yield
            finally:
                task.cancel()


async def _always() -> None:
    return


@asynccontextmanager
async def _elsewhere() -> AsyncIterator[None]:
    await asyncio.Event().wait()
    yield


@pytest.fixture
async def line(nats_url: str, house: House, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Line]:
    monkeypatch.setattr("calipso.runtimes.service._BACK_OFF", (0.02,) * 6)
    async with connected(nats_url, FACILITY, name="test") as bus:
        await bus.ensure_streams()
        yield Line(url=nats_url, house=house, bus=bus, dead=DeadLetters(bus))


async def until(condition: Callable[[], bool]) -> None:
    """Wait for the service without hindering it."""
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 - what is awaited is not this loop's
            await asyncio.sleep(0.02)
