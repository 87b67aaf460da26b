"""Rounds of users and faults, each of which must end in agreement."""

import contextlib
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.conftest import PATIENCE
from tests.faults.faults import Fault, Faults
from tests.faults.installation import RUN_LIMIT
from tests.faults.invariants import Invariants
from tests.faults.peaks import Peaks
from tests.faults.report import Report
from tests.faults.system import System, system
from tests.faults.users import Users

AGREE_SECONDS = RUN_LIMIT + PATIENCE
_TICK_SECONDS = 0.05
_WARM_SECONDS = 3.0


def soak(
    seed: int,
    *,
    is_enough: Callable[[int], bool],
    faults_of_round: int = 8,
    only: Sequence[str] = (),
    say: Callable[[str], None] = print,
    logs: Path | None = None,
) -> Report:
    """Run rounds on a fresh system until it is enough.

    Args:
        seed: of users and faults; the same one gives the same choices, though never quite the same moments.
        is_enough: told the number of rounds that are done.
        faults_of_round: the number of faults of a round.
        only: the kinds of fault, by the beginnings of their names; empty: all.
        say: hears of each round.
        logs: a folder to which the logs of all processes are copied in the end.
    """
    report = Report(seed=seed)
    with (
        system() as made,
        contextlib.closing(Users(made.urls, seed)) as users,
        Invariants(made, users.told) as invariants,
        contextlib.closing(Peaks(made, report)),
    ):
        rounds = _Rounds(made, users, invariants, Faults(made, invariants, seed, only), report)
        number = 0
        while not is_enough(number):
            number += 1
            rounds.one(number, faults_of_round)
            say(f"round {number}: {rounds.outcome}")
        if logs is not None:
            made.copy_logs(logs)
        report.operations = users.told.operations
        report.deaths.update({process.name: process.deaths for process in made.processes if process.deaths})
        report.events, report.started = len(invariants.record.events), invariants.record.started
        report.accepted = len(invariants.record.containers)
    return report


class _Rounds:
    """One system, broken again and again."""

    def __init__(self, made: System, users: Users, invariants: Invariants, faults: Faults, report: Report) -> None:
        self.outcome = ""
        self._system = made
        self._users = users
        self._invariants = invariants
        self._faults = faults
        self._report = report
        self._open: list[tuple[float, Fault]] = []
        self._kinds: list[str] = []
        self._last = ""

    def one(self, number: int, faults: int) -> None:
        """Let users act while things break, mend everything, and wait for agreement."""
        self._users.act()
        self._pass_time(_WARM_SECONDS)
        while faults:
            fault = self._faults.next({open_.subject for _, open_ in self._open})
            if fault is not None:
                self._break(fault)
                faults -= 1
                self._pass_time(self._faults.pause())
        self._mend_all()
        ended = time.monotonic()
        self._users.rest()
        left = self._agree(ended)
        kinds = ", ".join(sorted(self._kinds))
        agreed = (
            f"agreed after {self._report.converged[-1]:.1f} s, last of all: {self._last}" if not left else f"{left}"
        )
        self.outcome = f"{kinds}; {agreed}"
        self._report.violations += [f"round {number} ({kinds}): {violation}" for violation in left]
        self._kinds = []

    def _break(self, fault: Fault) -> None:
        fault.begin()
        self._report.faults[fault.kind] += 1
        self._kinds.append(f"{fault.kind} ({fault.subject})")
        self._open.append((time.monotonic() + fault.seconds, fault))

    def _pass_time(self, seconds: float) -> None:
        """Mend what is due meanwhile, and start again what ended by itself."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self._mend_what_is_due()
            self._system.revive()
            time.sleep(_TICK_SECONDS)

    def _mend_all(self) -> None:
        while self._open:
            self._pass_time(_TICK_SECONDS)

    def _mend_what_is_due(self) -> None:
        for entry in [entry for entry in self._open if entry[0] <= time.monotonic()]:
            self._open.remove(entry)
            entry[1].end()

    def _agree(self, began: float) -> Sequence[str]:
        """Wait until everything holds; gives what does not in the end."""
        self._last = "nothing was to be done"
        while True:
            looked = time.monotonic()
            left = self._invariants.violations()
            if not left:
                self._report.converged.append(looked - began)
                return []
            if looked - began > AGREE_SECONDS:
                return left
            self._last = left[0]
            self._pass_time(0.2)
