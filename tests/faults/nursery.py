"""Makes processes of the command line with crash points, by forking one that has read the whole program already.

So a process starts in an instant, and a whole matrix of crashes takes a minute. Orders come as lines of JSON on the
standard input; each is answered with the number of the new process.
"""

import ctypes
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Self

import psutil

from calipso.cli.main import app

# what processes import when they are called
_PARTS = ("cli.api", "cli.project", "cli.relay", "cli.provision", "runtimes.docker")
_PR_SET_PDEATHSIG = 1  # of <linux/prctl.h>: the signal for this process when its parent dies


class Nursery:
    """The process that makes the others; they die with it."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.nursery"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._made: list[int] = []

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(self, *_: object) -> None:
        """End all processes."""
        for pid in self._made:
            kill(pid)
        self._process.communicate()

    def make(self, name: str, arguments: Sequence[str], env: Mapping[str, str], folder: Path) -> int:
        """Start a process; gives its number.

        Args:
            name: of its points.
            arguments: what follows `calipso` on the command line.
            env: its settings.
            folder: where it finds and leaves its points, and its log.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        order = {"name": name, "arguments": arguments, "env": dict(env), "folder": str(folder)}
        self._process.stdin.write(f"{json.dumps(order)}\n")
        self._process.stdin.flush()
        self._made.append(int(self._process.stdout.readline()))
        return self._made[-1]


def kill(pid: int) -> None:
    """Kill a process of a nursery, if it lives."""
    try:
        psutil.Process(pid).kill()
    except psutil.NoSuchProcess:
        return


def _serve() -> None:
    """Fork for each order, in the nursery's own process."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for them
    for part in _PARTS:
        import_module(f"calipso.{part}")
    for line in sys.stdin:
        pid = os.fork()
        if not pid:
            _become(json.loads(line))
        sys.stdout.write(f"{pid}\n")
        sys.stdout.flush()


def _become(order: Mapping[str, Any]) -> None:
    """Be the process that was ordered; never returns."""
    from tests.faults.points import Points  # noqa: PLC0415 - wraps what only this process runs

    folder = Path(order["folder"])
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    log = os.open(folder / f"{order['name']}.log", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for old, new in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(old, new)
    os.environ.update(order["env"])
    Points(order["name"], folder / "reached", folder / "armed").lay()
    app(order["arguments"])


if __name__ == "__main__":
    _serve()
