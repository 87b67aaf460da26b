"""Runs the parts of an all-in-one installation as processes of their own, and ends them with itself.

No library: supervisord and circus want files and daemons of their own, honcho ends everything when one part ends, and
none of them lets the parts notice that it was killed.
"""

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import structlog

_log = structlog.get_logger()

PARENT_FD = "CALIPSO_PARENT_FD"
GRACE_SECONDS = 20.0
_TICK_SECONDS = 0.1
_SHORTEST_WAIT_SECONDS = 0.2
_LONGEST_WAIT_SECONDS = 10.0
_SETTLED_SECONDS = 30.0
_AUTOGROUP = Path("/proc/self/autogroup")
_ASKED = 50  # times, for as many parts may ask at once
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class _Part:
    """One part: its process, and when the next one is due."""

    def __init__(self, name: str, argv: Sequence[str]) -> None:
        self.name = name
        self._argv = argv
        self.process: subprocess.Popen[bytes] | None = None
        self._started_at = 0.0
        self._due_at = 0.0
        self._wait = _SHORTEST_WAIT_SECONDS

    def start_when_due(self, env: Mapping[str, str], parent_fd: int) -> None:
        now = time.monotonic()
        if self.process is None and now >= self._due_at:
            self._started_at = now
            # in a session of its own, a terminal's Ctrl-C doesn't reach it out of order
            self.process = subprocess.Popen(self._argv, env=env, pass_fds=(parent_fd,), start_new_session=True)  # noqa: S603

    def ended(self) -> int | None:
        """The status with which it ended since the last look; then the next start is planned."""
        status = None if self.process is None else self.process.poll()
        if self.process is None or status is None:
            return None
        self._kill_group()
        self.process = None
        now = time.monotonic()
        if now - self._started_at >= _SETTLED_SECONDS:
            self._wait = _SHORTEST_WAIT_SECONDS
        self._due_at = now + self._wait
        _log.warning("a part ended", part=self.name, status=status, again_in_seconds=self._wait)
        self._wait = min(2 * self._wait, _LONGEST_WAIT_SECONDS)
        return status

    def stop(self, is_hurried: Callable[[], bool]) -> None:
        """End it and wait for its end, by force after the grace or when there is a hurry."""
        if self.process is None:
            return
        self.process.terminate()
        deadline = time.monotonic() + GRACE_SECONDS
        while self.process.poll() is None:
            if time.monotonic() > deadline or is_hurried():
                _log.warning("a part is killed, it did not end in time", part=self.name)
                break
            time.sleep(_TICK_SECONDS / 5)
        self._kill_group()
        self.process.wait()
        self.process = None

    def _kill_group(self) -> None:
        """Kill it, or the worker processes that it left, which would keep its port."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)


class Supervisor:
    """Starts the parts in their order, starts again those that end, and stops them in the reverse order.

    A part that ends with status 78 (EX_CONFIG) cannot be helped by starting it again: it ends everything.

    Args:
        parts: the command line of each part by its name.
        env: what the parts have in their environment besides that of this process.
        on_tick: called about ten times a second while the parts run; must return soon. An error of it ends everything.
    """

    def __init__(
        self, parts: Mapping[str, Sequence[str]], env: Mapping[str, str], on_tick: Callable[[], None] = lambda: None
    ) -> None:
        self._parts = [_Part(name, argv) for name, argv in parts.items()]
        self._env = env
        self._on_tick = on_tick
        self._signals = 0

    def run(self) -> int:
        """Run the parts until SIGINT or SIGTERM comes; a second one kills what has not ended yet.

        Call it from the main thread, where signals arrive.

        Returns:
            0 when it was told to end, 78 when a part gave up.
        """
        self._signals = 0
        reads, writes = os.pipe()
        try:
            with _signals_to(self._count):
                return self._run(reads)
        finally:
            os.close(writes)  # kept until now: its end is what tells the parts that we are gone
            os.close(reads)

    def _run(self, parent_fd: int) -> int:
        env = {**os.environ, **self._env, PARENT_FD: str(parent_fd)}
        try:
            while not self._signals:
                for part in self._parts:
                    part.start_when_due(env, parent_fd)
                    if part.ended() == os.EX_CONFIG:
                        _log.error("a part gave up, so everything ends", part=part.name)
                        return os.EX_CONFIG
                self._on_tick()
                time.sleep(_TICK_SECONDS)
            return 0
        finally:
            for part in reversed(self._parts):
                part.stop(lambda: self._signals > 1)

    def _count(self, _number: int, _frame: FrameType | None) -> None:
        self._signals += 1


@contextmanager
def _signals_to(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    before = {number: signal.signal(number, handler) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)


def watch_parent(*, niceness: int = 0) -> None:
    """In a part: end this process when its supervisor is gone, in order if it can and by force after the grace.

    Does nothing in a process that no supervisor started. Call it once, before threads and worker processes are made.

    Args:
        niceness: how far this part gives way to those with less where processors are scarce, as `nice` has it.
    """
    given = os.environ.pop(PARENT_FD, None)
    if given is None:
        return
    if niceness:
        _give_way(niceness)
    # not for this process' own children, which would wait on it too
    os.set_inheritable(int(given), False)
    threading.Thread(target=_end_with_parent, args=(int(given),), name="watch-parent", daemon=True).start()


def _give_way(niceness: int) -> None:
    """Give way by a niceness, also to the parts in other sessions: Linux may share processors among sessions first."""
    os.nice(niceness)
    for _ in range(_ASKED):
        try:
            _AUTOGROUP.write_text(str(niceness))
        except BlockingIOError:  # the system takes one such word in a tenth of a second
            time.sleep(_TICK_SECONDS)
        except OSError:  # it has no such thing, or does not let us
            return
        else:
            return


def _end_with_parent(parent_fd: int) -> None:
    os.read(parent_fd, 1)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE_SECONDS)
    os.killpg(0, signal.SIGKILL)
