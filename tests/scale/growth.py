"""How an installation grows: a small simulation of queues, with what was measured on one machine as its parameters.

What it assumes: each container passes each part once, in one order, and takes of it what it took on average, spread
exponentially. An API replica, a provisioner, the projector and the relay use one core each at most, as Python does;
PostgreSQL, NATS and the target use what their machine has. Commands of one store are appended one batch after the
other, at the rate that the store was measured to bear. Cores are as fast as those that were measured; the network takes
no time. A library of discrete events (simpy) would be longer to explain than the one loop that this needs.
"""

import heapq
import random
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

APPEND = "append"  # the store's one lock, which takes no processor of its own


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What one container takes of each part in its life.

    `cpu` are seconds of a processor by the kind of process, in the order in which a container meets them;
    `append` the seconds that its commands keep the store's lock.
    """

    cpu: Mapping[str, float]
    append: float


@dataclass(frozen=True, kw_only=True)
class Part:
    """A kind of process: how many there are, and on which machine."""

    number: int
    machine: str


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Machines with their cores, and where the parts are; what is not placed costs nothing here.

    With several `stores`, facilities are spread over them, each with its own lock.
    """

    name: str
    cores: Mapping[str, int]
    parts: Mapping[str, Part]
    stores: int = 1


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """What became of the containers of a plan: how many a second, and the seconds of each until it was done.

    `used` is the part of its time that each part, and each machine, was busy.
    """

    per_second: float
    p50: float
    p99: float
    used: Mapping[str, float]


@dataclass
class _Server:
    """A part in the simulation: what it does at one time, and who waits."""

    seconds: float
    free: int
    machine: str | None
    waiting: deque[int] = field(default_factory=deque)
    busy: float = 0.0


def simulate(plan: Plan, cost: Cost, arrivals: Sequence[float], *, seed: int = 1) -> Prediction:
    """Let containers arrive at these seconds, in order, and follow each to its end."""
    return _Simulation(plan, cost, seed).run(arrivals)


class _Simulation:
    def __init__(self, plan: Plan, cost: Cost, seed: int) -> None:
        self._plan = plan
        self._random = random.Random(seed)
        self._idle = dict(plan.cores)
        self._servers = dict(_servers(plan, cost))
        self._route = list(self._servers)
        self._coming: list[tuple[float, int, int, int]] = []  # time, number of the entry, container, its step
        self._entries = 0

    def run(self, arrivals: Sequence[float]) -> Prediction:
        ended: dict[int, float] = {}
        at = [0] * len(arrivals)  # the step that each container is at
        for container, second in enumerate(arrivals):
            self._come(second, container, -1)
        now = 0.0
        while self._coming:
            now, _, container, step = heapq.heappop(self._coming)
            if step >= 0:
                self._leave(self._servers[self._route[step]])
            at[container] = step + 1
            if at[container] < len(self._route):
                self._servers[self._route[at[container]]].waiting.append(container)
            else:
                ended[container] = now
            self._begin(now, lambda each: at[each])
        return self._prediction(arrivals, ended, now)

    def _come(self, second: float, container: int, step: int) -> None:
        self._entries += 1
        heapq.heappush(self._coming, (second, self._entries, container, step))

    def _leave(self, server: _Server) -> None:
        server.free += 1
        if server.machine is not None:
            self._idle[server.machine] += 1

    def _begin(self, now: float, step_of: Callable[[int], int]) -> None:
        """Begin all that can begin now; the parts of a machine that is full take turns by chance."""
        ready = [server for server in self._servers.values() if server.waiting and server.free]
        self._random.shuffle(ready)
        for server in ready:
            while server.waiting and server.free and (server.machine is None or self._idle[server.machine]):
                container = server.waiting.popleft()
                seconds = self._random.expovariate(1 / server.seconds)
                server.free -= 1
                server.busy += seconds
                if server.machine is not None:
                    self._idle[server.machine] -= 1
                self._come(now + seconds, container, step_of(container))

    def _prediction(self, arrivals: Sequence[float], ended: Mapping[int, float], now: float) -> Prediction:
        seconds = sorted(ended[container] - arrivals[container] for container in ended)
        length = now - arrivals[0]
        used = {name: server.busy / length / server.free for name, server in self._servers.items()}
        for machine, cores in self._plan.cores.items():
            there = sum(server.busy for server in self._servers.values() if server.machine == machine)
            used[f"machine {machine}"] = there / length / cores
        return Prediction(
            per_second=len(ended) / length,
            p50=seconds[len(seconds) // 2],
            p99=seconds[len(seconds) * 99 // 100],
            used=used,
        )


def _servers(plan: Plan, cost: Cost) -> Iterator[tuple[str, _Server]]:
    for name, seconds in cost.cpu.items():
        if name in plan.parts and seconds > 0:
            part = plan.parts[name]
            yield name, _Server(seconds=seconds, free=part.number, machine=part.machine)
    yield APPEND, _Server(seconds=cost.append, free=plan.stores, machine=None)
