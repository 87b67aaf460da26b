"""Looks at what the Docker runtime makes, past the runtime."""

import io
import json
import tarfile
from typing import Any

from docker import APIClient
from tests.runtimes.binding import Reality
from tests.runtimes.orders import image

from calipso.events.values import Identity, ImageSpec, Protocol, Resources, Runtime
from calipso.runtimes.docker import DockerRuntime
from calipso.runtimes.protocol import Target

_SECRET_FILE = "/run/secrets/vnc_password"
_STRANGER = "calipso.test.stranger"


class DockerBinding:
    """Runtimes of one random installation, and everything that they and strangers made.

    Args:
        engine: the engine itself.
        address: its address.
        installation: the id, in place of `ours`.
    """

    slack = 0.0

    def __init__(self, engine: APIClient, address: str, installation: str) -> None:
        self.engine = engine
        self.installation = installation
        self.address = address
        self._runtimes: list[DockerRuntime] = []

    def runtime(self, target: str = "here", installation: str = "ours", **options: Any) -> DockerRuntime:  # noqa: ANN401 - the runtime's own
        place = Target(name=target, runtime=Runtime.DOCKER, address=self.address)
        return self.made(place, f"{installation}-{self.installation}", **options)

    def made(self, target: Target, installation: str = "", **options: Any) -> DockerRuntime:  # noqa: ANN401 - the runtime's own
        made = DockerRuntime(target, installation=installation or self.installation, facility="test", **options)
        self._runtimes.append(made)
        return made

    def away(self) -> DockerRuntime:
        return self.made(Target(name="nowhere", runtime=Runtime.DOCKER, address="tcp://127.0.0.1:1"))

    def image(self, name: str, protocol: Protocol = Protocol.HTTP, *, logs_er: str = "") -> ImageSpec:
        references = {"tiny": "calipso/tiny:1", "missing": "calipso/missing:1"}
        return image(references.get(name, f"calipso/tiny:1-{name}"), protocol, logs_er=logs_er)

    def kill(self, name: str) -> None:
        self.engine.kill(name)

    def lose(self, name: str) -> None:
        self.engine.remove_container(name, force=True, v=True)

    def occupy(self, name: str) -> None:
        labels = {_STRANGER: self.installation}
        self.engine.start(self.engine.create_container("calipso/tiny:1", name=name, labels=labels)["Id"])

    def is_occupied(self, name: str) -> bool:
        found = self.inspect(name)
        return _STRANGER in found["Config"]["Labels"] and bool(found["State"]["Running"])

    def inspect(self, name: str) -> Any:  # noqa: ANN401 - the engine's answer
        return self.engine.inspect_container(name)

    def reality(self, name: str) -> Reality:
        found = self.inspect(name)
        host = found["HostConfig"]
        secret, reader = self._secret(name)
        uid, gid, groups = (self.run(name, f"id {flag}").split() for flag in ("-u", "-g", "-G"))
        return Reality(
            identity=Identity(uid=int(uid[0]), gid=int(gid[0]), groups=tuple(int(g) for g in groups if g != gid[0])),
            account=self.run(name, "id -un").strip(),
            resources=Resources(millicores=_millicores(host), memory=host["Memory"]),
            workdir=self.run(name, "pwd").strip(),
            secret=secret,
            secret_reader=reader,
            told=json.dumps(found) + self.engine.logs(name).decode() + self.run(name, "env"),
        )

    def can_write(self, name: str, folder: str) -> bool:
        self.run(name, f"ls {folder}")
        return self._run(name, f"touch {folder}/written")[0] == 0

    def run(self, name: str, command: str) -> str:
        """What a command prints in a container; it must succeed."""
        status, output = self._run(name, command)
        assert status == 0, output
        return output

    def close(self) -> None:
        """Remove what was made with this binding, and nothing else."""
        for runtime in self._runtimes:
            runtime.close()
        labels = [f"calipso.installation={who}{self.installation}" for who in ("", "ours-", "theirs-")]
        for label in (*labels, f"{_STRANGER}={self.installation}"):
            for item in self.engine.containers(all=True, filters={"label": label}):
                self.engine.remove_container(item["Id"], force=True, v=True)
            for network in self.engine.networks(filters={"label": label}):
                self.engine.remove_network(network["Id"])

    def _run(self, name: str, command: str) -> tuple[int, str]:
        made = self.engine.exec_create(name, command)["Id"]
        output: bytes = self.engine.exec_start(made)
        return int(self.engine.exec_inspect(made)["ExitCode"]), output.decode()

    def _secret(self, name: str) -> tuple[str, int]:
        if not any(mount["Destination"] == "/run/secrets" for mount in self.inspect(name)["Mounts"]):
            return "", 0
        chunks, _ = self.engine.get_archive(name, _SECRET_FILE)
        with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as archive:
            entry = archive.next()
            assert entry is not None
            assert entry.mode & 0o777 == 0o400
            content = archive.extractfile(entry)
            assert content is not None
            return content.read().decode(), entry.uid


def _millicores(host: dict[str, int]) -> int:
    if not host["CpuPeriod"]:
        return host["NanoCpus"] // 10**6
    return round(1000 * host["CpuQuota"] / host["CpuPeriod"])
