"""Roles of PostgreSQL: each process does its work with the least rights, and what is no business of it is refused."""

import asyncio
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import psycopg
import pytest

from calipso import credentials, roles
from calipso.backend import Backend
from tests.api.conftest import make_backend, url_of  # noqa: F401 - a fixture
from tests.conftest import PATIENCE, find_free_port, nats_server, wait_until

PARTS = {
    "api": "calipso_api",
    "project": "calipso_projector",
    "relay": "calipso_relay",
    "provision links": "calipso_provisioner",
}


@dataclass(frozen=True, kw_only=True)
class Place:
    """A prepared database with a login for each role."""

    url: str
    guacamole_url: str
    logins: dict[str, str]
    keys: str

    def url_as(self, role: str) -> str:
        return self.url.replace(f"//{self.url.partition('//')[2].partition('@')[0]}@", f"//{self.logins[role]}@", 1)

    def environment(self, role: str, **given: str) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("CALIPSO_")}
        own = {"CALIPSO_DATABASE_URL": self.url_as(role), "CALIPSO_MASTER_KEYS": self.keys}
        return {**inherited, **own, **given}

    def command(self, *arguments: str, stdin: str = "") -> None:
        """Run the command line as an operator."""
        program = [sys.executable, "-m", "calipso", *arguments]
        environment = self.environment("calipso_operator")
        ended = subprocess.run(program, env=environment, input=stdin, capture_output=True, text=True, check=False)
        assert ended.returncode == 0, ended.stderr


@pytest.fixture(scope="module")
def place(make_backend: Callable[..., Backend], make_database: Callable[[], str]) -> Iterator[Place]:  # noqa: F811 - the fixture
    url, guacamole_url, keys = url_of(make_database()), url_of(make_database()), credentials.generate_key_line()
    make_backend(database_url=url, guacamole_database_url=guacamole_url, master_keys=keys).close()
    logins = {role: f"{role}_{secrets.token_hex(4)}" for role in roles.ROLES}
    with psycopg.connect(url, autocommit=True) as owner:
        for statement in roles.statements():
            owner.execute(statement.encode())
        for role, login in logins.items():
            owner.execute(f"CREATE ROLE {login} LOGIN IN ROLE {role}".encode())
        try:
            yield Place(url=url, guacamole_url=guacamole_url, logins=logins, keys=keys)
        finally:
            for login in logins.values():
                owner.execute(f"DROP ROLE {login}".encode())


@contextmanager
def process(arguments: str, environment: dict[str, str], log: Path) -> Iterator[None]:
    with log.open("wb") as writing:
        started = subprocess.Popen(
            [sys.executable, "-m", "calipso", *arguments.split()], env=environment, stdout=writing, stderr=writing
        )
        try:
            yield
            assert started.poll() is None, log.read_text()
        finally:
            started.terminate()
            started.wait(timeout=PATIENCE)


async def test_the_main_job_is_done_with_least_rights(place: Place, tmp_path: Path) -> None:
    password, port, nats_port = secrets.token_urlsafe(12), find_free_port(), find_free_port()
    place.command("users", "add", "ada", "--password-stdin", stdin=password)
    size = ("--cpu", "1", "--memory", "1G", "--hdd", "1G")
    link = ("--image", "https://example.org/", "--protocol", "", "--resource-type", "static_link")
    place.command("images", "add", "link", *link, *size)
    place.command("quotas", "set", "ada", "--max-simultaneous", "3", *size)
    common = {
        "CALIPSO_NATS_URL": f"nats://127.0.0.1:{nats_port}",
        "CALIPSO_PORT": str(port),
        "CALIPSO_TARGETS": '[{"name": "links", "runtime": "static_link"}]',
    }
    # Guacamole's database is the projector's alone; the API only knows that there is one
    own = {
        "api": {"CALIPSO_GUACAMOLE_URL": "http://127.0.0.1:9/guacamole/"},
        "project": {"CALIPSO_GUACAMOLE_DATABASE_URL": place.guacamole_url},
    }
    with ExitStack() as stack:
        stack.enter_context(nats_server(nats_port, tmp_path / "nats"))
        for part, role in PARTS.items():
            environment = place.environment(role, **common, **own.get(part, {}))
            stack.enter_context(process(part, environment, tmp_path / part.replace(" ", "-")))
        logs = [tmp_path / part.replace(" ", "-") for part in PARTS]
        wait_until(lambda: b"serving" in logs[0].read_bytes(), "the API to serve")
        async with aiohttp.ClientSession(
            f"http://127.0.0.1:{port}", cookie_jar=aiohttp.CookieJar(unsafe=True)
        ) as session:
            async with session.post("/login/", json={"username": "ada", "password": password}) as answer:
                assert answer.status == 200
            async with session.get("/resource/run/ada/own/link/") as answer:
                assert answer.status == 201, (await answer.text(), [log.read_text()[-2000:] for log in logs])
                container = await answer.json()
            for act in ("stop", "rm"):
                async with session.get(f"/resource/{act}/ada/{container['container_name']}/link/") as answer:
                    assert answer.status == 200, await answer.text()
            async with session.get("/resource/list/ada/") as answer:
                assert await answer.json() == []
            moment = {"at": container["creation_date"]}
            async with session.get("/containers/", params=moment) as answer:
                assert [each["container_name"] for each in await answer.json()] == [container["container_name"]]
            health = await healthy(session)
            async with session.get("/logout/") as answer:
                assert answer.status == 200
        assert "guacamole" in health["projections"]
        assert all(b"denied" not in log.read_bytes() for log in logs)


async def healthy(session: aiohttp.ClientSession) -> Mapping[str, Any]:
    """What health tells, once every part has said that it works."""
    deadline = time.monotonic() + PATIENCE
    while True:
        async with session.get("/health") as answer:
            health: Mapping[str, Any] = await answer.json()
        if health["status"] == "ok":
            return health
        assert time.monotonic() < deadline, health
        await asyncio.sleep(0.1)


def test_the_master_key_is_changed_by_an_operator(place: Place, tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(place.keys)
    environment = place.environment("calipso_operator", CALIPSO_MASTER_KEYS_FILE=str(file))
    del environment["CALIPSO_MASTER_KEYS"]
    program = [sys.executable, "-m", "calipso", "keys", "rotate"]
    ended = subprocess.run(program, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr


def may(place: Place, role: str, statement: str) -> bool:
    """Whether a statement is permitted; nothing of it stays."""
    with psycopg.connect(place.url_as(role)) as connection:
        try:
            connection.execute(
                f"EXPLAIN {statement}".encode() if not statement.startswith("SELECT cal") else statement.encode()
            )
        except psycopg.errors.InsufficientPrivilege:
            return False
        finally:
            connection.rollback()
    return True


def writes(table: str) -> list[str]:
    column = {"stored_events": "topic", "installation": "id", "parts": "detail", "passwords": "hash"}.get(table)
    column = column or {"logins": "csrf_token", "subject_keys": "wrapped", "rm_users.users": "name"}.get(table)
    changed = [f"UPDATE {table} SET {column} = {column}"] if column else []  # noqa: S608 - our own names
    return [f"INSERT INTO {table} DEFAULT VALUES", f"DELETE FROM {table}", *changed]  # noqa: S608 - as above


APPEND = "SELECT calipso_append('{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '')"


def test_nobody_writes_events_but_by_the_function_and_not_everybody_by_that(place: Place) -> None:
    for role in roles.ROLES:
        assert [may(place, role, statement) for statement in writes("stored_events")] == [False] * 3, role
    assert {role for role in roles.ROLES if may(place, role, APPEND)} == {
        "calipso_api",
        "calipso_provisioner",
        "calipso_operator",
    }


def test_read_models_are_written_by_the_projector_alone(place: Place) -> None:
    for table in ("rm_users.users", "rm_containers.containers"):
        for role in roles.ROLES:
            expected = role == "calipso_projector"
            assert {may(place, role, statement) for statement in writes(table)} == {expected}, (role, table)
    assert not may(place, "calipso_relay", "SELECT * FROM rm_users.users")


@pytest.mark.parametrize("table", ["passwords", "logins", "login_tokens", "sign_in_flows", "sign_in_attempts"])
@pytest.mark.parametrize("role", ["calipso_projector", "calipso_relay", "calipso_provisioner"])
def test_what_signs_people_in_is_no_business_of_others(place: Place, role: str, table: str) -> None:
    statements = [f"SELECT * FROM {table}", *writes(table)]  # noqa: S608 - our own names
    assert not any(may(place, role, statement) for statement in statements)


def test_keys_of_persons_are_destroyed_by_operators_alone(place: Place) -> None:
    for role in roles.ROLES:
        assert may(place, role, "UPDATE subject_keys SET wrapped = NULL") is (role == "calipso_operator"), role
        assert not may(place, role, "DELETE FROM subject_keys"), role
        # what the relay publishes has nothing personal in it
        assert may(place, role, "SELECT * FROM subject_keys") is (role != "calipso_relay"), role
        assert may(place, role, "UPDATE installation SET naming_key = ''") is (role == "calipso_operator"), role
        assert not may(place, role, "UPDATE installation SET id = id"), role


def test_the_api_sets_no_password_and_reports_for_nobody(place: Place) -> None:
    assert not any(
        may(place, "calipso_api", statement) for table in ("passwords", "parts") for statement in writes(table)
    )


@pytest.mark.parametrize("role", sorted(roles.ROLES))
def test_nobody_changes_what_is_there(place: Place, role: str) -> None:
    with psycopg.connect(place.url_as(role), autocommit=True) as connection:
        for statement in (
            "CREATE TABLE public.mine (x int)",
            "DROP TABLE stored_events",
            "TRUNCATE stored_events",
            "ALTER TABLE stored_events ADD COLUMN mine int",
            "CREATE OR REPLACE FUNCTION calipso_append() RETURNS void LANGUAGE sql AS ''",
            "CREATE SCHEMA mine",
            "CREATE ROLE mine",
            "COPY stored_events TO PROGRAM 'true'",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement.encode())


def test_every_table_is_told_of(place: Place) -> None:
    """A table that somebody adds must be given to somebody, or to nobody on purpose."""
    with psycopg.connect(place.url) as owner:
        found = {row[0] for row in owner.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")}
    told = {"stored_events", "installation"} | {table for tables in roles._ORDINARY.values() for table in tables}
    assert found <= told, found - told


def test_the_statements_are_printed() -> None:
    program = [sys.executable, "-m", "calipso", "migrate", "--print-roles"]
    printed = subprocess.run(program, capture_output=True, text=True, check=True).stdout
    assert printed == "".join(f"{statement};\n" for statement in roles.statements())
