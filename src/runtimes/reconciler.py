"""Makes record and world agree again after whatever happened: at start, on a period, and when the target tells.

It lists first and then reads the stream of each container, acts only by commands, and leaves alone what a living
provisioner is at. A target that does not answer proves nothing: unreachable is not lost.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum, auto
from functools import partial
from uuid import UUID

import structlog

from calipso.commands import container as commands
from calipso.commands.dispatch import cause_of
from calipso.commands.handling import CONTAINER
from calipso.commands.target import RecordOrphanRemoved
from calipso.errors import Unavailable
from calipso.events.container import Container, State
from calipso.runtimes.protocol import Observation, Status
from calipso.runtimes.provisioner import Provisioner

_log = structlog.get_logger()


class Verdict(Enum):
    """What must be done about one container."""

    NOTHING = auto()
    ATTEND = auto()  # the record asks for something that is not done
    TAKE_OVER = auto()  # a start whose claimant is gone
    EXPIRE = auto()  # its deadline is over
    ENDED = auto()  # its process ended by itself
    ABSENT = auto()  # the target does not have it
    ORPHAN = auto()  # its record has ended, and the target still has it
    UNKNOWN = auto()  # no record of it: only told, for it may be younger than a restored backup


def judge(container: Container | None, observation: Observation | None, now: datetime, *, claim_lives: bool) -> Verdict:
    """Compare what the record says of a container with what its target says.

    Args:
        container: the record, None when there is none.
        observation: the target's word, None when it has nothing.
        now: the time, for deadlines.
        claim_lives: whether the claimant of a start is alive.
    """
    if container is None:
        return Verdict.UNKNOWN
    match container.state:
        case State.REQUESTED | State.STARTING if now >= container.request.deadline:
            return Verdict.EXPIRE
        case State.STARTING:
            return Verdict.NOTHING if claim_lives else Verdict.TAKE_OVER
        case State.REQUESTED | State.STOPPING:
            return Verdict.ATTEND
        case State.RUNNING if observation is None:
            return Verdict.ABSENT
        case State.RUNNING if observation and observation.status is Status.EXITED:
            return Verdict.ENDED
        case State.STOPPED if container.removal_requested:
            return Verdict.ATTEND
        case State.FAILED | State.LOST | State.REMOVED if observation is not None:
            return Verdict.ORPHAN
    return Verdict.NOTHING


@dataclass(frozen=True, kw_only=True)
class Reconciler:
    """Looks after all containers of one target.

    Args:
        provisioner: acts on the containers of the target.
        target_id: the target's stream.
        is_alive: whether the claimant of this name lives.
        lost_grace: seconds that a container must have been absent, in two complete listings, to count as lost.
        told: hears whether the target answers, and what it says of itself.
    """

    provisioner: Provisioner
    target_id: UUID
    is_alive: Callable[[str], bool]
    lost_grace: float
    told: Callable[[bool, str], None]
    _absent_since: dict[UUID, float] = field(default_factory=dict)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def look_at_all(self) -> float | None:
        """Compare everything once; gives the seconds until the next deadline, if one is near.

        Raises:
            Unavailable: the store does not answer.
        """
        target = self.provisioner.target.name
        try:
            present: Mapping[UUID, Observation] | None = await asyncio.to_thread(self.provisioner.runtime.list)
        except Unavailable as error:
            _log.warning("target does not answer", target=target, reason=error.reason)
            present = None
        wanted = await asyncio.to_thread(self.provisioner.holdings.open_on, target)
        containers = {key: await self._state(key) for key in {*wanted, *(present or {})}}
        for container_id, container in containers.items():
            await self._look_at(container_id, container, present)
        return _next_deadline(containers.values())

    async def look_at_one(self, container_id: UUID) -> None:
        """Compare one container of which the target told something."""
        try:
            observation = await asyncio.to_thread(self.provisioner.runtime.observe, container_id)
        except Unavailable:
            return  # the next look at all will tell
        # absence is judged only by complete listings
        if observation is not None:
            await self._look_at(container_id, await self._state(container_id), {container_id: observation})

    async def settled(self) -> None:
        """Wait until everything that was begun is done."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def _state(self, container_id: UUID) -> Container | None:
        return await asyncio.to_thread(self.provisioner.dispatcher.state, CONTAINER, container_id)

    async def _look_at(
        self, container_id: UUID, container: Container | None, present: Mapping[UUID, Observation] | None
    ) -> None:
        if self.provisioner.is_attending(container_id):
            return
        observation = present.get(container_id) if present is not None else None
        claimant = container.claimant if container else ""
        claim_lives = await self._claim_lives(claimant)
        verdict = judge(container, observation, datetime.now(UTC), claim_lives=claim_lives)
        if verdict is not Verdict.ABSENT:
            self._absent_since.pop(container_id, None)
        can_tell_absence = present is not None and self.provisioner.runtime.keeps_containers
        if verdict is Verdict.NOTHING or (verdict is Verdict.ABSENT and not can_tell_absence):
            return
        self._spawn(container_id, verdict, claimant, observation)

    async def _claim_lives(self, claimant: str) -> bool:
        if claimant == self.provisioner.claimant:
            return False  # ours, and we are not at it: left behind by the process that had our name before
        return bool(claimant) and await asyncio.to_thread(self.is_alive, claimant)

    def _spawn(self, container_id: UUID, verdict: Verdict, claimant: str, observation: Observation | None) -> None:
        task = asyncio.create_task(self._act(container_id, verdict, claimant, observation))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _act(self, container_id: UUID, verdict: Verdict, claimant: str, observation: Observation | None) -> None:
        try:
            match verdict:
                case Verdict.ATTEND:
                    await self.provisioner.attend(container_id)
                case Verdict.TAKE_OVER:
                    await self.provisioner.attend(container_id, dead=claimant)
                case Verdict.EXPIRE:
                    await self._expire(container_id)
                case Verdict.ENDED if observation is not None:
                    await self._ended(container_id, observation)
                case Verdict.ABSENT:
                    await self._absent(container_id)
                case Verdict.ORPHAN if observation is not None:
                    await self._orphan(container_id, observation)
                case Verdict.UNKNOWN if observation is not None:
                    _log.warning("unknown container on target", container=str(container_id), name=observation.name)
        except Exception as error:  # noqa: BLE001 - a process loop: one container hinders no other
            _log.warning("could not reconcile", container=str(container_id), verdict=verdict.name, reason=str(error))
            self.told(False, f"container {container_id}: {error}")

    async def _expire(self, container_id: UUID) -> None:
        await self.provisioner.record(commands.ExpireContainer(container_id=container_id))
        await self.provisioner.clear(container_id)

    async def _ended(self, container_id: UUID, observation: Observation) -> None:
        """Record the end; what is left of a process that ended by itself is of no use, so it goes."""
        log = await self.provisioner.logs(container_id)
        exit_code = observation.exit_code if observation.exit_code is not None else -1
        await self.provisioner.record(
            commands.RecordContainerEnded(
                container_id=container_id, exit_code=exit_code, detail=observation.detail, log=log
            )
        )
        await self.provisioner.record(commands.RemoveContainer(container_id=container_id))
        await self.provisioner.attend(container_id)
        await self.provisioner.clear(container_id)

    async def _absent(self, container_id: UUID) -> None:
        since = self._absent_since.setdefault(container_id, time.monotonic())
        # the first listing that misses it sets the time, so that a later one is needed to decide
        if time.monotonic() - since < max(self.lost_grace, 0.001):
            return
        del self._absent_since[container_id]
        reason = "not on the target any more"
        await self.provisioner.record(commands.RecordContainerLost(container_id=container_id, reason=reason))

    async def _orphan(self, container_id: UUID, observation: Observation) -> None:
        await self.provisioner.clear(container_id)
        command = RecordOrphanRemoved(
            target_id=self.target_id,
            name=self.provisioner.target.name,
            container_id=container_id,
            runtime_id=observation.runtime_id,
            reason="its record has ended",
        )
        cause = cause_of(f"reconciler:{self.provisioner.target.name}")
        await asyncio.to_thread(partial(self.provisioner.dispatcher.dispatch, command, cause))

    async def run(self, *, period: float, woken: asyncio.Event) -> None:
        """Look at all at once and then on a period, when a deadline comes, or when woken; never ends by itself."""
        while True:
            woken.clear()
            pause = period
            try:
                deadline = await self.look_at_all()
                pause = min(period, deadline) if deadline is not None else period
            except Unavailable as error:
                _log.warning("reconciler waits", reason=str(error))
            if self._absent_since:  # a second listing decides, so do not wait a whole period for it
                pause = min(pause, self.lost_grace + 0.1)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(woken.wait(), max(pause, 0.1))


def _next_deadline(containers: Iterable[Container | None]) -> float | None:
    now = datetime.now(UTC)
    waiting = [
        (container.request.deadline - now).total_seconds()
        for container in containers
        if container is not None and container.state in {State.REQUESTED, State.STARTING}
    ]
    return max(min(waiting), 0) if waiting else None
