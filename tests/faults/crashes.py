"""One life of a container (run, stop, removal), undisturbed or with a death at one point."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from tests.conftest import PATIENCE, wait_until
from tests.faults.forked import Forked
from tests.faults.invariants import Invariants

from calipso.events.container import State

RESTORED_SECONDS = 10.0
_LOOK_SECONDS = 0.05
_IMAGE = "desktop"
VERBS = ("run", "stop", "rm")


@dataclass(frozen=True, kw_only=True)
class Crash:
    """What came of a death at a point of a verb: the seconds until everything held, and what did not in the end."""

    verb: str
    point: str
    seconds: float
    left: Sequence[str]


class Lives:
    """Lives of containers on one installation, one after the other.

    Args:
        made: the installation, which runs.
        invariants: of the installation.

    `longest` are the seconds of the longest undisturbed verb.
    """

    def __init__(self, made: Forked, invariants: Invariants) -> None:
        self._made = made
        self._invariants = invariants
        self._number = 0
        self._seconds = 0.0
        self.longest = 0.0
        self._left: list[str] = []

    def undisturbed(self) -> Sequence[tuple[str, str]]:
        """The points that the verbs of a whole life reach, each once, in their order."""
        reached = []
        for verb in VERBS:
            before = len(self._made.reached())
            self._do(verb)
            self.longest = max(self.longest, self._seconds)
            reached += [(verb, point) for point in dict.fromkeys(self._made.reached()[before:])]
        return reached

    def die(self, verb: str, point: str) -> Crash:
        """Die at a point, start again, and see whether everything holds."""
        self._bring_to(verb)
        self._made.arm(point)
        self._do(verb)
        # what comes after the answer may be reached a moment later
        wait_until(lambda: not self._made.is_armed, f"{point} to be reached")
        seconds, left = self._settle(rebuilds=True)
        return Crash(verb=verb, point=point, seconds=max(seconds, self._seconds), left=[*self._left, *left])

    def _bring_to(self, verb: str) -> None:
        """Have a container of which the verb can be asked: none, one that runs, or one that has stopped."""
        if verb == "run":
            for kept in VERBS[1:]:
                self._do(kept)
            return
        before = VERBS[VERBS.index(verb) - 1]
        if not self._names(verb):
            self._bring_to(before)
            self._do(before)

    def _names(self, verb: str) -> Sequence[str]:
        """The containers of which a verb can be asked."""
        return sorted(self._invariants.record.named({"stop": State.RUNNING, "rm": State.STOPPED}[verb]))

    def _do(self, verb: str) -> None:
        """Ask for one thing, and wait until all is quiet and right."""
        self._seconds, self._left = 0.0, list[str]()
        self._number += verb == "run"
        for name in [f"life{self._number}"] if verb == "run" else self._names(verb):
            thread = self._made.ask(verb, name, _IMAGE)
            self._seconds, self._left = self._settle(rebuilds=False)
            thread.join()

    def _settle(self, *, rebuilds: bool) -> tuple[float, list[str]]:
        """Start again what died, and wait until everything holds; gives the seconds that it took, and what does not."""
        restarted = began = time.monotonic()
        while True:
            if self._made.revive():
                restarted = time.monotonic()
            looked = time.monotonic()
            left = self._invariants.violations(rebuilds=rebuilds)
            if not left or looked - began > PATIENCE:
                return looked - restarted, left
            time.sleep(_LOOK_SECONDS)
