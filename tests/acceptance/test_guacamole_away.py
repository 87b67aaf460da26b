"""Guacamole on a given MariaDB that goes away: desktops run, and their rows follow."""

import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import select
from tests.acceptance.conftest import add_image, remove_all
from tests.acceptance.system import PASSWORD, System, signed_in, system
from tests.conftest import wait_until
from tests.guacamole.mariadb import MariaDB

from calipso.credentials import MasterKeys
from calipso.projections.guacamole import Guacamole, tables

pytestmark = [pytest.mark.docker, pytest.mark.mariadb, pytest.mark.slow]


@dataclass(frozen=True, kw_only=True)
class Facility:
    """An installation, and the MariaDB that Guacamole uses."""

    system: System
    server: MariaDB
    database: str

    def connections(self) -> list[str]:
        """The names of Guacamole's connections."""
        with self.server.engine(self.database).connect() as connection:
            return list(connection.execute(select(tables.connection.c.connection_name)).scalars())


@pytest.fixture
def facility() -> Iterator[Facility]:
    with tempfile.TemporaryDirectory(prefix="calipso-maria-", dir="/tmp") as folder:
        server = MariaDB(Path(folder))
        server.start()
        database = server.make_database()
        with server.engine(database).begin() as connection:
            Guacamole(MasterKeys({1: b"x" * 32}), {}).create_schema(connection)
        targets = [{"name": "docker", "runtime": "docker_container", "address": "unix:///var/run/docker.sock"}]
        given = {"CALIPSO_GUACAMOLE_DATABASE_URL": server.url(database), "CALIPSO_TARGETS": json.dumps(targets)}
        try:
            with system(**given) as made:
                made.start()
                made.command("users", "add", "ada", "--password-stdin", stdin=PASSWORD)
                add_image(made, "tiny-vnc", "calipso/tiny:1-vnc", "--protocol", "vnc")
                yield Facility(system=made, server=server, database=database)
                remove_all(made)
        finally:
            server.stop()


async def test_the_container_runs_and_its_rows_follow(facility: Facility) -> None:
    async with signed_in(facility.system, "ada") as ada:
        status, container = await ada.run("abcde", "tiny-vnc")
        assert status == 201, container
        assert facility.connections() == [container["container_name"]]
        facility.server.stop()
        status, answer = await ada.run("fghij", "tiny-vnc")
        assert status == 503, answer
        assert "guacamole" in answer["error"]
        assert answer["event"]
        names = [row["container_name"] for row in await ada.list()]
        assert [row["container_status"] for row in await ada.list()] == ["created", "created"]
        status, health = await ada.get("/health")
        assert (status, health["projections"]["guacamole"]["ok"]) == (200, False)
        facility.server.start()
        wait_until(lambda: sorted(facility.connections()) == sorted(names), "the rows to follow")
        for row in await ada.list():
            assert (await ada.rm(row))[0] == 200
        assert facility.connections() == []
