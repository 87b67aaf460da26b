"""The process that serves one target: its consumer on the bus, its reconciler, and its ear on the target."""

import asyncio
import contextlib
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from uuid import UUID

import msgspec
import structlog

from calipso.bus import PREFIX, Bus, Delivery
from calipso.errors import CalipsoError, Unavailable
from calipso.events.container import ContainerRemovalRequested, ContainerRequested, ContainerStopRequested
from calipso.parts import HEARTBEAT_SECONDS
from calipso.runtimes.provisioner import Provisioner, Trigger
from calipso.runtimes.reconciler import Reconciler

_log = structlog.get_logger()

_WORK = (ContainerRequested, ContainerStopRequested, ContainerRemovalRequested)
_WORKING_SECONDS = 10.0
_BACK_OFF = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
_LOCK_CHECK_SECONDS = 2.0


@dataclass(frozen=True, kw_only=True)
class Service:
    """Serves one target for ever.

    Args:
        provisioner: acts on the target's containers.
        reconciler: compares them with the record.
        bus: brings what is asked for.
        period: seconds between looks at all containers.
        still_holding: raises when the lock on our claimant's name is gone; the process then ends and starts anew.
        told: hears whether the target answers, and what it says of itself.
    """

    provisioner: Provisioner
    reconciler: Reconciler
    bus: Bus
    period: float
    still_holding: Callable[[], Awaitable[None]]
    told: Callable[[bool, str], None]

    async def run(self, leading: contextlib.AbstractAsyncContextManager[object]) -> None:
        """Serve until cancelled.

        Args:
            leading: entered before reconciling, so that one process of several does it.
        """
        woken = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._consume(group))
            group.create_task(self._reconcile(leading, woken))
            group.create_task(self._watch(group))
            group.create_task(self._beat())
            group.create_task(self._hold())

    async def _consume(self, group: asyncio.TaskGroup) -> None:
        target = self.provisioner.target.name
        subjects = [f"{PREFIX}.{self.bus.facility}.{t.kind}.{t.__name__}.{target}" for t in _WORK]
        async for delivery in self.bus.deliveries(f"provision-{target}", subjects):
            group.create_task(self._receive(delivery))

    async def _receive(self, delivery: Delivery) -> None:
        """Deal with one message: done, once more later, or among the dead letters."""
        try:
            container_id, event_type, trigger = _read(delivery)
        except (msgspec.DecodeError, LookupError, ValueError, TypeError) as error:
            await self._bury(delivery, f"not a message of ours: {error}")
            return
        if event_type != ContainerRequested.topic():
            self.provisioner.interrupt(container_id)
        working = asyncio.create_task(_keep_working(delivery))
        try:
            await self.provisioner.attend(container_id, trigger=trigger)
            await delivery.done()
        except Unavailable as error:
            self.told(False, str(error))
            await delivery.again(_BACK_OFF[min(delivery.attempts, len(_BACK_OFF)) - 1])
        except Exception as error:  # noqa: BLE001 - a process loop: one message hinders nobody else
            await self._retry_or_bury(delivery, container_id, error)
        finally:
            working.cancel()

    async def _retry_or_bury(self, delivery: Delivery, container_id: UUID, error: Exception) -> None:
        _log.error("could not do what was asked", container=str(container_id), attempts=delivery.attempts, error=error)
        self.told(False, f"container {container_id}: {error}")
        if delivery.attempts > len(_BACK_OFF):
            await self._bury(delivery, repr(error))
        else:
            await delivery.again(_BACK_OFF[delivery.attempts - 1])

    async def _bury(self, delivery: Delivery, reason: str) -> None:
        _log.error("dead letter", subject=delivery.raw[0], reason=reason)
        await self.bus.bury(delivery, reason)
        await delivery.given_up()

    async def _reconcile(self, leading: contextlib.AbstractAsyncContextManager[object], woken: asyncio.Event) -> None:
        async with leading:
            await self.reconciler.run(period=self.period, woken=woken)

    async def _watch(self, group: asyncio.TaskGroup) -> None:
        """Hear what the target tells; the thread that listens ends with this task."""
        loop, heard, ended = asyncio.get_running_loop(), asyncio.Queue[UUID](), threading.Event()

        def listen() -> None:
            for container_id in self.provisioner.runtime.watch(ended):
                loop.call_soon_threadsafe(heard.put_nowait, container_id)

        thread = threading.Thread(target=listen, name="watch", daemon=True)
        thread.start()
        try:
            while True:
                group.create_task(self._look_at(await heard.get()))
        finally:
            ended.set()

    async def _look_at(self, container_id: UUID) -> None:
        try:
            await self.reconciler.look_at_one(container_id)
        except CalipsoError as error:
            _log.warning("could not look at container", container=str(container_id), reason=str(error))

    async def _beat(self) -> None:
        while True:
            try:
                self.told(True, await asyncio.to_thread(self.provisioner.runtime.ping))
            except Unavailable as error:
                self.told(False, str(error))
            await asyncio.sleep(HEARTBEAT_SECONDS)

    async def _hold(self) -> None:
        while True:
            await self.still_holding()
            await asyncio.sleep(_LOCK_CHECK_SECONDS)


def _read(delivery: Delivery) -> tuple[UUID, str, Trigger]:
    envelope = delivery.envelope()
    trigger = Trigger(correlation_id=UUID(envelope["correlationid"]), causation_id=UUID(envelope["id"]))
    return UUID(envelope["data"]["container_id"]), envelope["type"], trigger


async def _keep_working(delivery: Delivery) -> None:
    while True:
        await asyncio.sleep(_WORKING_SECONDS)
        await delivery.working()
