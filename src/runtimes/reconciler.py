"""Makes record and world agree again after whatever happened: at start, on a period, and when the target tells.

It lists first and then reads the stream of each container of which record and target say different things, acts only
by commands, and leaves alone what a living provisioner is at. A target that does not answer proves nothing: unreachable
is not lost. Every state that is not the last has its end here: a start at its deadline, a stop at its own, by force.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from uuid import UUID

import structlog

from calipso.commands import container as commands
from calipso.commands.dispatch import cause_of
from calipso.commands.handling import CONTAINER
from calipso.commands.target import RecordOrphanRemoved
from calipso.errors import Unavailable
from calipso.events.container import Container, State
from calipso.runtimes.protocol import Observation, RuntimeFailed, Status
from calipso.runtimes.provisioner import Provisioner
from calipso.runtimes.verdict import Verdict, judge, next_deadline

_log = structlog.get_logger()

_MOST_AT_ONCE = 500  # the rest has its turn soon
_CROWDED_SECONDS = 1.0


@dataclass(frozen=True, kw_only=True)
class Reconciler:
    """Looks after all containers of one target.

    Args:
        provisioner: acts on the containers of the target.
        target_id: the target's stream.
        is_alive: whether the claimant of this name lives.
        lost_grace: seconds that a container must have been absent, in two complete listings, to count as lost.
        stopped_limit: how long a stopped container is kept that nobody removes.
        told: hears whether the target answers, and what it says of itself.
    """

    provisioner: Provisioner
    target_id: UUID
    is_alive: Callable[[str], bool]
    lost_grace: float
    stopped_limit: timedelta
    told: Callable[[bool, str], None]
    _absent_since: dict[UUID, float] = field(default_factory=dict)
    _troubles: dict[UUID, str] = field(default_factory=dict)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def look_at_all(self) -> float | None:
        """Compare everything once; gives the seconds until the next look is due before the period is over, if it is.

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
        differing = [key for key in {**wanted, **(present or {})} if not self._agree(key, wanted.get(key), present)]
        self._forget_others(differing)
        requested = [key for key in differing if wanted.get(key) is State.REQUESTED]
        others = [key for key in differing if wanted.get(key) is not State.REQUESTED]
        at_once = requested[: max(0, _MOST_AT_ONCE - len(self._tasks))]
        containers = [await self._look_up(key, present) for key in (*others, *at_once)]
        await self._retire_stopped()
        return _CROWDED_SECONDS if len(at_once) < len(requested) else next_deadline(containers, datetime.now(UTC))

    async def take_up_claims(self) -> None:
        """Go on with the starts that the process before this one had claimed under our name.

        Raises:
            Unavailable: the store does not answer.
        """
        wanted = await asyncio.to_thread(self.provisioner.holdings.open_on, self.provisioner.target.name)
        for container_id in [key for key, state in wanted.items() if state is State.STARTING]:
            container = await self._state(container_id)
            if container is not None and container.claimant == self.provisioner.claimant:
                await self._look_at(container_id, container, None)

    async def _look_up(self, container_id: UUID, present: Mapping[UUID, Observation] | None) -> Container | None:
        container = await self._state(container_id)
        await self._look_at(container_id, container, present)
        return container

    async def look_at_one(self, container_id: UUID) -> None:
        """Compare one container of which the target told something."""
        try:
            observation = await asyncio.to_thread(self.provisioner.runtime.observe, container_id)
        except Unavailable:
            return  # the next look at all will tell
        # absence is judged only by complete listings
        if observation is not None:
            await self._look_up(container_id, {container_id: observation})

    async def settled(self) -> None:
        """Wait until everything that was begun is done."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    @property
    def trouble(self) -> str:
        """What does not come to an end although its target answers; empty when all goes well."""
        return "; ".join(f"container {container_id}: {reason}" for container_id, reason in self._troubles.items())

    def _agree(self, key: UUID, recorded: State | None, present: Mapping[UUID, Observation] | None) -> bool:
        """Whether nothing has to be done for a container, or somebody here is at it already."""
        if self.provisioner.is_attending(key):
            return True
        if recorded is not State.RUNNING:
            return False
        if present is None or not self.provisioner.runtime.keeps_containers:
            return True  # nothing can be told of it now
        return key in present and present[key].status is not Status.EXITED

    def _forget_others(self, differing: Sequence[UUID]) -> None:
        for known in (self._absent_since, self._troubles):
            for container_id in known.keys() - set(differing):
                known.pop(container_id)

    async def _retire_stopped(self) -> None:
        """Ask for the removal of what has been stopped for long; the next look sees to it."""
        before = datetime.now(UTC) - self.stopped_limit
        stopped = partial(self.provisioner.holdings.stopped_on, self.provisioner.target.name, before=before)
        for container_id in (await asyncio.to_thread(stopped))[:_MOST_AT_ONCE]:
            self._spawn(container_id, Verdict.RETIRE)

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

    def _spawn(
        self, container_id: UUID, verdict: Verdict, claimant: str = "", observation: Observation | None = None
    ) -> None:
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
                case Verdict.FORCE:
                    await self._force(container_id)
                case Verdict.ENDED if observation is not None:
                    await self._ended(container_id, observation)
                case Verdict.ABSENT:
                    await self._absent(container_id)
                case Verdict.ORPHAN if observation is not None:
                    await self._orphan(container_id, observation)
                case Verdict.RETIRE:
                    await self.provisioner.record(commands.RemoveContainer(container_id=container_id))
                    await self.provisioner.attend(container_id)
                case Verdict.UNKNOWN if observation is not None:
                    _log.warning("unknown container on target", container=str(container_id), name=observation.name)
            self._troubles.pop(container_id, None)
        except Exception as error:  # noqa: BLE001 - a process loop: one container hinders no other
            _log.warning("could not reconcile", container=str(container_id), verdict=verdict.name, reason=str(error))
            if not isinstance(error, Unavailable):
                self._troubles[container_id] = str(error)
            self.told(False, f"container {container_id}: {error}")

    async def _expire(self, container_id: UUID) -> None:
        await self.provisioner.record(commands.ExpireContainer(container_id=container_id))
        await self.provisioner.clear(container_id)

    async def _force(self, container_id: UUID) -> None:
        """End what did not stop in time by removing it, which knows no grace, if it does not stop now.

        It may have been its target that kept it from stopping, and that is back.
        """
        with contextlib.suppress(RuntimeFailed, Unavailable):
            await self.provisioner.attend(container_id)
            return
        await self.provisioner.clear(container_id)
        reason = "removed by force, for it had not stopped in time"
        await self.provisioner.record(commands.RecordContainerStopped(container_id=container_id, reason=reason))
        await self.provisioner.attend(container_id)

    async def _ended(self, container_id: UUID, observation: Observation) -> None:
        """Record the end; what is left of a process that ended by itself is of no use, so it goes."""
        log = await self.provisioner.logs(container_id)
        exit_code = observation.exit_code if observation.exit_code is not None else -1
        await self.provisioner.record(
            commands.RecordContainerEnded(
                container_id=container_id, exit_code=exit_code, detail=observation.detail, log=log
            )
        )
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
        if await asyncio.to_thread(self.provisioner.runtime.observe, container_id) is None:
            return  # its end was just being recorded when all were listed
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
                async with asyncio.timeout(max(pause, 0.1)):
                    await woken.wait()
