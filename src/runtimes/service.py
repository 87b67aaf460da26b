"""The process that serves one target: its queues on the bus, its reconciler, and its ear on the target."""

import asyncio
import contextlib
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from itertools import chain, repeat
from uuid import UUID

import msgspec
import structlog

from calipso.bus import PREFIX, RETRIES, RETRY_PREFIX, STREAM, Bus
from calipso.bus.dead_letters import DeadLetters
from calipso.bus.queue import Delivery, Queue
from calipso.errors import CalipsoError, Unavailable
from calipso.events.container import (
    ContainerEvent,
    ContainerRemovalRequested,
    ContainerRequested,
    ContainerStopRequested,
)
from calipso.parts import HEARTBEAT_SECONDS
from calipso.runtimes.protocol import RuntimeFailed
from calipso.runtimes.provisioner import Provisioner, Trigger
from calipso.runtimes.reconciler import Reconciler

_log = structlog.get_logger()

_WORKING_SECONDS = 10.0
_BACK_OFF = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
MOST_TRIES = len(_BACK_OFF) + 1
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
        provisioners: how many the target has now, us included.
        told: hears whether the target answers, and what it says of itself.
    """

    provisioner: Provisioner
    reconciler: Reconciler
    bus: Bus
    period: float
    still_holding: Callable[[], Awaitable[None]]
    provisioners: Callable[[], int]
    told: Callable[[bool, str], None]

    async def run(self, leading: contextlib.AbstractAsyncContextManager[object]) -> None:
        """Serve until cancelled.

        Args:
            leading: entered before reconciling, hearing and telling of the target, so that one process of several does
                it; what ended before is found by the look at all that comes first.
        """
        async with asyncio.TaskGroup() as group:
            group.create_task(self._take_up())
            for queue in queues(self.bus.facility, self.provisioner.target.name):
                group.create_task(self._consume(group, queue))
            group.create_task(self._lead(leading))
            group.create_task(self._hold())

    async def _take_up(self) -> None:
        """Go on at once with what the process before this one had begun; the reconciler sees to the rest."""
        try:
            await self.reconciler.take_up_claims()
        except Unavailable as error:
            _log.warning("could not take up claims", reason=str(error))

    async def _consume(self, group: asyncio.TaskGroup, queue: Queue) -> None:
        async for delivery in self.bus.deliveries(queue):
            group.create_task(self._receive(delivery))

    async def _receive(self, delivery: Delivery) -> None:
        """Deal with one message: done, once more later, or among the dead letters."""
        try:
            container_id, event_type, trigger = _read(delivery)
        except (msgspec.DecodeError, LookupError, ValueError, TypeError, AttributeError) as error:
            await self._bury(delivery, f"not a message of ours: {error}")
            return
        if delivery.attempts > MOST_TRIES:  # whoever took it never came to a word about it
            await self._bury(delivery, "every process that took it ended before it was settled")
            return
        structlog.contextvars.bind_contextvars(request_id=str(trigger.correlation_id))
        if event_type != ContainerRequested.topic():
            self.provisioner.interrupt(container_id)
        working = asyncio.create_task(_keep_working(delivery))
        try:
            await self._attend(container_id, trigger)
            await delivery.done()
        except Exception as error:  # noqa: BLE001 - a process loop: one message hinders nobody else
            await self._retry_or_bury(delivery, container_id, error)
        finally:
            working.cancel()

    async def _attend(self, container_id: UUID, trigger: Trigger) -> None:
        """Attend to a container, as often as the store or the target does not answer: that is no fault of a message."""
        for pause in chain(_BACK_OFF, repeat(_BACK_OFF[-1])):
            try:
                await self.provisioner.attend(container_id, trigger=trigger)
            except Unavailable as error:
                self.told(False, str(error))
                await asyncio.sleep(pause)
            else:
                return

    async def _retry_or_bury(self, delivery: Delivery, container_id: UUID, error: Exception) -> None:
        _log.error("could not do what was asked", container=str(container_id), attempts=delivery.attempts, error=error)
        self.told(False, f"container {container_id}: {error}")
        if delivery.attempts >= MOST_TRIES:
            await self._bury(delivery, _public_reason(error))
        else:
            await delivery.again(_BACK_OFF[delivery.attempts - 1])

    async def _bury(self, delivery: Delivery, reason: str) -> None:
        _log.error("dead letter", subject=delivery.raw[0], reason=reason)
        try:
            await DeadLetters(self.bus).bury(delivery, reason)
            await delivery.given_up()
        except Unavailable as error:  # it comes again, and is buried then
            _log.warning("could not bury", subject=delivery.raw[0], reason=str(error))

    async def _lead(self, leading: contextlib.AbstractAsyncContextManager[object]) -> None:
        woken = asyncio.Event()
        async with leading, asyncio.TaskGroup() as group:
            group.create_task(self.reconciler.run(period=self.period, woken=woken))
            group.create_task(self._watch(group))
            group.create_task(self._beat(woken))

    async def _watch(self, group: asyncio.TaskGroup) -> None:
        """Hear what the target tells; the thread that listens ends with this task, and this task with the thread."""
        loop, heard, ended = asyncio.get_running_loop(), asyncio.Queue[UUID | Exception](), threading.Event()

        def tell(news: UUID | Exception) -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed, and nobody hears
                loop.call_soon_threadsafe(heard.put_nowait, news)

        def listen() -> None:
            try:
                for container_id in self.provisioner.runtime.watch(ended):
                    tell(container_id)
            except Exception as error:  # noqa: BLE001 - raised again below
                tell(error)

        thread = threading.Thread(target=listen, name="watch", daemon=True)
        thread.start()
        try:
            while True:
                news = await heard.get()
                if isinstance(news, Exception):
                    raise news
                group.create_task(self._look_at(news))
        finally:
            ended.set()

    async def _look_at(self, container_id: UUID) -> None:
        try:
            await self.reconciler.look_at_one(container_id)
        except CalipsoError as error:
            _log.warning("could not look at container", container=str(container_id), reason=str(error))

    async def _beat(self, woken: asyncio.Event) -> None:
        """Tell how the target is, and let all be looked at when it is back."""
        was_away = False
        while True:
            try:
                detail = await asyncio.to_thread(self.provisioner.runtime.ping)
            except Unavailable as error:
                was_away = True
                self.told(False, str(error))
            else:
                if was_away:
                    woken.set()
                was_away = False
                self.told(not self.reconciler.trouble, self.reconciler.trouble or detail)
            await asyncio.sleep(HEARTBEAT_SECONDS)

    async def _hold(self) -> None:
        while True:
            await self.still_holding()
            with contextlib.suppress(Unavailable):  # the store; told by whoever needs it
                self.provisioner.share_starts(await asyncio.to_thread(self.provisioners))
            await asyncio.sleep(_LOCK_CHECK_SECONDS)


def queues(facility: str, target: str) -> tuple[Queue, Queue, Queue]:
    """What the provisioners of a target take: starts; ends, which wait behind no start; and what is tried again."""

    def subjects(*event_types: type[ContainerEvent]) -> tuple[str, ...]:
        return tuple(f"{PREFIX}.{facility}.{each.kind}.{each.__name__}.{target}" for each in event_types)

    return (
        Queue(durable=f"provision-{target}", stream=STREAM, subjects=subjects(ContainerRequested)),
        Queue(
            durable=f"end-{target}",
            stream=STREAM,
            subjects=subjects(ContainerStopRequested, ContainerRemovalRequested),
        ),
        Queue(durable=f"retry-{target}", stream=RETRIES, subjects=(f"{RETRY_PREFIX}.{facility}.*.*.{target}",)),
    )


def _read(delivery: Delivery) -> tuple[UUID, str, Trigger]:
    envelope = delivery.envelope()
    trigger = Trigger(correlation_id=UUID(envelope["correlationid"]), causation_id=UUID(envelope["id"]))
    return UUID(envelope["data"]["container_id"]), envelope["type"], trigger


def _public_reason(error: Exception) -> str:
    """What other services may read of an error: a runtime's own words may name folders of a user."""
    told = f"{type(error).__name__} ({error.reason})" if isinstance(error, RuntimeFailed) else type(error).__name__
    return f"{told}; the provisioner's log tells more"


async def _keep_working(delivery: Delivery) -> None:
    while True:
        await asyncio.sleep(_WORKING_SECONDS)
        await delivery.working()
