"""An installation of several processes, with a network of its own between them and the servers."""

import contextlib
import json
import shutil
import tempfile
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.conftest import find_free_port, wait_until
from tests.faults.engine import Engine
from tests.faults.installation import DOCKER, LINKS, LOADED, Installation
from tests.faults.network import Network, Place
from tests.faults.processes import Process

PARTS: Sequence[tuple[str, tuple[str, ...]]] = (
    ("api/0", ("api",)),
    ("api/1", ("api",)),
    ("relay/0", ("relay",)),
    ("relay/1", ("relay",)),
    ("project/0", ("project",)),
    ("project/1", ("project",)),
    ("provision/0", ("provision", DOCKER)),
    ("provision/1", ("provision", DOCKER)),
    ("provision/links", ("provision", LINKS)),
)
_SPOKEN_TO = {"api": ("postgres",), "project": ("postgres",), "relay": ("postgres", "nats")}


class System(Installation):
    """The processes, the servers, and the links between them.

    Args:
        folder: for everything; its path must be short.
        engine: where containers are made.
    """

    engine: Engine

    def __init__(self, folder: Path, engine: Engine) -> None:
        super().__init__(folder, engine)
        self.network = Network()
        self.processes: list[Process] = []
        self.urls: list[str] = []

    @contextmanager
    def running(self) -> Iterator["System"]:
        """Run everything for the time of the block."""
        with self.prepared():
            try:
                self.processes = [self._process(name, arguments) for name, arguments in PARTS]
                for process in self.processes:
                    process.start()
                wait_until(self._is_well, "every part to be well")
                yield self
            finally:
                for process in self.processes:
                    process.kill()
                self.network.close()

    def revive(self) -> None:
        """Start again what ended by itself."""
        for process in self.processes:
            process.revive()

    def copy_logs(self, folder: Path) -> None:
        """Copy what all processes and servers wrote."""
        folder.mkdir(parents=True, exist_ok=True)
        for log in (*self.folder.glob("*.log"), self.engine.log):
            shutil.copy(log, folder)

    def _is_well(self) -> bool:
        return all(health_of(url) == "ok" for url in self.urls)

    def _process(self, name: str, arguments: tuple[str, ...]) -> Process:
        behind: dict[str, Place] = {
            "postgres": self.postgres.socket,
            "nats": self.nats.place,
            "docker": self.engine.socket,
        }
        kind = arguments[0]
        links = {s: self.network.link(f"{name} to {s}", behind[s]) for s in _SPOKEN_TO.get(kind, behind)}
        if kind == "api":
            port = find_free_port()
            self.urls.append(f"http://127.0.0.1:{port}")
            arguments = (*arguments, "--port", str(port))
        ports = {server: link.port for server, link in links.items()}
        return Process(name, arguments, self._env(ports), links, self.folder / f"{name.replace('/', '-')}.log")

    def _env(self, ports: Mapping[str, int]) -> dict[str, str]:
        user, _, _ = self.nats.url.rpartition("@")
        return self.environment(
            {name: _database(ports["postgres"], name) for name in ("calipso", "guacamole")},
            nats=f"{user}@127.0.0.1:{ports.get('nats', 9)}",
            docker=f"tcp://127.0.0.1:{ports.get('docker', 9)}",
        )


@contextmanager
def system() -> Iterator[System]:
    """A whole installation in a folder of its own, ended with the block."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cf-", dir="/tmp")))
        folder.chmod(0o755)
        engine = stack.enter_context(Engine(folder / "e").running(LOADED))
        yield stack.enter_context(System(folder, engine).running())


def _database(port: int, name: str) -> str:
    return f"postgresql://postgres@127.0.0.1:{port}/{name}?sslmode=disable&gssencmode=disable"


def health_of(url: str) -> str:
    """What a process of the API says of the whole system; empty while it does not answer well."""
    asked = urllib.request.Request(f"{url}/health")  # noqa: S310 - an address of our own
    with contextlib.suppress(OSError), urllib.request.urlopen(asked, timeout=5) as answer:  # noqa: S310 - as above
        return str(json.load(answer)["status"])
    return ""
