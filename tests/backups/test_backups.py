"""Backups are whole, made while others write, checked, and go into empty systems of any PostgreSQL only."""

import contextlib
import json
import shutil
import threading
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from sqlalchemy import select
from tests.builders import (
    container_requested,
    experiment_added,
    image_added,
    member_added,
    quota_released,
    quota_reserved,
    role_granted,
    started,
)
from tests.cli.conftest import Ended, Program, program, run
from tests.erasure.stores import rows

from calipso import credentials, settings
from calipso.backend import Backend
from calipso.backups import NOT_IN_BACKUPS, TABLES
from calipso.bootstrap.databases import migrate
from calipso.commands.dispatch import cause_of
from calipso.commands.handling import QUOTA, USER, USER_NAME
from calipso.erasures import Erasures
from calipso.events.envelope import Event
from calipso.events.naming import quota_stream
from calipso.projections.users import users

__all__ = ["program"]


@pytest.fixture(autouse=True)
def _no_bus(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is none, so nobody should wait for it."""
    monkeypatch.setattr("calipso.bootstrap.relaying._PATIENCE_SECONDS", 0.1)


@pytest.fixture
def office(program: Program, tmp_path: Path) -> Program:
    """An installation with a few people and their things."""
    office = replace(program, environment={**program.environment, "CALIPSO_BACKUPS": str(tmp_path / "backups")})
    for name in ("ada", "bob"):
        assert office.run("users", "add", name, "--uid", "4711").status == 0
    backend = office.backend
    backend.passwords.set(id_of(backend, "ada"), "secret\twith\nodd \\ characters\u2603")
    backend.logins.open(id_of(backend, "ada"))
    backend.sign_in_attempts.count("eve", "192.0.2.1")
    backend.sign_in_flows.begin("a flow\nof two lines")
    ada = id_of(backend, "ada")
    store(backend, image_added(), experiment_added("P1"), member_added("P1", ada), container_requested(uuid4(), ada))
    return office


def store(backend: Backend, *events: Event) -> None:
    backend.store.append(events, expected={}, cause=cause_of("service:test"))


def id_of(backend: Backend, name: str) -> UUID:
    found = backend.dispatcher.state(USER_NAME, backend.installation.naming.user_name(name))
    assert found is not None
    return found


@dataclass(frozen=True)
class Place:
    """An empty database, and the settings that name it."""

    environment: Mapping[str, str]

    def run(self, *arguments: str | Path) -> Ended:
        return run(self.environment, *arguments)

    @contextlib.contextmanager
    def backend(self) -> Iterator[Backend]:
        given = {name.removeprefix("CALIPSO_").lower(): value for name, value in self.environment.items()}
        with contextlib.closing(Backend(settings.load(**given))) as backend:
            yield backend


@pytest.fixture
def empty(office: Program, make_database: Callable[[], str]) -> Place:
    """Where the installation can be restored: with its master keys, and without its database."""
    return Place({**office.environment, "CALIPSO_DATABASE_URL": make_database()})


def backed_up(office: Program, tmp_path: Path, name: str = "one.zip") -> Path:
    file = tmp_path / "backups" / name
    ended = office.run("backup", file)
    assert (ended.status, ended.err) == (0, "")
    return file


def content(url: str) -> dict[str, list[Any]]:
    """Every row of every table that backups hold."""
    with psycopg.connect(url) as connection:
        return {t: connection.execute(f"SELECT * FROM {t} ORDER BY {k}").fetchall() for t, k in TABLES.items()}  # noqa: S608


def test_every_table_is_in_backups_or_made_anew(office: Program) -> None:
    with psycopg.connect(office.environment["CALIPSO_DATABASE_URL"]) as connection:
        found = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
    assert {row[0] for row in found} == TABLES.keys() | NOT_IN_BACKUPS


def test_what_is_restored_is_what_was_there(office: Program, empty: Place, tmp_path: Path) -> None:
    file = backed_up(office, tmp_path)
    assert file.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in file.parent.iterdir()] == [file.name]
    ended = empty.run("restore", file)
    assert (ended.status, "error" in ended.err.lower().replace("connectionrefusederror", "")) == (0, False)
    assert content(empty.environment["CALIPSO_DATABASE_URL"]) == content(office.environment["CALIPSO_DATABASE_URL"])
    with empty.backend() as backend:
        head = office.backend.store.head()
        assert backend.store.head() == head
        assert backend.installation == office.backend.installation
        assert backend.passwords.verify(id_of(backend, "ada"), "secret\twith\nodd \\ characters\u2603")
        with backend.engine.connect() as connection:
            assert [row.name for row in connection.execute(select(users).order_by(users.c.id))] == ["ada", "bob"]
        store(backend, role_granted(id_of(backend, "ada")))
        assert backend.store.head() == head + 1


def test_positions_that_others_know_are_not_given_again(office: Program, empty: Place, tmp_path: Path) -> None:
    file, url = backed_up(office, tmp_path), office.environment["CALIPSO_DATABASE_URL"]
    # as when attempts had taken positions and come to nothing
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SELECT setval('stored_events_notification_id_seq', 500)")
    later = backed_up(office, tmp_path, "later.zip")
    assert empty.run("restore", later).status == 0
    with empty.backend() as backend:
        store(backend, role_granted(id_of(backend, "ada")))
        assert backend.store.head() == 501
    assert json.loads(zipfile.ZipFile(file).read("manifest.json"))["sequence"] < 500


def test_a_backup_is_one_moment_while_others_write(office: Program, empty: Place, tmp_path: Path) -> None:
    ended, files = threading.Event(), []

    def write() -> None:
        while not ended.is_set():
            store(office.backend, role_granted(uuid4()), role_granted(uuid4()))

    writers = [threading.Thread(target=write) for _ in range(3)]
    for writer in writers:
        writer.start()
    try:
        files = [backed_up(office, tmp_path, f"{number}.zip") for number in range(3)]
    finally:
        ended.set()
        for writer in writers:
            writer.join()
    heads = [json.loads(zipfile.ZipFile(file).read("manifest.json"))["head"] for file in files]
    assert heads == sorted(set(heads))
    assert empty.run("restore", files[1]).status == 0
    with empty.backend() as backend:
        restored = [(r.position, r.id) for r in backend.store.read(after=0, limit=1_000_000).events]
    whole = [(r.position, r.id) for r in office.backend.store.read(after=0, limit=1_000_000).events]
    assert restored == whole[: len(restored)]
    assert restored[-1][0] == heads[1]


def test_only_an_empty_system_is_restored_into(office: Program, empty: Place, tmp_path: Path) -> None:
    file = backed_up(office, tmp_path)
    before = content(office.environment["CALIPSO_DATABASE_URL"])
    office.backend.close()
    ended = office.run("restore", file)
    assert (ended.status, "this system is not empty" in ended.err) == (1, True)
    assert content(office.environment["CALIPSO_DATABASE_URL"]) == before
    assert empty.run("restore", file).status == 0
    assert empty.run("restore", file).status == 1


def test_nothing_is_restored_under_running_processes(
    office: Program, empty: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = backed_up(office, tmp_path)
    monkeypatch.setattr("calipso.backups.filling._CLOSING_SECONDS", 0.2)
    with empty.backend() as backend:
        migrate(backend, make_guacamole=False)
        ended = empty.run("restore", file)
    assert (ended.status, "stop them first" in ended.err) == (1, True)
    assert content(empty.environment["CALIPSO_DATABASE_URL"])["stored_events"] == []
    monkeypatch.undo()
    assert empty.run("restore", file).status == 0


def test_another_master_key_restores_nothing(office: Program, empty: Place, tmp_path: Path) -> None:
    file = backed_up(office, tmp_path)
    other = Place({**empty.environment, "CALIPSO_MASTER_KEYS": credentials.generate_key_line()})
    ended = other.run("restore", file)
    assert (ended.status, "the master key is not available" in ended.err) == (1, True)
    assert content(empty.environment["CALIPSO_DATABASE_URL"])["stored_events"] == []
    assert empty.run("restore", file).status == 0


def damage_a_byte(file: Path) -> None:
    raw = bytearray(file.read_bytes())
    raw[len(raw) // 3] ^= 1
    file.write_bytes(raw)


def cut_short(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-400])


def leave_out_a_row(file: Path) -> None:
    with zipfile.ZipFile(file) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members["stored_events.copy"] = members["stored_events.copy"].split(b"\n", 1)[1]
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)


def make_it_something_else(file: Path) -> None:
    file.write_text("not a backup")


def make_it_another_archive(file: Path) -> None:
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("manifest.json", '{"format": "x"}')


DAMAGES = (damage_a_byte, cut_short, leave_out_a_row, make_it_something_else, make_it_another_archive)


def test_a_damaged_backup_is_told_and_changes_nothing(office: Program, empty: Place, tmp_path: Path) -> None:
    whole = backed_up(office, tmp_path)
    assert "the backup is whole" in office.run("restore", whole, "--check").out
    for damage in DAMAGES:
        file = whole.with_name(f"{damage.__name__}.zip")
        shutil.copy(whole, file)
        damage(file)
        for arguments in (("restore", file, "--check"), ("restore", file)):
            ended = empty.run(*arguments)
            assert (ended.status, "error: backup:" in ended.err) == (1, True), ended
    assert empty.run("restore", whole).status == 0


def test_a_backup_of_a_newer_program_is_told(office: Program, empty: Place, tmp_path: Path) -> None:
    file = backed_up(office, tmp_path)
    with zipfile.ZipFile(file) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    manifest = json.loads(members["manifest.json"])
    manifest["tables"]["logins"]["columns"].append("from_the_future")
    members["manifest.json"] = json.dumps(manifest).encode()
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    ended = empty.run("restore", file)
    assert (ended.status, "made by a newer version of Calipso" in ended.err) == (1, True)


def test_a_backup_takes_no_other_files_place(office: Program, tmp_path: Path) -> None:
    file = backed_up(office, tmp_path)
    before = file.read_bytes()
    assert "exists already" in office.run("backup", file).err
    assert file.read_bytes() == before
    assert office.run("backup").status == 0
    assert len(list(file.parent.glob("calipso-*.zip"))) == 1
    full = office.run("backup", "/dev/null/x.zip")
    assert (full.status, "/dev/null" in full.err) == (1, True)


def test_what_was_erased_since_a_backup_is_erased_by_its_restore(office: Program, empty: Place, tmp_path: Path) -> None:
    bob, container = id_of(office.backend, "bob"), uuid4()
    store(office.backend, container_requested(uuid4(), bob))
    # one that runs in the backup
    request = container_requested(container, bob)
    store(office.backend, quota_reserved(container, bob, label="bobs-bones"), request, started(request))
    file = backed_up(office, tmp_path)
    store(office.backend, quota_released(container, bob))
    assert office.run("users", "erase", "bob", "--yes").status == 0
    # somebody who came after the backup, and went
    office.run("users", "add", "eve")
    eve = id_of(office.backend, "eve")
    assert office.run("users", "erase", "eve", "--yes").status == 0
    assert Erasures(file.parent).read() == [bob, eve]
    ended = empty.run("restore", file)
    assert (ended.status, "erased again: 1 accounts" in ended.out) == (0, True), ended
    with empty.backend() as backend:
        user = backend.dispatcher.state(USER, bob)
        assert user is not None
        assert (user.erased, user.name) == (True, "(erased)")
        assert backend.subject_keys.of(bob) is None
        assert backend.subject_keys.make(eve) is None
        with backend.engine.connect() as connection:
            assert [row.name for row in connection.execute(select(users).order_by(users.c.id))] == ["ada", "(erased)"]
        assert list(backend.dispatcher.state(QUOTA, quota_stream(bob)).reservations) == [container]  # it still ends
    kept = list(rows(empty.environment["CALIPSO_DATABASE_URL"]))
    assert {"rm_quotas.reservations", "public.stored_events"} <= {each.where for each in kept}
    assert [each.where for each in kept if b"bob" in each.content] == []


def test_a_list_of_erasures_that_cannot_be_read_stops_a_restore(office: Program, empty: Place, tmp_path: Path) -> None:
    file = backed_up(office, tmp_path)
    (file.parent / "erasures").write_text("ada, yesterday\n")
    ended = empty.run("restore", file)
    assert (ended.status, "line 1: must be a time and the uuid" in ended.err) == (1, True)
