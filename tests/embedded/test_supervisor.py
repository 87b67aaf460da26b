"""The supervisor with real processes."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest
from tests.conftest import PATIENCE


@dataclass(frozen=True)
class Told:
    """A line of a part: what happened to whom, and when."""

    what: str
    name: str
    pid: int
    at: float


@dataclass(frozen=True)
class Supervised:
    process: subprocess.Popen[bytes]
    file: Path

    def told(self, what: str, name: str | None = None) -> list[Told]:
        words = [line.split() for line in self.file.read_text().splitlines()] if self.file.exists() else []
        lines = [Told(what, name, int(pid), float(at)) for what, name, pid, at in words]
        return [line for line in lines if line.what == what and name in {None, line.name}]

    def await_told(self, count: int, what: str, name: str | None = None) -> list[Told]:
        eventually(lambda: len(self.told(what, name)) >= count)
        return self.told(what, name)

    def end(self, sign: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(sign)
        return self.process.wait(PATIENCE)


def eventually(holds: Callable[[], bool], seconds: float = PATIENCE) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


Supervise = Callable[..., Supervised]


@pytest.fixture
def supervise(tmp_path: Path) -> Iterator[Supervise]:
    """Starts a supervisor with parts, each named and given its behaviour."""
    with ExitStack() as stack:

        def start(**parts: str) -> Supervised:
            file = tmp_path / "told"
            words = [f"{name}={behaviour}" for name, behaviour in parts.items()]
            script = str(Path(__file__).with_name("supervise.py"))
            process = subprocess.Popen([sys.executable, script, str(file), *words], start_new_session=True)
            stack.callback(process.wait, PATIENCE)
            stack.callback(process.kill)
            return Supervised(process, file)

        yield start


def test_a_killed_part_is_started_again(supervise: Supervise) -> None:
    supervised = supervise(api="well", relay="well")
    first = supervised.await_told(1, "start", "api")[0]
    os.kill(first.pid, signal.SIGKILL)
    second = supervised.await_told(2, "start", "api")[1]
    assert second.pid != first.pid
    assert len(supervised.told("start", "relay")) == 1
    assert supervised.end() == 0


def test_a_part_that_keeps_ending_is_started_less_and_less_often(supervise: Supervise) -> None:
    supervised = supervise(api="crash")
    starts = supervised.await_told(4, "start")
    gaps = [after.at - before.at for before, after in pairwise(starts)]
    assert [gap > least for gap, least in zip(gaps, (0.2, 0.4, 0.8), strict=False)] == [True, True, True]
    assert supervised.end() == 0


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
def test_parts_end_in_the_reverse_of_their_order(supervise: Supervise, sign: signal.Signals) -> None:
    supervised = supervise(relay="well", project="well", api="well")
    supervised.await_told(3, "start")
    assert supervised.end(sign) == 0
    assert [line.name for line in supervised.told("stop")] == ["api", "project", "relay"]


def test_ctrl_c_in_a_terminal_does_not_reach_the_parts(supervise: Supervise) -> None:
    supervised = supervise(relay="well", api="well")
    supervised.await_told(2, "start")
    os.killpg(supervised.process.pid, signal.SIGINT)
    assert supervised.process.wait(PATIENCE) == 0
    assert [line.name for line in supervised.told("stop")] == ["api", "relay"]


def test_a_part_with_a_wrong_configuration_ends_everything(supervise: Supervise) -> None:
    supervised = supervise(relay="well", api="give_up")
    assert supervised.process.wait(PATIENCE) == os.EX_CONFIG
    assert len(supervised.told("start", "api")) == 1
    assert not any(is_alive(line.pid) for line in supervised.told("start"))


def test_an_error_of_the_tick_ends_everything(supervise: Supervise) -> None:
    supervised = supervise(relay="well")
    supervised.await_told(1, "start")
    supervised.file.with_suffix(".bad").touch()
    assert supervised.process.wait(PATIENCE) == 1
    assert len(supervised.told("stop", "relay")) == 1


def test_parts_end_when_their_supervisor_is_killed(supervise: Supervise) -> None:
    supervised = supervise(relay="well", api="worker")
    parts = supervised.await_told(2, "start")
    supervised.end(signal.SIGKILL)
    assert len(supervised.await_told(2, "stop")) == 2
    eventually(lambda: not any(is_alive(part.pid) for part in parts))
    os.kill(supervised.told("worker")[0].pid, signal.SIGKILL)


def test_a_second_signal_kills_what_has_not_ended(supervise: Supervise) -> None:
    supervised = supervise(relay="well", api="stubborn")
    supervised.await_told(2, "start")
    supervised.process.terminate()
    supervised.await_told(1, "stop", "api")
    assert supervised.process.poll() is None
    assert supervised.end() == 0
    assert not any(is_alive(line.pid) for line in supervised.told("start"))


def test_the_workers_of_a_part_end_with_it(supervise: Supervise) -> None:
    supervised = supervise(api="worker")
    part = supervised.await_told(1, "start")[0]
    os.kill(part.pid, signal.SIGKILL)
    supervised.await_told(2, "start")
    # it was killed by now, and may take a moment to go
    eventually(lambda: not is_alive(supervised.told("worker")[0].pid))
    assert supervised.end() == 0
    eventually(lambda: not is_alive(supervised.told("worker")[1].pid))


def test_a_part_that_makes_work_gives_way_to_the_others(supervise: Supervise) -> None:
    made = supervise(first="yielding", second="well")
    first, second = (made.await_told(1, "start", name)[0].pid for name in ("first", "second"))
    assert os.getpriority(os.PRIO_PROCESS, first) == os.getpriority(os.PRIO_PROCESS, second) + 5
    assert session_niceness(first) == session_niceness(second) + 5


def session_niceness(pid: int) -> int:
    """How far the session of a process gives way to others; that of the process, where sessions do not count."""
    told = Path(f"/proc/{pid}/autogroup")
    counts = told.exists() and Path("/proc/sys/kernel/sched_autogroup_enabled").read_text().strip() == "1"
    return int(told.read_text().split()[-1]) if counts else os.getpriority(os.PRIO_PROCESS, pid)
