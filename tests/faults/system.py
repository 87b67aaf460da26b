"""An installation of several processes on real servers, with a network of its own between them."""

import contextlib
import dataclasses
import itertools
import json
import secrets
import shutil
import tempfile
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

from tests.conftest import find_free_port, wait_until
from tests.faults.engine import Engine
from tests.faults.network import Network, Place
from tests.faults.processes import Process
from tests.faults.servers import NatsServer, PostgresServer

from calipso import bootstrap, settings
from calipso.backend import Backend
from calipso.commands.dispatch import cause_of
from calipso.commands.image import AddImage
from calipso.commands.user import RegisterUser
from calipso.credentials import generate_key_line
from calipso.events.user import Role
from calipso.events.values import ImageSpec, Protocol, Resources, Runtime

PASSWORD = secrets.token_urlsafe(12)
ADMINISTRATOR = "root"
USERS = ("ada", "bob", "cleo", "dan", "eve", "fay")
TINY = "calipso/tiny:1"
SMALL = Resources(millicores=250, memory=64 * 2**20, disk=2**30)
RUN_LIMIT = 30.0
_START_SECONDS = 90.0
# each image with its weight among what users run
IMAGES: Mapping[str, tuple[ImageSpec, int]] = {
    name: (ImageSpec(reference=reference, runtime=runtime, protocol=protocol, resources=SMALL), weight)
    for name, reference, runtime, protocol, weight in (
        ("tiny", TINY, Runtime.DOCKER, Protocol.HTTP, 5),
        ("desktop", f"{TINY}-vnc", Runtime.DOCKER, Protocol.VNC, 6),
        ("slow", f"{TINY}-slow", Runtime.DOCKER, Protocol.HTTP, 3),
        ("stubborn", f"{TINY}-stubborn", Runtime.DOCKER, Protocol.HTTP, 1),
        ("crash", f"{TINY}-crash", Runtime.DOCKER, Protocol.HTTP, 1),
        ("crash-later", f"{TINY}-crashlater", Runtime.DOCKER, Protocol.HTTP, 1),
        ("end-later", f"{TINY}-exit0later", Runtime.DOCKER, Protocol.HTTP, 1),
        ("absent", "calipso/absent:1", Runtime.DOCKER, Protocol.HTTP, 1),
        ("link", "https://example.org/", Runtime.STATIC_LINK, Protocol.NONE, 4),
    )
}
LOADED = tuple(sorted({spec.reference for spec, _ in IMAGES.values() if spec.reference.startswith(TINY)}))
DOCKER, LINKS = "docker", "links"
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


class System:
    """The processes, the servers, and the links between them.

    Args:
        folder: for everything; its path must be short.
        engine: where containers are made.
    """

    def __init__(self, folder: Path, engine: Engine) -> None:
        self.folder = folder
        self.engine = engine
        self.postgres = PostgresServer(folder)
        self.nats = NatsServer(folder)
        self.network = Network()
        self.processes: list[Process] = []
        self.urls: list[str] = []
        self._keys = folder / "master.key"
        self._roots = {"experiments_datasets_root": folder / "data", "experiments_output": folder / "results"}

    @contextmanager
    def running(self) -> Iterator["System"]:
        """Run everything for the time of the block."""
        try:
            self.postgres.start()
            self.nats.start()
            self._keys.write_text(generate_key_line())
            for root, name in itertools.product(self._roots.values(), USERS):
                (root / name).mkdir(parents=True)
            with self.backend() as backend:
                bootstrap.migrate(backend, make_guacamole=True)
                fill(backend)
            self.processes = [self._process(name, arguments) for name, arguments in PARTS]
            for process in self.processes:
                process.start()
            wait_until(self._is_well, "every part to be well", seconds=_START_SECONDS)
            yield self
        finally:
            for process in self.processes:
                process.kill()
            self.network.close()
            self.nats.stop()
            self.postgres.stop()

    @contextmanager
    def backend(self, guacamole: str = "guacamole") -> Iterator[Backend]:
        """The backend as the processes have it, but past all links.

        Args:
            guacamole: the database of Guacamole's tables.
        """
        made = Backend(
            settings.load(
                data=self.folder,
                database_url=self.postgres.url("calipso"),
                guacamole_database_url=self.postgres.url(guacamole),
                nats_url=self.nats.url,
                master_keys=settings.secret(self._keys.read_text()),
                targets=json.loads(self._targets(f"unix://{self.engine.socket}")),
                **self._rules,
            )
        )
        try:
            yield made
        finally:
            made.close()

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
        return all(_health(url) == "ok" for url in self.urls)

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
        docker = f"tcp://127.0.0.1:{ports.get('docker', 9)}"
        return {
            "CALIPSO_DATABASE_URL": _database(ports["postgres"], "calipso"),
            "CALIPSO_GUACAMOLE_DATABASE_URL": _database(ports["postgres"], "guacamole"),
            "CALIPSO_NATS_URL": f"{user}@127.0.0.1:{ports.get('nats', 9)}",
            "CALIPSO_MASTER_KEYS_FILE": str(self._keys),
            "CALIPSO_TARGETS": self._targets(docker),
            **{f"CALIPSO_{name.upper()}": str(value) for name, value in self._rules.items()},
        }

    @property
    def _rules(self) -> dict[str, Any]:
        return {
            **{name: str(root) for name, root in self._roots.items()},
            "run_limit": RUN_LIMIT,
            "stop_grace": 2,
            "reconcile_period": 3,
            "lost_grace": 1,
            "max_resources_per_user": 4,
        }

    def _targets(self, docker: str) -> str:
        return json.dumps(
            [
                {"name": DOCKER, "runtime": Runtime.DOCKER, "address": docker, "starts": 4},
                {"name": LINKS, "runtime": Runtime.STATIC_LINK},
            ]
        )


@contextmanager
def system() -> Iterator[System]:
    """A whole installation in a folder of its own, ended with the block."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cf-", dir="/tmp")))
        folder.chmod(0o755)
        engine = stack.enter_context(Engine(folder / "e").running(LOADED))
        yield stack.enter_context(System(folder, engine).running())


def fill(backend: Backend) -> None:
    """Add users and images."""
    naming = backend.installation.naming
    for name in (ADMINISTRATOR, *USERS):
        user_id = uuid4()
        roles = frozenset({Role.ADMINISTRATOR} if name == ADMINISTRATOR else ())
        command = RegisterUser(user_id=user_id, name_id=naming.user_name(name), name=name, roles=roles)
        backend.dispatcher.dispatch(command, cause_of("service:test"))
        backend.passwords.set(user_id, PASSWORD)
    for name, (spec, _) in IMAGES.items():
        placed = dataclasses.replace(spec, targets=(DOCKER if spec.runtime is Runtime.DOCKER else LINKS,))
        command_ = AddImage(image_id=naming.image(name), name=name, spec=placed)
        backend.dispatcher.dispatch(command_, cause_of("service:test"))


def _database(port: int, name: str) -> str:
    return f"postgresql://postgres@127.0.0.1:{port}/{name}?sslmode=disable&gssencmode=disable"


def _health(url: str) -> str:
    """What a process of the API says of the whole system; empty while it does not answer well."""
    asked = urllib.request.Request(f"{url}/health")  # noqa: S310 - an address of our own
    with contextlib.suppress(OSError), urllib.request.urlopen(asked, timeout=5) as answer:  # noqa: S310 - as above
        return str(json.load(answer)["status"])
    return ""
