"""What is broken, how, and for how long."""

import random
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from tests.faults.invariants import Invariants
from tests.faults.network import Link
from tests.faults.system import System

_KEPT = 0.7  # of the orderly ends of the engine: its containers live on
_SHORT = (0.1, 1.5)
_LONG = (1.0, 8.0)
_TRICKLE = (0.02, 0.3)


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One thing that goes wrong: `begin` breaks `subject`, `end` mends it after `seconds`."""

    kind: str
    subject: str
    seconds: float
    begin: Callable[[], None]
    end: Callable[[], None]


class Faults:
    """Chooses what goes wrong next.

    Args:
        system: what is broken.
        invariants: is told before the stream is lost.
        seed: of the choices.
        only: the kinds that are chosen from, by the beginnings of their names; empty: all.
    """

    def __init__(self, system: System, invariants: Invariants, seed: int, only: Sequence[str] = ()) -> None:
        self._system = system
        self._invariants = invariants
        self._random = random.Random(seed)
        wanted = {k: v for k, v in self._kinds().items() if not only or k.startswith(tuple(only))}
        self._makers, self._weights = list(wanted), [weight for weight, _ in wanted.values()]
        self._kind = {kind: maker for kind, (_, maker) in wanted.items()}

    def next(self, broken: set[str]) -> Fault | None:
        """A fault of a subject that is not broken already; None when chance picked one that is."""
        kind = self._random.choices(self._makers, self._weights)[0]
        subject, begin, end, (least, most) = self._kind[kind]()
        seconds = self._random.uniform(least, most)
        if subject in broken:
            return None
        return Fault(kind=kind, subject=subject, seconds=seconds, begin=begin, end=end)

    def pause(self) -> float:
        """Seconds until the next fault."""
        return self._random.uniform(0.1, 2.5)

    def _kinds(self) -> Mapping[str, tuple[int, Callable[[], "_Parts"]]]:
        """Each kind with its weight and what makes one."""
        return {
            "process killed": (10, self._process_killed),
            "process paused": (5, self._process_paused),
            "process restarted": (3, self._process_restarted),
            "postgres restarted": (2, self._postgres_restarted),
            "postgres crashed": (2, self._postgres_crashed),
            "nats restarted": (2, self._nats_restarted),
            "nats killed": (2, self._nats_killed),
            "nats data lost": (1, self._nats_lost),
            "engine restarted": (2, self._engine_restarted),
            "engine killed": (2, self._engine_killed),
            "engine paused": (1, self._engine_paused),
            "link cut": (3, self._link_cut),
            "link stalled": (2, self._link_stalled),
            "link slow": (2, self._link_slow),
            "link swallows": (2, self._link_swallows),
            "link forgets": (2, self._link_forgets),
            "server unreachable": (1, self._server_unreachable),
            "container killed": (2, self._container_killed),
            "container removed": (1, self._container_removed),
        }

    def _process_killed(self) -> "_Parts":
        process = self._random.choice(self._system.processes)
        return process.name, process.kill, process.start, _SHORT

    def _process_paused(self) -> "_Parts":
        process = self._random.choice(self._system.processes)
        return process.name, process.pause, process.resume, _LONG

    def _process_restarted(self) -> "_Parts":
        process = self._random.choice(self._system.processes)
        return process.name, process.stop, process.start, (0.0, 0.5)

    def _postgres_restarted(self) -> "_Parts":
        postgres = self._system.postgres
        return "postgres", postgres.stop, postgres.start, _SHORT

    def _postgres_crashed(self) -> "_Parts":
        postgres, number = self._system.postgres, self._random.choice([signal.SIGQUIT, signal.SIGKILL])
        return "postgres", lambda: postgres.crash(number), postgres.start, _SHORT

    def _nats_restarted(self) -> "_Parts":
        return "nats", self._system.nats.stop, self._system.nats.start, _LONG

    def _nats_killed(self) -> "_Parts":
        return "nats", self._system.nats.kill, self._system.nats.start, _SHORT

    def _nats_lost(self) -> "_Parts":
        links = [p.links["nats"] for p in self._system.processes if p.name.startswith("relay/")]

        def lose() -> None:
            # nobody publishes while the end of the stream is read
            _each(links, Link.cut)
            self._invariants.expect_loss()
            self._system.nats.stop()
            self._system.nats.lose()

        def recover() -> None:
            self._system.nats.start()
            _each(links, Link.mend)

        return "nats", lose, recover, _SHORT

    def _engine_restarted(self) -> "_Parts":
        engine, keeps = self._system.engine, self._random.random() < _KEPT
        return "engine", partial(engine.stop, keeps=keeps), engine.start, _SHORT

    def _engine_killed(self) -> "_Parts":
        return "engine", self._system.engine.kill, self._system.engine.start, _SHORT

    def _engine_paused(self) -> "_Parts":
        engine = self._system.engine
        return "engine", engine.pause, engine.resume, _LONG

    def _link(self) -> Link:
        return self._random.choice([link for process in self._system.processes for link in process.links.values()])

    def _link_cut(self) -> "_Parts":
        link = self._link()
        return link.name, link.cut, link.mend, _LONG

    def _link_stalled(self) -> "_Parts":
        link = self._link()
        return link.name, link.stall, link.mend, _LONG

    def _link_slow(self) -> "_Parts":
        link, seconds = self._link(), self._random.uniform(*_TRICKLE)
        return link.name, lambda: link.slow(seconds), link.mend, _LONG

    def _link_swallows(self) -> "_Parts":
        link = self._link()
        return link.name, link.swallow, link.mend, _LONG

    def _link_forgets(self) -> "_Parts":
        # a lost connection to PostgreSQL is noticed by the kernel, which a proxy of TCP answers in its place
        link = self._random.choice(
            [link for p in self._system.processes for server, link in p.links.items() if server != "postgres"]
        )
        return link.name, link.forget, _nothing, (0.0, 0.0)

    def _server_unreachable(self) -> "_Parts":
        server = self._random.choice(["postgres", "nats", "docker"])
        links = [process.links[server] for process in self._system.processes if server in process.links]
        return f"way to {server}", lambda: _each(links, Link.cut), lambda: _each(links, Link.mend), _SHORT

    def _container_killed(self) -> "_Parts":
        return "container", lambda: self._system.engine.hurt(self._random, remove=False), _nothing, (0.0, 0.0)

    def _container_removed(self) -> "_Parts":
        return "container", lambda: self._system.engine.hurt(self._random, remove=True), _nothing, (0.0, 0.0)


_Parts = tuple[str, Callable[[], None], Callable[[], None], tuple[float, float]]


def _each(links: Sequence[Link], act: Callable[[Link], None]) -> None:
    for link in links:
        act(link)


def _nothing() -> None:
    """There is nothing to mend."""
