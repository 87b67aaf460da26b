"""Servers as child processes that never outlive this process, and what is left of them when they are killed."""

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog

from calipso.embedded.account import Account, EmbeddedError

_log = structlog.get_logger()

_RELAUNCH_SECONDS = 1.0
_LOOK_SECONDS = 0.02


@dataclass(frozen=True, kw_only=True)
class Program:
    """A server, and how it is run.

    Args:
        name: how messages call it.
        argv: the program's path and its arguments.
        mark: stands in the command line of every process of this server, and of no other server of the program.
        folder: the working folder.
        log: the file that its output is appended to.
        ends_on: the signal for an orderly end, which the kernel sends as well when this process dies.
        forced_on: the signal for when that does not help.
        account: whom it runs as; None for the account of this process.
        before: what is done before each start, when no process of it is left.
    """

    name: str
    argv: Sequence[str]
    mark: str
    folder: Path
    log: Path
    ends_on: signal.Signals
    forced_on: signal.Signals
    account: Account | None = None
    before: Callable[[], None] = lambda: None


class Child:
    """The one running process of a program.

    The kernel ties it to the thread that started it: call from a thread that lives as long as the process.
    """

    def __init__(self, program: Program) -> None:
        self.program = program
        self._process: subprocess.Popen[bytes] | None = None
        self._launched_at = float("-inf")

    @property
    def is_alive(self) -> bool:
        """Whether the process runs, answering or not."""
        return self._process is not None and self._process.poll() is None

    def revive(self) -> None:
        """Start it unless it runs, was started just now, or processes of an earlier one still have to end."""
        if self.is_alive or time.monotonic() - self._launched_at < _RELAUNCH_SECONDS or end_remains(self.program):
            return
        if self._process is not None:
            _log.warning("started again", server=self.program.name, status=self._process.returncode)
        self._launch()

    def start(self, answers: Callable[[], bool], *, patience: float) -> None:
        """Start it and wait until it answers.

        Args:
            answers: whether the server is ready for work.
            patience: how long it may take, in seconds.

        Raises:
            EmbeddedError: it ended, or took too long.
        """
        self.await_end_of_remains(patience=patience)
        self._launch()
        deadline = time.monotonic() + patience
        while not answers():
            if not self.is_alive:
                raise EmbeddedError(f"{self.program.name} ended at its start; {self.last_words()}")
            if time.monotonic() > deadline:
                raise EmbeddedError(f"{self.program.name} does not answer after {patience:.0f} s; {self.last_words()}")
            time.sleep(_LOOK_SECONDS)

    def stop(self, *, patience: float) -> None:
        """End it and wait for its end, without order only after `patience` seconds."""
        if self._process is None:
            return
        for sign in (self.program.ends_on, self.program.forced_on):
            self._process.send_signal(sign)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(patience)
                break
        else:
            _log.error("does not end", server=self.program.name, pid=self._process.pid)
        self._process = None

    def await_end_of_remains(self, *, patience: float) -> None:
        """End what an earlier parent, now dead, left running.

        Raises:
            EmbeddedError: it did not end within `patience` seconds.
        """
        deadline = time.monotonic() + patience
        while pids := end_remains(self.program):
            if time.monotonic() > deadline:
                numbers = ", ".join(map(str, pids))
                raise EmbeddedError(f"an earlier {self.program.name} does not end: processes {numbers}")
            time.sleep(_LOOK_SECONDS)

    def last_words(self) -> str:
        """The end of its log, for an error message."""
        with contextlib.suppress(OSError):
            lines = self.program.log.read_text(errors="replace").splitlines()
            return f"the end of {self.program.log}:\n" + "\n".join(lines[-8:])
        return f"see {self.program.log}"

    def _launch(self) -> None:
        program = self.program
        program.before()
        program.log.touch(mode=0o600)
        with program.log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603
                tied(program.argv, ends_on=program.ends_on, account=program.account),
                cwd=program.folder,
                env=plain_environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # a terminal's Ctrl-C is for this process alone
            )
        self._launched_at = time.monotonic()


def tied(argv: Sequence[str], *, ends_on: signal.Signals, account: Account | None) -> list[str]:
    """The command line under which a program gets the signal `ends_on` as soon as its parent dies.

    It is `setpriv` of util-linux, because a function between fork and exec is unsafe in a process with threads.

    Raises:
        EmbeddedError: `setpriv` is missing.
    """
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        raise EmbeddedError("the program setpriv (Debian's package util-linux) is missing")
    whom = [] if account is None else [f"--reuid={account.uid}", f"--regid={account.gid}", "--clear-groups"]
    return [setpriv, f"--pdeathsig={ends_on.name.removeprefix('SIG')}", *whom, "--", *argv]


def plain_environment() -> dict[str, str]:
    """An environment without the settings, such as PGPORT or a locale that is not installed, that change servers."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"}


def end_remains(program: Program) -> list[int]:
    """Ask what is left of an earlier run to end, and tell its process ids; none when nothing is left.

    When the main process lives, it is asked alone and ends the others itself.
    """
    found = dict(_processes_of(program))
    mains = [pid for pid, is_main in found.items() if is_main]
    for pid in mains or found:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, program.ends_on if mains else signal.SIGTERM)
    return list(found)


def _processes_of(program: Program) -> Iterator[tuple[int, bool]]:
    """The living processes of a program, whoever started it, and whether each is the main one.

    Command lines are looked at, because all else of another account's process is hidden from root in a container.
    """
    name = Path(program.argv[0]).name
    for pid, words in _command_lines():
        if Path(words[0]).name == name and any(program.mark in word for word in words):
            yield pid, True
        elif words[0].startswith(f"{name}: ") and program.mark in words[0]:
            yield pid, False


def _command_lines() -> Iterator[tuple[int, list[str]]]:
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            yield int(path.parent.name), os.fsdecode(path.read_bytes()).split("\0")


def write_private(path: Path, text: str) -> None:
    """Write a file that only this account may read, whole or not at all."""
    new = path.with_name(f"{path.name}.new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
