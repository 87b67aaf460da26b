"""The command line, run on a prepared installation of its own."""

import contextlib
import io
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pytest
import structlog
from tests.conftest import PATIENCE

from calipso import credentials, settings
from calipso.__main__ import main
from calipso.backend import Backend
from calipso.bootstrap.databases import migrate
from calipso.events.envelope import Event

E = TypeVar("E", bound=Event)
Process = subprocess.Popen[str]


@dataclass(frozen=True, kw_only=True)
class Ended:
    """What a run of the command line left behind."""

    status: int
    out: str
    err: str


@dataclass(frozen=True, kw_only=True)
class Program:
    """The command line with the environment of an installation; `backend` is how tests look at what it stored."""

    environment: Mapping[str, str]
    backend: Backend

    def run(self, *arguments: str | Path) -> Ended:
        """Run it within this process."""
        return run(self.environment, *arguments)

    def start(self, *arguments: str | Path, stdin: int = subprocess.DEVNULL, stderr: int = subprocess.PIPE) -> Process:
        """Start it as a process of its own."""
        return subprocess.Popen(
            [sys.executable, "-m", "calipso", *map(str, arguments)],
            env={**os.environ, **self.environment},
            text=True,
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=stderr,
        )

    def piped(self, text: str, *arguments: str | Path) -> Ended:
        """Run it as a process of its own that reads a text."""
        process = self.start(*arguments, stdin=subprocess.PIPE)
        out, err = process.communicate(text, timeout=PATIENCE)
        return Ended(status=process.returncode, out=out, err=err)

    def stored(self, event_type: type[E]) -> list[E]:
        """All events of a type, oldest first."""
        found: list[E] = []
        after = 0
        while (page := self.backend.store.read(after=after, limit=1000)).last > after:
            found += [recorded.event for recorded in page.events if isinstance(recorded.event, event_type)]
            after = page.last
        return found


def run(environment: Mapping[str, str], *arguments: str | Path, stdin: str = "") -> Ended:
    """Run the command line within this process, with the settings of this environment."""
    out, err = io.StringIO(), io.StringIO()
    status: object = 0
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        for name in [name for name in os.environ if name.upper().startswith("CALIPSO_")]:
            patch.delenv(name)
        for name, value in environment.items():
            patch.setenv(name, value)
        patch.setattr(sys, "argv", ["calipso", *map(str, arguments)])
        patch.setattr(sys, "stdin", io.StringIO(stdin))
        try:
            main()
        except SystemExit as end:
            status = end.code
        finally:
            structlog.reset_defaults()
    return Ended(status=status if isinstance(status, int) else 0, out=out.getvalue(), err=err.getvalue())


@pytest.fixture
def program(make_database: Callable[[], str]) -> Iterator[Program]:
    """The command line of an installation of the test's own."""
    environment = {
        "CALIPSO_DATABASE_URL": make_database(),
        "CALIPSO_NATS_URL": "nats://127.0.0.1:9",
        "CALIPSO_MASTER_KEYS": credentials.generate_key_line(),
    }
    given = {name.removeprefix("CALIPSO_").lower(): value for name, value in environment.items()}
    backend = Backend(settings.load(**given))
    migrate(backend, make_guacamole=False)
    try:
        yield Program(environment=environment, backend=backend)
    finally:
        backend.close()
