"""Containers that exist in this process only, with real ports: for tests and trials without any outside world.

What a container does is said by the switches of its image's reference, `memory/NAME?switch=value&...`:

| `delay` | seconds before its service listens |
| `crash` | exit code; its process ends at the start |
| `crash_after` and `exit` | seconds after which its process ends, and the exit code of that |
| `token` | text of a line `http://127.0.0.1/?token=TEXT` in its log, once its service listens |
| `silent` | its service never listens |
| `stubborn` | it ends by force only |
| `wedged` | it does not end when it is stopped, by force or not, but when it is removed |

A reference that does not begin with `memory/` is an image that the target does not have.
"""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from threading import Condition, Event
from uuid import UUID, uuid4

from calipso.errors import Unavailable
from calipso.events.naming import container_name
from calipso.events.values import FailureReason
from calipso.runtimes.memory_process import KILLED, Process
from calipso.runtimes.protocol import Observation, Order, RuntimeFailed, Status, Target

_HOST = "127.0.0.1"
_PATIENCE = 0.5


@dataclass(frozen=True, kw_only=True)
class Kept:
    """One container of the world, and whose it is."""

    installation: str
    target: str
    order: Order
    process: Process
    runtime_id: str = field(default_factory=lambda: uuid4().hex)


class MemoryWorld:
    """What all targets in memory hold together, and what tests do to it."""

    def __init__(self) -> None:
        self.changed = Condition()
        self.kept: dict[str, Kept] = {}
        self.strangers: set[str] = set()
        self.ended: list[Kept] = []
        self.away: set[str] = set()
        self.refusal = ""
        self.immortal: set[str] = set()

    def find(self, name: str) -> Kept | None:
        """The container of this name, whosever it is."""
        with self.changed:
            return self.kept.get(name)

    def crash(self, name: str, exit_code: int = KILLED) -> None:
        """End a container's process from outside."""
        with self.changed:
            kept = self.kept[name]
        kept.process.end(exit_code)

    def lose(self, name: str) -> None:
        """Let a container vanish as if somebody had removed it by hand; nothing happens when it is not there."""
        with self.changed:
            kept = self.kept.pop(name, None)
            if kept is None:
                return
            self.tell(kept)
        kept.process.end(KILLED)

    def tell(self, kept: Kept) -> None:
        """Let those who watch know that a container ended."""
        with self.changed:
            self.ended.append(kept)
            self.changed.notify_all()

    def close(self) -> None:
        """End everything."""
        for name in list(self.kept):
            self.lose(name)


class MemoryRuntime:
    """The view that one installation has of one target of a world.

    Args:
        world: shared by all targets.
        target: whose containers these are.
        installation: the id of this installation.
    """

    keeps_containers = True

    def __init__(self, world: MemoryWorld, target: Target, installation: str) -> None:
        self._world = world
        self._target = target
        self._installation = installation

    def start(self, order: Order) -> Observation:
        """Make the container and start its process; what is already there is adopted."""
        with self._world.changed:
            self._check_present()
            if self._world.refusal:
                raise RuntimeFailed(reason=FailureReason.REJECTED, detail=self._world.refusal)
            if order.name in self._world.strangers or self._is_foreign(order.name):
                raise RuntimeFailed(reason=FailureReason.REJECTED, detail=f"the name {order.name} is taken")
            if not order.request.image.reference.startswith("memory/"):
                raise RuntimeFailed(reason=FailureReason.IMAGE_MISSING, detail=order.request.image.reference)
            kept = self._world.kept.get(order.name) or self._keep(order)
        return self._observation(kept)

    def observe(self, container_id: UUID) -> Observation | None:
        """Say what the target has of one container."""
        kept = self._find(container_id)
        return self._observation(kept) if kept else None

    def list(self) -> Mapping[UUID, Observation]:
        """Say what the target has of every container of this installation."""
        return {container_id: self._observation(kept) for container_id, kept in self._own().items()}

    def logs(self, container_id: UUID, *, lines: int) -> tuple[str, ...]:
        """The last lines of the container's log."""
        kept = self._find(container_id)
        return tuple(kept.process.log[-lines:]) if kept else ()

    def stop(self, container_id: UUID, *, grace: timedelta) -> None:
        """End the container's process; a stubborn one by force, after the grace."""
        kept = self._find(container_id)
        if kept is None or kept.process.exit_code is not None:
            return
        if kept.process.is_wedged or kept.order.name in self._world.immortal:
            raise RuntimeFailed(FailureReason.REJECTED, "the process does not end")
        if kept.process.is_stubborn:
            time.sleep(grace.total_seconds())
        kept.process.end(KILLED if kept.process.is_stubborn else 0)

    def remove(self, container_id: UUID) -> None:
        """Remove the container."""
        if kept := self._find(container_id):
            if kept.order.name in self._world.immortal:
                raise RuntimeFailed(FailureReason.REJECTED, "the process cannot be killed")
            self._world.lose(kept.order.name)

    def watch(self, ended: Event) -> Iterator[UUID]:
        """The containers whose process ended or that were removed, until `ended` is set."""
        heard = len(self._world.ended)
        while not ended.is_set():
            with self._world.changed:
                self._world.changed.wait_for(lambda: len(self._world.ended) > heard, _PATIENCE)  # noqa: B023 - called before `heard` changes
                news = self._world.ended[heard:]
            heard += len(news)
            yield from (kept.order.request.container_id for kept in news if self._is_own(kept))

    def ping(self) -> str:
        """What this is."""
        with self._world.changed:
            self._check_present()
        return "memory"

    def _check_present(self) -> None:
        if self._target.name in self._world.away:
            raise Unavailable(part=f"target {self._target.name}", reason="it is away")

    def _is_own(self, kept: Kept) -> bool:
        return (kept.installation, kept.target) == (self._installation, self._target.name)

    def _is_foreign(self, name: str) -> bool:
        kept = self._world.kept.get(name)
        return kept is not None and not self._is_own(kept)

    def _find(self, container_id: UUID) -> Kept | None:
        with self._world.changed:
            self._check_present()
            kept = self._world.kept.get(container_name(container_id))
        return kept if kept is not None and self._is_own(kept) else None

    def _own(self) -> dict[UUID, Kept]:
        with self._world.changed:
            self._check_present()
            return {k.order.request.container_id: k for k in self._world.kept.values() if self._is_own(k)}

    def _keep(self, order: Order) -> Kept:
        kept = Kept(
            installation=self._installation,
            target=self._target.name,
            order=order,
            process=Process(order.request.image, _HOST),
        )
        self._world.kept[order.name] = kept
        kept.process.start(lambda: self._world.tell(kept))
        return kept

    def _observation(self, kept: Kept) -> Observation:
        exit_code = kept.process.exit_code
        return Observation(
            container_id=kept.order.request.container_id,
            runtime_id=kept.runtime_id,
            name=kept.order.name,
            status=Status.RUNNING if exit_code is None else Status.EXITED,
            host=_HOST,
            port=kept.process.port if exit_code is None else 0,
            image_digest=f"memory:{kept.order.request.image.reference}",
            exit_code=exit_code,
        )
