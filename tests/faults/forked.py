"""An installation of one process of each kind, on the machine's own engine, that dies at crash points."""

import contextlib
import json
import socket
import threading
import time
import urllib.error
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.cookiejar import CookieJar
from pathlib import Path
from typing import Any
from urllib.request import HTTPCookieProcessor, Request, build_opener

import docker
import psutil
from tests.conftest import find_free_port, wait_until
from tests.faults.installation import DOCKER, PASSWORD, RUN_LIMIT, USERS, Installation
from tests.faults.nursery import Nursery, kill
from tests.faults.told import Told

USER = USERS[0]
_MACHINE = Path("/var/run/docker.sock")


class MachineEngine:
    """The machine's engine, of which one installation's containers are seen."""

    socket = _MACHINE

    def __init__(self) -> None:
        self.installation = ""

    def containers(self) -> list[dict[str, Any]]:
        """What the engine lists of the installation's containers, ended ones too."""
        label = f"calipso.installation={self.installation}"
        with contextlib.closing(docker.APIClient(f"unix://{self.socket}")) as client:
            listed: list[dict[str, Any]] = client.containers(all=True, filters={"label": label})
        return listed


class Forked(Installation):
    """One process each of api, relay, project and provision."""

    engine: MachineEngine

    def __init__(self, folder: Path, nursery: Nursery) -> None:
        super().__init__(folder, MachineEngine())
        self.told = Told()
        self._nursery = nursery
        self._port = find_free_port()
        self._arguments = {
            "api": ("api", "--port", str(self._port)),
            "relay": ("relay",),
            "project": ("project",),
            "provision": ("provision", DOCKER),
        }
        self._processes: dict[str, int] = {}
        self._browser = build_opener(HTTPCookieProcessor(CookieJar()))

    @contextmanager
    def running(self) -> Iterator["Forked"]:
        """Run everything for the time of the block."""
        with self.prepared():
            with self.backend() as backend:
                self.engine.installation = str(backend.installation.id)
            try:
                self.revive()
                wait_until(self._signs_in, "the API to sign somebody in")
                yield self
            finally:
                for pid in self._processes.values():
                    kill(pid)
                self._remove_all()

    def arm(self, point: str) -> None:
        """Let the process die that reaches the point next."""
        (self.folder / "armed").write_text(point)

    @property
    def is_armed(self) -> bool:
        """Whether the armed point was not reached yet."""
        return (self.folder / "armed").exists()

    def reached(self) -> Sequence[str]:
        """The points that were reached so far, in order."""
        return (self.folder / "reached").read_text().splitlines()

    def revive(self) -> bool:
        """Start what does not run; gives whether there was something."""
        dead = [name for name in self._arguments if not psutil.pid_exists(self._processes.get(name, 0) or -1)]
        for name in dead:
            env = self.environment(
                {database: self.postgres.url(database) for database in ("calipso", "guacamole")},
                nats=self.nats.url,
                docker=f"unix://{self.engine.socket}",
            )
            self._processes[name] = self._nursery.make(name, self._arguments[name], env, self.folder)
        return bool(dead)

    def ask(self, verb: str, *names: str) -> threading.Thread:
        """Ask for a run, stop or removal in a thread; what is answered is noted as told."""
        thread = threading.Thread(target=self._ask, args=(verb, names))
        self.told.in_hand += 1
        thread.start()
        return thread

    def _ask(self, verb: str, names: Sequence[str]) -> None:
        wait_until(self._listens, "the API to listen")
        noted = {"run": self.told.started, "stop": self.told.stopped, "rm": self.told.removed}[verb]
        try:
            noted.add(self._get(f"resource/{verb}/{USER}/{'/'.join(names)}/")["container_name"])
        except (OSError, urllib.error.URLError, ValueError) as error:
            self.told.operations[f"{verb}: {error!r}"] += 1
        finally:
            self.told.in_hand -= 1

    def _get(self, path: str) -> Any:  # noqa: ANN401 - JSON
        asked = Request(f"http://127.0.0.1:{self._port}/{path}")
        with self._browser.open(asked, timeout=RUN_LIMIT + 15) as answer:
            return json.load(answer)

    def _listens(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self._port), timeout=1):
            return True
        return False

    def _signs_in(self) -> bool:
        body = json.dumps({"username": USER, "password": PASSWORD}).encode()
        asked = Request(f"http://127.0.0.1:{self._port}/login/", body, {"Content-Type": "application/json"})
        with contextlib.suppress(OSError), self._browser.open(asked, timeout=10) as answer:
            return bool(answer.status == 200)
        time.sleep(0.1)
        return False

    def _remove_all(self) -> None:
        with contextlib.closing(docker.APIClient(f"unix://{self.engine.socket}")) as client:
            for container in self.engine.containers():
                client.remove_container(container["Id"], force=True, v=True)
            for network in client.networks(filters={"label": f"calipso.installation={self.engine.installation}"}):
                client.remove_network(network["Id"])
