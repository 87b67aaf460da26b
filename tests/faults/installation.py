"""The servers of an installation of a test's own, with a small facility in it, and its settings."""

import dataclasses
import itertools
import json
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

from tests.faults.servers import NatsServer, PostgresServer

from calipso import settings
from calipso.backend import Backend
from calipso.bootstrap import databases
from calipso.commands.dispatch import cause_of
from calipso.commands.image import AddImage
from calipso.commands.user import RegisterUser
from calipso.credentials import generate_key_line
from calipso.events import values
from calipso.events.user import Role
from calipso.events.values import ImageSpec, Resources, Runtime

PASSWORD = secrets.token_urlsafe(12)
ADMINISTRATOR = "root"
USERS = ("ada", "bob", "cleo", "dan", "eve", "fay")
TINY = "calipso/tiny:1"
SMALL = Resources(millicores=250, memory=64 * 2**20, disk=2**30)
RUN_LIMIT = 30.0
# each image with its weight among what users run
IMAGES: Mapping[str, tuple[ImageSpec, int]] = {
    name: (ImageSpec(reference=reference, runtime=runtime, protocol=protocol, resources=SMALL), weight)
    for name, reference, runtime, protocol, weight in (
        ("tiny", TINY, Runtime.DOCKER, values.Protocol.HTTP, 5),
        ("desktop", f"{TINY}-vnc", Runtime.DOCKER, values.Protocol.VNC, 6),
        ("slow", f"{TINY}-slow", Runtime.DOCKER, values.Protocol.HTTP, 3),
        ("stubborn", f"{TINY}-stubborn", Runtime.DOCKER, values.Protocol.HTTP, 1),
        ("crash", f"{TINY}-crash", Runtime.DOCKER, values.Protocol.HTTP, 1),
        ("crash-later", f"{TINY}-crashlater", Runtime.DOCKER, values.Protocol.HTTP, 1),
        ("end-later", f"{TINY}-exit0later", Runtime.DOCKER, values.Protocol.HTTP, 1),
        ("absent", "calipso/absent:1", Runtime.DOCKER, values.Protocol.HTTP, 1),
        ("link", "https://example.org/", Runtime.STATIC_LINK, values.Protocol.NONE, 4),
    )
}
LOADED = tuple(sorted({spec.reference for spec, _ in IMAGES.values() if spec.reference.startswith(TINY)}))
DOCKER, LINKS = "docker", "links"


class World(Protocol):
    """An engine that makes containers, seen past the installation."""

    socket: Path

    def containers(self) -> list[dict[str, Any]]:
        """What the engine lists of the installation's containers, ended ones too."""


class Installation:
    """PostgreSQL, NATS, keys and folders of one installation.

    Args:
        folder: for everything; its path must be short.
        engine: where containers are made.
    """

    def __init__(self, folder: Path, engine: World) -> None:
        self.folder = folder
        self.engine = engine
        self.postgres = PostgresServer(folder)
        self.nats = NatsServer(folder)
        self._keys = folder / "master.key"
        self._roots = {"experiments_datasets_root": folder / "data", "experiments_output": folder / "results"}

    @contextmanager
    def prepared(self) -> Iterator[None]:
        """Run the servers for the time of the block, with users and images."""
        try:
            self.postgres.start()
            self.nats.start()
            self._keys.write_text(generate_key_line())
            with self.backend() as backend:
                databases.migrate(backend, make_guacamole=True)
                self.fill(backend)
            yield
        finally:
            self.nats.stop()
            self.postgres.stop()

    def fill(self, backend: Backend) -> None:
        """Add users with their folders, and images."""
        for root, name in itertools.product(self._roots.values(), USERS):
            (root / name).mkdir(parents=True)
        fill(backend)

    def targets(self, address: str) -> str:
        """The setting of this name, with the address of the engine."""
        docker = {"name": DOCKER, "runtime": Runtime.DOCKER, "address": address, "starts": 4}
        return json.dumps([docker, {"name": LINKS, "runtime": Runtime.STATIC_LINK}])

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
                targets=json.loads(self.targets(f"unix://{self.engine.socket}")),
                **self.rules,
            )
        )
        try:
            yield made
        finally:
            made.close()

    def environment(self, database: Mapping[str, str], nats: str, docker: str) -> dict[str, str]:
        """The settings of a process.

        Args:
            database: the address of each database by its name.
            nats: the address of NATS.
            docker: the address of the engine.
        """
        return {
            "CALIPSO_DATABASE_URL": database["calipso"],
            "CALIPSO_GUACAMOLE_DATABASE_URL": database["guacamole"],
            "CALIPSO_NATS_URL": nats,
            "CALIPSO_MASTER_KEYS_FILE": str(self._keys),
            "CALIPSO_TARGETS": self.targets(docker),
            **{f"CALIPSO_{name.upper()}": str(value) for name, value in self.rules.items()},
        }

    @property
    def rules(self) -> dict[str, Any]:
        """All other settings, by their names."""
        return {
            **{name: str(root) for name, root in self._roots.items()},
            "run_limit": RUN_LIMIT,
            "stop_grace": 2,
            "reconcile_period": 3,
            "lost_grace": 1,
            "max_resources_per_user": 4,
        }


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
