"""Real servers for the tests: a private PostgreSQL for all of them, a database for each test that asks."""

import contextlib
import itertools
import os
import socket
import subprocess
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from random import randrange
from uuid import uuid4

import docker
import psycopg
import pytest
import structlog
from docker.errors import APIError, DockerException
from hypothesis import HealthCheck, settings

from calipso.embedded import Embedded

# a cluster is started once, whoever asks for it
pytest_plugins = ["tests.hurry", "tests.lanes", "tests.runtimes.cluster"]

# examples are made slowly while other tests keep the processors busy
settings.register_profile("calipso", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("calipso")

PATIENCE = 300.0
"""Seconds that anything may take; whoever waits goes on as soon as it has come."""

_BEGAN = datetime.now(UTC)
# each worker has its own, below those that the kernel gives to whoever wants any
_FIRST_PORT = 20_000 + 1000 * int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
_PORTS = itertools.islice(itertools.cycle(range(_FIRST_PORT, _FIRST_PORT + 1000)), randrange(1000), None)
_WITH_SERVERS = {
    "acceptance",
    "api",
    "attacks",
    "bus",
    "cli",
    "contract",
    "embedded",
    "entering",
    "guacamole",
    "images",
    "openid",
    "outside",
    "packaging",
    "portal",
    "providers",
    "proxies",
    "relay",
    "roles",
    "scale",
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark as `unit` what needs no server of any kind."""
    for item in items:
        folder = item.path.relative_to(Path(__file__).parent).parts[0]
        fixtures: list[str] = getattr(item, "fixturenames", [])
        needs = {"docker", "kubernetes", "libvirt", "mariadb", "slow"} & {mark.name for mark in item.iter_markers()}
        # a parameter may ask for PostgreSQL by name
        asks = "make_database" in fixtures or "postgres" in item.name
        if folder not in _WITH_SERVERS and not asks and not needs:
            item.add_marker(pytest.mark.unit)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Remove the networks that installations of these tests left on the engine, which has room for about thirty.

    Only those that were made meanwhile, and in which nothing runs: an engine refuses to remove any other.
    """
    # the other worker may be about to use one; what has workers has no tests of its own
    is_over = not hasattr(session.config, "workerinput")
    has_workers = bool(session.config.getoption("numprocesses", None))
    if not is_over or not (has_workers or any(item.get_closest_marker("docker") for item in session.items)):
        return
    with contextlib.suppress(DockerException), contextlib.closing(docker.from_env()) as engine:
        for network in engine.networks.list(filters={"label": "calipso.installation"}):
            if datetime.fromisoformat(network.attrs["Created"][:19]).replace(tzinfo=UTC) > _BEGAN:
                with contextlib.suppress(APIError):
                    network.remove()


@pytest.fixture(autouse=True)
def _logs_of_its_own() -> Iterator[None]:
    """What sets the logs up in this process binds them to a test's standard error: the next one has another."""
    yield
    structlog.reset_defaults()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The URL of a server where databases may be made: CALIPSO_TEST_DATABASE_URL, or a private one."""
    if given := os.environ.get("CALIPSO_TEST_DATABASE_URL"):
        yield given
        return
    # the socket lies in the folder, so its path must be short, and the server's own account must reach it
    with tempfile.TemporaryDirectory(prefix="calipso-pg-", dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        embedded = Embedded(Path(folder) / "data")
        try:
            yield embedded.start().database_url
        finally:
            embedded.stop()


@pytest.fixture(scope="session")
def make_database(postgres_server: str) -> Callable[[], str]:
    """Makes an empty database and gives its URL."""

    def make() -> str:
        name = f"test_{uuid4().hex}"
        with psycopg.connect(postgres_server, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        return psycopg.conninfo.make_conninfo(postgres_server, dbname=name)

    return make


@pytest.fixture
def database_url(make_database: Callable[[], str]) -> str:
    """The URL of an empty database of the test's own."""
    return make_database()


@pytest.fixture
def free_port() -> int:
    """A port that nobody uses now."""
    return find_free_port()


def find_free_port() -> int:
    """Find a port that nobody uses now."""
    return next(port for port in _PORTS if _is_free(port))


@contextmanager
def nats_server(port: int, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A NATS server with JetStream of the test's own, ended with the block."""
    program = Path(sysconfig.get_path("scripts")) / "nats-server"
    process = subprocess.Popen(
        [program, "-js", "-sd", folder, "-a", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until(lambda: _answers(port), "nats-server to answer")
        yield process
    finally:
        process.kill()
        process.wait()


def wait_until(condition: Callable[[], bool], what: str, *, seconds: float = PATIENCE) -> None:
    """Poll until a condition holds; fails naming what was awaited."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        time.sleep(0.01)


def _is_free(port: int) -> bool:
    with contextlib.suppress(OSError), socket.socket() as probe:
        probe.bind(("127.0.0.1", port))
        return True
    return False


def _answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False
