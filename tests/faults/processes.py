"""The processes of an installation, which are killed, paused and started again."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil
from tests.faults.network import Link

_PAUSE_SECONDS = 0.5  # before a process that ended by itself is started again


class Process:
    """One process of the command line.

    Args:
        name: for the report, such as `relay/1`.
        arguments: what follows `calipso` on the command line.
        env: its settings.
        links: its ways to the servers, by the name of the server.
        log: the file that it writes to.
        program: the module that is run.
    """

    def __init__(
        self,
        name: str,
        arguments: Sequence[str],
        env: Mapping[str, str],
        links: Mapping[str, Link],
        log: Path,
        *,
        program: str = "calipso",
    ) -> None:
        self.name = name
        self.links = links
        self.deaths = 0
        self._argv = [sys.executable, "-m", program, *arguments]
        self._env = env
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None
        self._due_at = 0.0

    @property
    def is_alive(self) -> bool:
        """Whether it runs, paused or not."""
        return self._process is not None and self._process.poll() is None

    @property
    def memory(self) -> int:
        """What it holds of the machine's memory, in bytes."""
        with contextlib.suppress(psutil.NoSuchProcess):
            return int(psutil.Process(self._process.pid).memory_info().rss) if self._process else 0
        return 0

    @property
    def tree(self) -> list[psutil.Process]:
        """The process and all below it."""
        with contextlib.suppress(psutil.NoSuchProcess):
            if self._process is not None:
                return [psutil.Process(self._process.pid), *psutil.Process(self._process.pid).children(recursive=True)]
        return []

    def start(self) -> None:
        """Start it; it is ready a moment later."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._argv, env={**os.environ, **self._env}, stdout=log, stderr=log, start_new_session=True
            )
        self._due_at = 0.0

    def revive(self) -> None:
        """Start it again when it ended by itself, as a supervisor does."""
        if self._process is None or self.is_alive:
            return
        if not self._due_at:
            self.deaths += 1
            self._due_at = time.monotonic() + _PAUSE_SECONDS
        elif time.monotonic() > self._due_at:
            self.start()

    def kill(self) -> None:
        """Kill it without warning."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """Ask it to end, and kill it when it does not."""
        self._end(signal.SIGTERM)

    def pause(self) -> None:
        """Let it stand still until `resume`."""
        self._send(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        self._send(signal.SIGCONT)

    def _send(self, number: int) -> None:
        if self._process is not None:
            self._process.send_signal(number)

    def _end(self, number: int) -> None:
        if self._process is None:
            return
        self._send(number)
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None
