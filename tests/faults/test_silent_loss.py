"""A machine that vanishes without a word, in a network of its own: both sides notice within seconds."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from tests.conftest import find_free_port, nats_server, wait_until
from tests.faults.engine import PATH, why_not
from tests.faults.network import Network
from tests.guacamole.databases import DEBIAN

from calipso.bus import Bus, connected
from calipso.database import Database
from calipso.errors import Unavailable

pytestmark = pytest.mark.slow
needs_machine = pytest.mark.skipif(
    bool(why_not()) or not DEBIAN.exists(), reason="needs root, ip and Debian's PostgreSQL 15"
)

NOTICED_SECONDS = 30


@dataclass(frozen=True, kw_only=True)
class Machine:
    """A network namespace, with one way to this machine."""

    name: str
    here: str

    def cut(self) -> None:
        """Lose everything that is on the way, and say nothing."""
        ip("link", "set", self.name, "down")


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], env={"PATH": PATH}, check=True)


@pytest.fixture
def machine() -> Iterator[Machine]:
    number = os.getpid() % 256
    # not one of the bridges of Calipso, from which nothing reaches this machine
    made = Machine(name=f"vanishes{number}", here=f"10.215.{number}.1")
    ip("netns", "add", made.name)
    try:
        ip("link", "add", made.name, "type", "veth", "peer", "name", "there", "netns", made.name)
        ip("address", "add", f"{made.here}/24", "dev", made.name)
        ip("link", "set", made.name, "up")
        ip("-n", made.name, "address", "add", f"10.215.{number}.2/24", "dev", "there")
        ip("-n", made.name, "link", "set", "there", "up")
        yield made
    finally:
        ip("netns", "delete", made.name)


@pytest.fixture
def url(machine: Machine) -> Iterator[str]:
    """The address of a PostgreSQL that the other machine reaches."""
    with tempfile.TemporaryDirectory(prefix="cs-", dir="/tmp") as folder:
        Path(folder).chmod(0o777)
        data, port = f"{folder}/data", find_free_port()
        initdb = [f"{DEBIAN / 'initdb'}", "--auth=trust", "--username=postgres", "--no-sync", f"--pgdata={data}"]
        subprocess.run(initdb, check=True, capture_output=True, user="postgres", cwd="/")
        with Path(data, "pg_hba.conf").open("a") as rules:
            rules.write("host all all 10.215.0.0/16 trust\n")
        options = ["-D", data, "-k", folder, "-h", machine.here, "-p", str(port), "-F"]
        process = subprocess.Popen(
            [DEBIAN / "postgres", *options],
            user="postgres",
            cwd="/",
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        found = f"postgresql://postgres@{machine.here}:{port}/postgres"
        try:
            wait_until(lambda: _answers(found), "PostgreSQL to answer")
            yield found
        finally:
            process.send_signal(signal.SIGINT)
            process.wait()


def _answers(url: str) -> bool:
    with contextlib.suppress(psycopg.OperationalError):
        psycopg.connect(url).close()
        return True
    return False


@contextlib.contextmanager
def holding(machine: Machine, url: str, how: str) -> Iterator[None]:
    """A process on the other machine that holds the lock named for how it does."""
    script = Path(__file__).with_name("lock_holder.py")
    process = subprocess.Popen(
        ["ip", "netns", "exec", machine.name, sys.executable, script, url, how, how],
        env={**os.environ, "PATH": PATH},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        yield
    finally:
        process.kill()
        process.communicate()


@needs_machine
@pytest.mark.docker
def test_locks_of_a_machine_that_vanished_are_free_within_seconds(machine: Machine, url: str) -> None:
    kinds = ("leads", "transaction")
    with contextlib.closing(Database(url)) as database, contextlib.ExitStack() as holders:
        for how in kinds:
            holders.enter_context(holding(machine, url, how))
        assert all(map(database.is_held, kinds))
        machine.cut()
        wait_until(lambda: not any(map(database.is_held, kinds)), "the locks to be free", seconds=NOTICED_SECONDS)


async def test_a_connection_to_nats_that_is_lost_silently_is_made_anew(tmp_path: Path, free_port: int) -> None:
    with nats_server(free_port, tmp_path / "nats"), contextlib.closing(Network()) as network:
        link = network.link("to NATS", ("127.0.0.1", free_port))
        async with connected(f"nats://127.0.0.1:{link.port}", "fac", name="test") as bus:
            await bus.ensure_streams()
            link.forget()
            async with asyncio.timeout(NOTICED_SECONDS):
                while not await answers(bus):
                    pass


async def answers(bus: Bus) -> bool:
    """Whether the server answers now."""
    with contextlib.suppress(Unavailable):
        await bus.tail()
        return True
    return False
