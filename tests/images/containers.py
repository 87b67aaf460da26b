"""Containers started the way Calipso starts them: locked down, the secret in a file, ports on a private address."""

import io
import tarfile
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

import docker
from docker.models.containers import Container
from tests.conftest import PATIENCE

USER = 12345
LOCKED_DOWN: dict[str, Any] = {
    "user": f"{USER}:{USER}",
    "read_only": True,
    "cap_drop": ["ALL"],
    "security_opt": ["no-new-privileges"],
    "pids_limit": 512,
    "mem_limit": "1g",
    "memswap_limit": "1g",
    "tmpfs": {"/tmp": "mode=1777", "/run": "mode=755"},
    "volumes": ["/run/secrets"],
}


def create(engine: docker.DockerClient, image: str, *, password: str | None, **options: Any) -> Container:  # noqa: ANN401 - docker's own options
    """Create a container with the password, if any, in its secret file."""
    container = engine.containers.create(image, **(LOCKED_DOWN | options))
    if password is not None:
        container.put_archive("/run/secrets", _secret(password))
    return container


def wait_until(condition: Callable[[], bool], *, seconds: float = PATIENCE, every: float = 0.02) -> None:
    """Ask again and again, every so many seconds, until the answer is yes; fail after so many seconds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(every)


def wait_for_log(container: Container, text: str) -> None:
    """Wait until the container's log holds the text."""
    wait_until(lambda: text in log_of(container))


def log_of(container: Container) -> str:
    """Return everything that the container printed."""
    return bytes(container.logs()).decode()


def time_of_line(container: Container, text: str) -> datetime:
    """Wait for the line of the log that holds the text, and return when the engine had it."""
    wait_for_log(container, text)
    lines = bytes(container.logs(timestamps=True)).decode().splitlines()
    return time_of(next(line for line in lines if text in line).partition(" ")[0])


def time_of(told: str) -> datetime:
    """Read a time as the engine tells it, to the microsecond."""
    return datetime.fromisoformat(told[:26].rstrip("Z"))


def exit_code(container: Container) -> int:
    """Wait for the end of the container and return its exit code."""
    return int(container.wait(timeout=PATIENCE)["StatusCode"])


def address_of(container: Container, port: int) -> tuple[str, int]:
    """Return where the port of the container is published."""
    container.reload()
    published = container.ports[f"{port}/tcp"]
    assert published, f"port {port} is not published"
    return published[0]["HostIp"], int(published[0]["HostPort"])


def _secret(password: str) -> bytes:
    content = password.encode()
    entry = tarfile.TarInfo("vnc_password")
    entry.size, entry.uid, entry.gid, entry.mode = len(content), USER, USER, 0o400
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as file:
        file.addfile(entry, io.BytesIO(content))
    return archive.getvalue()
