"""Master keys change while the system runs: what is new comes under the new one, what was stays readable."""

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest
from tests.builders import container_requested, removal_requested, removed, stop_requested, stopped, uuid_of
from tests.cli.conftest import Program
from tests.conftest import wait_until
from tests.projections.rows import tell

from calipso import credentials, rotation, settings
from calipso.backend import Backend
from calipso.login_tokens import ProviderTokens
from calipso.vault import PostgresSubjectKeys

SEVERAL = 3
BOB = uuid_of("container of bob")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "master.keys"


@pytest.fixture
def kept(program: Program, file: Path) -> Program:
    """The command line with the keys in a file."""
    file.write_text(program.environment["CALIPSO_MASTER_KEYS"])
    file.chmod(0o640)
    environment = {name: value for name, value in program.environment.items() if name != "CALIPSO_MASTER_KEYS"}
    return replace(program, environment=environment | {"CALIPSO_MASTER_KEYS_FILE": str(file)})


@pytest.fixture
def running(kept: Program, file: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Backend]:
    """A process that began before the keys change."""
    monkeypatch.setenv("CALIPSO_MASTER_KEYS_FILE", str(file))
    given = {name.removeprefix("CALIPSO_").lower(): value for name, value in kept.environment.items()}
    del given["master_keys_file"]
    backend = Backend(settings.load(**given))
    assert backend.keys.current == 1
    yield backend
    backend.close()


def subject_keys(backend: Backend) -> PostgresSubjectKeys:
    """The keys of persons as a process without memory of them reads them."""
    return PostgresSubjectKeys(backend.database.connect, backend.keys)


def numbers(backend: Backend) -> set[int]:
    with backend.database.connect() as connection:
        return {row["key_number"] for row in connection.execute("SELECT key_number FROM subject_keys").fetchall()}


def test_a_running_process_takes_up_the_new_key(kept: Program, running: Backend, file: Path) -> None:
    subjects = [uuid4() for _ in range(SEVERAL)]
    before = {subject: subject_keys(running).make(subject) for subject in subjects}
    subject_keys(running).destroy(subjects[0])
    naming = running.installation.naming
    ended = kept.run("keys", "rotate")
    assert ended.status == 0, ended.err
    assert "key 2 is in use, after key 1" in ended.out
    assert "3 keys of persons are under key 2" in ended.out
    wait_until(lambda: running.keys.current == 2, "the new key to be taken up")
    assert numbers(running) == {2}
    after = {subject: subject_keys(running).of(subject) for subject in subjects}
    assert after == before | {subjects[0]: None}
    # the same names lead to the same streams
    del running.__dict__["installation"]
    assert running.installation.naming == naming
    assert file.stat().st_mode & 0o777 == 0o640
    assert len(file.read_text().splitlines()) == 2


def test_new_containers_and_no_old_ones_use_the_new_key(kept: Program, running: Backend) -> None:
    derived = credentials.guacamole_password(running.keys, 1, BOB)
    assert running.dispatcher._key_number() == 1
    assert kept.run("keys", "rotate").status == 0
    time.sleep(rotation.IN_USE_SECONDS)  # the promise is that it is taken up after this time
    assert running.dispatcher._key_number() == 2
    assert credentials.guacamole_password(running.keys, 1, BOB) == derived
    assert credentials.guacamole_password(running.keys, 2, BOB) != derived


def test_an_old_key_retires_when_nothing_is_under_it(kept: Program, running: Backend, file: Path) -> None:
    subject_keys(running).make(uuid4())
    user = uuid4()
    key, _ = running.logins.open(user)
    running.login_tokens.put(key, ProviderTokens(id_token="a-token"))
    assert kept.run("keys", "retire", "1").err.startswith("error: key 1: it is in use")
    assert kept.run("keys", "rotate").status == 0
    listed = kept.run("keys", "list").out.splitlines()
    assert listed == ["1: of before; 1 logins with tokens", "2: in use; 1 keys of persons"]
    refused = kept.run("keys", "retire", "1")
    assert (refused.status, refused.err) == (
        1,
        "error: key 1: 1 logins with tokens; it retires when nothing is under it\n",
    )
    assert running.login_tokens.find(key) == ProviderTokens(id_token="a-token")
    running.logins.close(key)
    retired = kept.run("keys", "retire", "1")
    assert (retired.status, retired.out) == (0, "key 1 is retired; processes forget it at their next start\n")
    assert file.read_text().startswith("2:")
    assert kept.run("keys", "retire", "7").status == 1
    # commands still work with what is left
    assert kept.run("users", "add", "ada").status == 0


def test_active_containers_hold_their_key(kept: Program, running: Backend) -> None:
    ended, active = (container_requested(uuid_of(word), key_number=1) for word in ("ended", "active"))
    with running.engine.begin() as connection:
        tell(connection, ended, active, stop_requested(ended), stopped(ended), removal_requested(ended), removed(ended))
    assert kept.run("keys", "rotate").status == 0
    assert "1 containers; it retires" in kept.run("keys", "retire", "1").err


def test_keys_from_elsewhere_are_brought_by_the_operator(program: Program) -> None:
    ended = program.run("keys", "rotate")
    assert ended.status == 78
    line = ended.err.strip().splitlines()[-1]
    assert credentials.parse_master_keys(line).newest == 2
    both = program.environment["CALIPSO_MASTER_KEYS"] + line
    brought = replace(program, environment={**program.environment, "CALIPSO_MASTER_KEYS": both})
    assert brought.run("keys", "list").out.splitlines() == [
        "1: in use; nothing is under it",
        "2: not in use yet; nothing is under it",
    ]
    assert "key 2 is in use, after key 1" in brought.run("keys", "rotate").out
    # a process without it says so and makes nothing
    told = program.run("users", "add", "ada")
    assert (told.status, told.err) == (
        1,
        "error: the master key is not available: number 2 is missing or another one\n",
    )


def test_no_key_is_ever_shown(kept: Program, file: Path) -> None:
    shown = [kept.run("keys", *words) for words in (("list",), ("rotate",), ("list",), ("retire", "1"))]
    for line in file.read_text().splitlines():
        assert all(line.partition(":")[2] not in ended.out + ended.err for ended in shown)
