"""A whole installation as its users see it: `calipso serve`, spoken to over HTTP and by the command line."""

import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
import psutil
from tests.cli.conftest import run
from tests.conftest import PATIENCE, find_free_port, wait_until

PASSWORD = secrets.token_urlsafe(12)


@dataclass(kw_only=True)
class System:
    """One installation.

    `folder` holds its data, the roots of session data and its log; `env` is added to the environment of its processes.
    """

    folder: Path
    port: int = field(default_factory=find_free_port)
    env: Mapping[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where its API answers."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def data(self) -> Path:
        """The folder of its embedded servers."""
        return self.folder / "d"

    @property
    def log(self) -> Path:
        """What its processes print."""
        return self.folder / "log"

    def start(self, *arguments: str) -> None:
        """Start it and wait for its `ready` line."""
        before = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "calipso", "serve", "--port", str(self.port), "--data", self.data, *arguments],
                env=self.environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        wait_until(lambda: self._said_ready(before), "the ready line")

    def stop(self, number: int = signal.SIGINT) -> int:
        """Ask it to end and wait for that; gives its exit status."""
        assert self.process is not None
        self.process.send_signal(number)
        status = self.process.wait(timeout=PATIENCE)
        self.process = None
        return status

    def kill(self) -> None:
        """Kill it without warning."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()
        self.process = None

    @property
    def environment(self) -> dict[str, str]:
        """The environment of its processes and of its command line."""
        return {
            **os.environ,
            "CALIPSO_RECONCILE_PERIOD": "2",
            "CALIPSO_RUN_LIMIT": str(PATIENCE),
            "CALIPSO_STOP_GRACE": "3",
            "CALIPSO_LOST_GRACE": "0.5",
            "CALIPSO_EXPERIMENTS_DATASETS_ROOT": str(self.folder / "datasets"),
            "CALIPSO_EXPERIMENTS_OUTPUT": str(self.folder / "results"),
            "CALIPSO_DEMO_PASSWORD": PASSWORD,
            **self.env,
        }

    def processes(self, part: str = "") -> Sequence[psutil.Process]:
        """Its living processes, those of one part (`api`, `provision docker-a`, `postgres`, ...) when named."""
        assert self.process is not None
        children = psutil.Process(self.process.pid).children(recursive=True)
        with contextlib.suppress(psutil.NoSuchProcess):
            return [child for child in children if part in " ".join(child.cmdline())]
        return self.processes(part)

    def kill_part(self, part: str) -> None:
        """Kill one part without warning; the system starts it again."""
        victims = self.processes(part)
        assert victims, f"no process of {part}"
        # of a server with children, such as PostgreSQL, the first is the parent of the others
        victims[0].kill()
        psutil.wait_procs([victims[0]])

    def command(self, *arguments: str, stdin: str = "") -> str:
        """Run the command line on it; gives what it printed."""
        result = subprocess.run(
            [sys.executable, "-m", "calipso", *arguments, "--data", self.data],
            env=self.environment,
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
        )
        assert result.returncode == 0, result.stderr
        return result.stdout

    def command_here(self, *arguments: str, stdin: str = "") -> None:
        """The same within this process, for what only prepares: a process of its own takes a second to begin."""
        ended = run(self.environment, *arguments, "--data", self.data, stdin=stdin)
        assert ended.status == 0, ended.err

    def addresses(self) -> dict[str, str]:
        """Where its embedded servers are."""
        found: dict[str, str] = json.loads((self.data / "run" / "addresses.json").read_text())
        return found

    def _said_ready(self, before: int) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, f"it ended: {self.log.read_text()[-3000:]}"
        return b"ready http" in self.log.read_bytes()[before:]


@contextmanager
def system(**env: str) -> Iterator[System]:
    """An installation in a folder of its own, ended with the block."""
    with tempfile.TemporaryDirectory(prefix="calipso-", dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        made = System(folder=Path(folder), env=env)
        try:
            yield made
        finally:
            if made.process is not None:
                made.stop()


class Client:
    """A signed-in user."""

    def __init__(self, session: aiohttp.ClientSession, name: str) -> None:
        self.session = session
        self.name = name

    async def get(self, path: str) -> tuple[int, Any]:
        """Status and JSON of a GET."""
        async with self.session.get(path) as answer:
            return answer.status, await answer.json(content_type=None)

    async def run(self, experiment: str, image: str) -> tuple[int, Any]:
        """Run an image."""
        return await self.get(f"/resource/run/{self.name}/{quote(experiment)}/{quote(image)}/")

    async def stop(self, container: Mapping[str, Any]) -> tuple[int, Any]:
        """Stop a container."""
        return await self.get(f"/resource/stop/{self.name}/{container['container_name']}/{container['public_name']}/")

    async def rm(self, container: Mapping[str, Any]) -> tuple[int, Any]:
        """Remove a container."""
        return await self.get(f"/resource/rm/{self.name}/{container['container_name']}/{container['public_name']}/")

    async def list(self) -> list[dict[str, Any]]:
        """The active containers."""
        status, answer = await self.get(f"/resource/list/{self.name}/")
        assert status == 200, answer
        rows: list[dict[str, Any]] = answer
        return rows

    async def used(self) -> dict[str, Any]:
        """The used quota."""
        status, answer = await self.get(f"/used_quota/{self.name}/")
        assert status == 200, answer
        used: dict[str, Any] = answer
        return used

    async def until_used(self, number: int) -> None:
        """Poll the used quota until so many containers are counted: the list may show an end before it does."""
        deadline = time.monotonic() + PATIENCE
        while (found := (await self.used())["max_simultaneous"]) != number:
            assert time.monotonic() < deadline, f"{found} containers are counted, not {number}"

    async def clear(self) -> None:
        """Remove every active container."""
        for container in await self.list():
            await self.rm(container)

    async def until(self, status: str, name: str, *, seconds: float = PATIENCE) -> None:
        """Poll the list until a container has a status; `gone` when it is not listed any more."""
        deadline = time.monotonic() + seconds
        while True:
            found = {row["container_name"]: row["container_status"] for row in await self.list()}
            if found.get(name, "gone") == status:
                return
            assert time.monotonic() < deadline, f"{name} is {found.get(name, 'gone')}, not {status}"


@asynccontextmanager
async def signed_in(made: System, name: str, password: str = PASSWORD) -> AsyncIterator[Client]:
    """A user signed in by cookie."""
    jar = aiohttp.CookieJar(unsafe=True)
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(
        made.url, cookie_jar=jar, timeout=aiohttp.ClientTimeout(), connector=connector
    ) as session:
        async with session.post("/login/", json={"username": name, "password": password}) as answer:
            assert answer.status == 200, await answer.text()
        yield Client(session, name)
