"""Makes the world follow the record: starts, stops and removes what the streams of containers say.

A message only says where to look. What is true is the container's stream, read before each act; whatever is done twice
is harmless, because names derive from the container id and what is there already is adopted.
"""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

import structlog

from calipso.commands import container as commands
from calipso.commands.dispatch import Dispatcher, cause_of
from calipso.commands.handling import CONTAINER
from calipso.credentials import MasterKeys, vnc_password
from calipso.errors import Conflict, Unavailable
from calipso.events.container import Container, State
from calipso.events.naming import container_name
from calipso.events.values import FailureReason, Placement
from calipso.runtimes.looking import image_digest, why_not_yet
from calipso.runtimes.protocol import ContainerRuntime, Observation, Order, RuntimeFailed, Target
from calipso.runtimes.readiness import wait_until_usable
from calipso.runtimes.room import Holdings, Room
from calipso.runtimes.turns import Slots, Turns, uncut

_log = structlog.get_logger()

LOG_LINES = 100
_UNREACHABLE_SECONDS = 10.0
_RETRY_SECONDS = 0.5
_REMOVAL_SECONDS = 3.0


@dataclass(frozen=True, kw_only=True)
class Trigger:
    """What gave rise to an act: the request that it serves, and the event or command just before it."""

    correlation_id: UUID | None = None
    causation_id: UUID | None = None


NOTHING = Trigger()


@dataclass(frozen=True, kw_only=True)
class Provisioner:
    """Provisions the containers of one target.

    Args:
        target: where they are made.
        runtime: how they are made.
        dispatcher: where results are recorded.
        keys: from which their secrets derive.
        holdings: what the record says that the target holds.
        capacity_lock: keeps the provisioners of the target apart while room is counted.
        claimant: the name under which this provisioner claims starts; unique among the living.
        stop_grace: how long a process may take to end when it is asked to.
        web_base: the path below which browsers find the web services of containers.
    """

    target: Target
    runtime: ContainerRuntime
    dispatcher: Dispatcher
    keys: MasterKeys
    holdings: Holdings
    capacity_lock: Callable[[], contextlib.AbstractAsyncContextManager[Any]]
    claimant: str
    stop_grace: timedelta
    web_base: str = "/web/"
    _turns: Turns = field(default_factory=Turns)
    _starting: dict[UUID, asyncio.Task[Any]] = field(default_factory=dict)
    _slots: Slots = field(init=False)
    _room: Room = field(init=False)

    def __post_init__(self) -> None:
        """Make the slots for starts at one time, and the line for room."""
        room = Room(self.target, self.runtime, self.holdings, self.capacity_lock)
        object.__setattr__(self, "_slots", Slots(self.target.starts))
        object.__setattr__(self, "_room", room)

    def is_attending(self, container_id: UUID) -> bool:
        """Whether something is being done for a container in this process now."""
        return self._turns.is_taken(container_id)

    def share_starts(self, provisioners: int) -> None:
        """Take an even part of the starts that the target bears at one time, for it has so many provisioners now."""
        self._slots.resize(max(1, self.target.starts // max(1, provisioners)))

    def interrupt(self, container_id: UUID) -> None:
        """Cut short the wait for a container that is starting, because something else is wanted of it."""
        if task := self._starting.get(container_id):
            task.cancel()

    async def attend(self, container_id: UUID, *, dead: str = "", trigger: Trigger = NOTHING) -> None:
        """Do what the container's stream asks for; nothing when it is done.

        Args:
            container_id: whose stream is read.
            dead: a claimant that is known to be gone, whose claim may be taken over.
            trigger: what gave rise to this.

        Raises:
            Unavailable: the store or the target does not answer; to be tried again.
            RuntimeFailed: the target did not stop or remove it; to be tried again, and nothing is released.
        """
        async with self._turns.of(container_id):
            container = await self._state(container_id)
            if container is None:
                _log.warning("message about an unknown container", container=str(container_id))
                return
            match container.state:
                case State.REQUESTED | State.STARTING:
                    await self._start(container, dead, trigger)
                case State.STOPPING:
                    await self._stop(container, trigger)
                case State.STOPPED if container.removal_requested:
                    await self._remove(container, trigger)

    async def clear(self, container_id: UUID) -> None:
        """Remove what is left of a container on the target."""
        async with self._turns.of(container_id):
            await asyncio.to_thread(self.runtime.remove, container_id)

    async def record(self, command: commands.ContainerCommand, trigger: Trigger = NOTHING) -> None:
        """Record a result in the container's stream, for the same request that asked for the container."""
        cause = cause_of(
            f"provisioner:{self.target.name}",
            correlation_id=trigger.correlation_id,
            causation_id=trigger.causation_id,
        )
        await asyncio.to_thread(self.dispatcher.dispatch, command, cause)

    async def logs(self, container_id: UUID) -> tuple[str, ...]:
        """The log's last lines, none when the target does not give them."""
        with contextlib.suppress(Unavailable, RuntimeFailed):
            return await asyncio.to_thread(partial(self.runtime.logs, container_id, lines=LOG_LINES))
        return ()

    async def _state(self, container_id: UUID) -> Container | None:
        return await asyncio.to_thread(self.dispatcher.state, CONTAINER, container_id)

    async def _start(self, container: Container, dead: str, trigger: Trigger) -> None:
        container_id = container.request.container_id
        work = asyncio.create_task(self._claim_and_start(container, dead, trigger))
        self._starting[container_id] = work
        try:
            await asyncio.wait({work})
        except asyncio.CancelledError:
            work.cancel()
            await asyncio.wait({work})
            raise
        finally:
            del self._starting[container_id]
            self._room.forget(container_id)
        if not work.cancelled():
            work.result()

    async def _claim_and_start(self, container: Container, dead: str, trigger: Trigger) -> None:
        container_id = container.request.container_id
        try:
            async with (
                asyncio.timeout(_seconds_until(container.request.deadline)),
                self._slots.of(container.request.user_id),
            ):
                async with self._room.of(container_id):
                    await self._claim(container, dead, trigger)
                    observation = await self._create(container)
                order = self._order(container)
                placement = await wait_until_usable(self.runtime, order, observation)
            await self._record_started(container, await image_digest(self.runtime, observation), placement, trigger)
        except TimeoutError:
            await self._expire(container, trigger)
        except RuntimeFailed as error:
            await self._fail(container_id, error.reason, error.detail, trigger)
        except Conflict as error:
            _log.info("start is not ours", container=str(container_id), reason=error.reason)

    async def _claim(self, container: Container, dead: str, trigger: Trigger) -> None:
        container_id = container.request.container_id
        command: commands.ContainerCommand = commands.ClaimContainer(
            container_id=container_id, claimant=self.claimant, dead=dead
        )
        if container.claimant and await self._is_there(container_id):
            reason = f"found on the target after {container.claimant} was gone"
            command = commands.AdoptContainer(
                container_id=container_id, claimant=self.claimant, dead=dead, reason=reason
            )
        await self.record(command, trigger)

    async def _is_there(self, container_id: UUID) -> bool:
        with contextlib.suppress(Unavailable):
            return await asyncio.to_thread(self.runtime.observe, container_id) is not None
        return False

    def _order(self, container: Container) -> Order:
        request = container.request
        return Order(
            request=request,
            name=container_name(request.container_id),
            secret=vnc_password(self.keys, request.key_number, request.container_id),
            web_prefix=f"{self.web_base}{request.container_id}/",
        )

    async def _create(self, container: Container) -> Observation:
        """Make it; a target that does not answer is asked again for a while, and then the start has failed."""
        order = self._order(container)
        give_up = asyncio.get_running_loop().time() + _UNREACHABLE_SECONDS
        while True:
            try:
                return await uncut(asyncio.to_thread(self.runtime.start, order))
            except Unavailable as error:
                if asyncio.get_running_loop().time() > give_up:
                    raise RuntimeFailed(FailureReason.UNREACHABLE, error.reason) from error
                await asyncio.sleep(_RETRY_SECONDS)

    async def _record_started(self, container: Container, digest: str, placement: Placement, trigger: Trigger) -> None:
        command = commands.RecordContainerStarted(
            container_id=container.request.container_id,
            claimant=self.claimant,
            placement=placement,
            image_digest=digest,
        )
        try:
            await self.record(command, trigger)
        except Conflict:
            await self._undo(container.request.container_id)

    async def _undo(self, container_id: UUID) -> None:
        """Remove what was made if nobody wants it any more; a stop that is under way removes it by itself."""
        now = await self._state(container_id)
        if now is not None and now.state in {State.STOPPED, State.REMOVED, State.FAILED, State.LOST}:
            await asyncio.to_thread(self.runtime.remove, container_id)

    async def _expire(self, container: Container, trigger: Trigger) -> None:
        container_id = container.request.container_id
        reason, detail = FailureReason.TIMEOUT, "not usable before its deadline"
        if self._room.lacks(container_id):
            reason, detail = FailureReason.CAPACITY, "the target had no room before the deadline"
        await self._fail(container_id, reason, detail + await why_not_yet(self.runtime, container_id), trigger)

    async def _is_ours(self, container_id: UUID) -> bool:
        """Whether a start is open and claimed by nobody else: whoever stood still for long may have lost it."""
        now = await self._state(container_id)
        if now is None or now.state not in {State.REQUESTED, State.STARTING}:
            return False
        return now.claimant in {"", self.claimant}

    async def _fail(self, container_id: UUID, reason: FailureReason, detail: str, trigger: Trigger) -> None:
        if not await self._is_ours(container_id):
            _log.info("start is not ours any more", container=str(container_id), detail=detail)
            return
        log = await self.logs(container_id)
        _log.warning("container failed", container=str(container_id), reason=reason.value, detail=detail)
        # removed before it is told, so that nothing is left when the user hears of it; what cannot be removed in time
        # is an orphan that the reconciler removes when the target answers
        with contextlib.suppress(Unavailable, RuntimeFailed, TimeoutError):
            async with asyncio.timeout(_REMOVAL_SECONDS):
                await asyncio.to_thread(self.runtime.remove, container_id)
        await self.record(
            commands.RecordContainerFailed(container_id=container_id, reason=reason, detail=detail, log=log), trigger
        )

    async def _stop(self, container: Container, trigger: Trigger) -> None:
        container_id = container.request.container_id
        await asyncio.to_thread(partial(self.runtime.stop, container_id, grace=self.stop_grace))
        await self.record(commands.RecordContainerStopped(container_id=container_id), trigger)
        if container.removal_requested:
            await self._remove(container, trigger)

    async def _remove(self, container: Container, trigger: Trigger) -> None:
        container_id = container.request.container_id
        await asyncio.to_thread(self.runtime.remove, container_id)
        await self.record(commands.RecordContainerRemoved(container_id=container_id), trigger)


def _seconds_until(deadline: datetime) -> float:
    return (deadline - datetime.now(UTC)).total_seconds()
