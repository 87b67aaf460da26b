"""An installation of many processes on one machine: replicas of the API, provisioners, and all else once."""

import json
import os
import secrets
import tempfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import psutil
from tests.conftest import find_free_port, wait_until
from tests.faults.installation import Installation
from tests.faults.processes import Process
from tests.faults.system import health_of
from tests.scale.world import KEY, DistantWorld

from calipso.backend import Backend
from calipso.commands.dispatch import cause_of
from calipso.commands.image import AddImage
from calipso.commands.user import RegisterUser
from calipso.events.values import ImageSpec, Protocol, Resources, Runtime

TARGET, IMAGE = "memory", "desktop"
LIMIT = 3  # containers of one user
_FILLERS = 4


@dataclass(frozen=True, kw_only=True)
class Size:
    """How many of each: replicas of the API, provisioners of the one target, and users."""

    replicas: int
    provisioners: int
    users: int


@dataclass(frozen=True, kw_only=True)
class Login:
    """A signed-in user."""

    name: str
    headers: Mapping[str, str]


class ScaledOut(Installation):
    """The servers, the world and the processes of one installation.

    Args:
        folder: for everything; its path must be short.
        size: how many of each.
    """

    engine: DistantWorld

    def __init__(self, folder: Path, size: Size) -> None:
        super().__init__(folder, DistantWorld(folder / "world.sock"))
        self.size = size
        self.processes: list[Process] = []
        self.urls: list[str] = []
        self.logins: list[Login] = []

    @contextmanager
    def running(self) -> Iterator["ScaledOut"]:
        """Run everything for the time of the block."""
        os.environ.setdefault(KEY, secrets.token_hex())
        with self.prepared():
            world = self._process("world", (str(self.engine.socket),), "tests.scale.world")
            try:
                world.start()
                wait_until(self.engine.socket.exists, "the world")
                self.processes = [world, *self._parts()]
                for process in self.processes[1:]:
                    process.start()
                wait_until(self._is_well, "every part to be well")
                yield self
            finally:
                for process in reversed(self.processes or [world]):
                    process.stop() if process is not world else process.kill()

    def fill(self, backend: Backend) -> None:
        """Add the image, and users that are signed in."""
        spec = ImageSpec(
            reference=f"memory/{IMAGE}",
            runtime=Runtime.DOCKER,
            protocol=Protocol.VNC,
            resources=Resources(millicores=100, memory=2**20, disk=2**20),
        )
        command = AddImage(image_id=backend.installation.naming.image(IMAGE), name=IMAGE, spec=spec)
        backend.dispatcher.dispatch(command, cause_of("service:test"))
        with ThreadPoolExecutor(_FILLERS) as pool:
            self.logins = list(pool.map(lambda number: _sign_up(backend, f"user{number}"), range(self.size.users)))

    def targets(self, address: str) -> str:
        """The one target."""
        memory = {"name": TARGET, "runtime": Runtime.DOCKER, "address": address, "starts": 60, "capacity": 100_000}
        return json.dumps([memory])

    @property
    def rules(self) -> dict[str, Any]:
        """Room for a burst; the target tells of ends by itself, and looks at all are for what it did not tell."""
        changed = {"max_resources_per_user": LIMIT, "run_limit": 600, "reconcile_period": 30, "log_level": "warning"}
        return {**super().rules, **changed}

    def cpu(self) -> dict[str, float]:
        """The processor time of each kind of process until now, in seconds."""
        used: dict[str, float] = {"load generator": _seconds(psutil.Process())}
        for process in self.processes:
            kind = process.name.partition("/")[0]
            used[kind] = used.get(kind, 0) + sum(_seconds(each) for each in process.tree)
        for child in psutil.Process().children():
            name = "postgres" if "postgres" in child.name() else "nats" if "nats" in child.name() else ""
            if name:
                used[name] = sum(_seconds(each) for each in (child, *child.children(recursive=True)))
        return used

    def memory(self) -> float:
        """What the processes of Calipso hold of the memory now, in megabytes."""
        ours = [each for process in self.processes if process.name != "world" for each in process.tree]
        return sum(_resident(each) for each in ours)

    def _parts(self) -> Iterator[Process]:
        for number in range(self.size.replicas):
            port = find_free_port()
            self.urls.append(f"http://127.0.0.1:{port}")
            yield self._process(f"api/{number}", ("api", "--port", str(port)))
        yield self._process("project/0", ("project",))
        yield self._process("relay/0", ("relay",))
        for number in range(self.size.provisioners):
            yield self._process(f"provision/{number}", (TARGET,), "tests.scale.provisioner")

    def _process(self, name: str, arguments: tuple[str, ...], program: str = "calipso") -> Process:
        databases = {each: self.postgres.url(each) for each in ("calipso", "guacamole")}
        env = {} if name == "world" else self.environment(databases, self.nats.url, f"unix://{self.engine.socket}")
        return Process(name, arguments, env, {}, self.folder / f"{name.replace('/', '-')}.log", program=program)

    def _is_well(self) -> bool:
        return all(health_of(url) == "ok" for url in self.urls)


@contextmanager
def scaled_out(size: Size) -> Iterator[ScaledOut]:
    """An installation in a folder of its own, ended with the block."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cs-", dir="/tmp")))
        folder.chmod(0o755)
        yield stack.enter_context(ScaledOut(folder, size).running())


def _sign_up(backend: Backend, name: str) -> Login:
    user_id = uuid4()
    command = RegisterUser(user_id=user_id, name_id=backend.installation.naming.user_name(name), name=name)
    backend.dispatcher.dispatch(command, cause_of("service:test"))
    key, login = backend.logins.open(user_id)
    return Login(name=name, headers={"Cookie": f"sessionid={key}", "X-CSRFToken": login.csrf_token})


def _seconds(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(times.user + times.system)


def _resident(process: psutil.Process) -> float:
    try:
        return float(process.memory_info().rss) / 2**20
    except psutil.NoSuchProcess:
        return 0.0
