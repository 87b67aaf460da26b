"""After an erasure no store holds a word of the person; history, accounting and rebuilds are as before."""

import asyncio
import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import aiohttp
import pytest
from sqlalchemy import Engine, insert
from tests.acceptance.conftest import ENGINE, TINY, add_image, ours, remove_all
from tests.acceptance.system import PASSWORD, System, signed_in, system
from tests.conftest import wait_until
from tests.erasure.stores import places_of
from tests.projections.rows import READ_MODELS, rows_of, rows_rebuilt

from calipso.backend import Backend
from calipso.cli.common import running
from calipso.credentials import guacamole_username
from calipso.events.envelope import Recorded
from calipso.events.user import UserErased
from calipso.projections import containers
from calipso.projections.guacamole import history, tables

pytestmark = [pytest.mark.docker, pytest.mark.slow]

NAME, SUBJECT, WORD, ADDRESS = "Dulcinea", "aldonza-of-toboso", "windmill-notes", "203.0.113.77"
# the name also finds the paths of the folders with it, and the account of the container
WORDS = (NAME, SUBJECT, WORD, ADDRESS)
TARGETS = json.dumps([{"name": "docker-a", "runtime": "docker_container", "address": ENGINE}])


@pytest.fixture(scope="module")
def facility() -> Iterator[System]:
    """A running installation with the person to be erased, and another one."""
    with system(CALIPSO_TARGETS=TARGETS) as made:
        made.start()
        made.command("users", "add", NAME, "--uid", "47110815", "--password-stdin", stdin=PASSWORD)
        made.command("users", "link", NAME, "--issuer", "umbrella", "--subject", SUBJECT)
        made.command("users", "add", "sancho", "--password-stdin", stdin=PASSWORD)
        made.command("quotas", "set", NAME, "--max-simultaneous", "2", "--cpu", "10", "--memory", "30G", "--hdd", "80G")
        add_image(made, "tiny-vnc", f"{TINY}-vnc", "--protocol", "vnc")
        add_image(made, "crash", f"{TINY}-crash", "--protocol", "http")
        yield made
        remove_all(made)


async def lived_in(made: System) -> None:
    """Leave traces of the person wherever a person leaves some."""
    async with signed_in(made, NAME) as client, signed_in(made, "sancho") as other:
        assert (await client.run(WORD, "tiny-vnc"))[0] == 201
        assert (await client.run(f"{WORD}-2", "crash"))[0] == 502
        status, stopped = await client.run(f"{WORD}-3", "tiny-vnc")
        assert status == 201
        assert (await client.run(f"{WORD}-4", "tiny-vnc"))[0] == 409
        assert (await client.stop(stopped))[0] == 200
        assert (await other.run("mine", "tiny-vnc"))[0] == 201
    assert await login_status(made, "wrong") == 401


async def login_status(made: System, password: str) -> int:
    """What the person hears who signs in."""
    async with (
        aiohttp.ClientSession(made.url) as session,
        session.post("/login/", json={"username": NAME, "password": password}) as answer,
    ):
        return answer.status


def used_through_guacamole(backend: Backend) -> None:
    """Write what Guacamole itself writes when a desktop is entered."""
    engine = backend.guacamole_engine
    assert engine is not None
    with backend.engine.connect() as connection:
        names = [guacamole_username(row.container_id) for row in containers.every_of(connection, None)]
    with engine.begin() as connection:
        for name in names:
            use = {"username": name, "remote_host": ADDRESS, "start_date": datetime.now(UTC)}
            connection.execute(insert(tables.connection_history).values(**use, connection_name="calipso-x"))
            connection.execute(insert(tables.user_history).values(**use))


def test_no_store_holds_a_word_of_the_erased(facility: System) -> None:
    asyncio.run(lived_in(facility))
    with running(facility.data) as backend:
        used_through_guacamole(backend)
        assert {where for where, _ in places_of(facility, *WORDS)} == {
            "rm_users.users",
            "rm_containers.containers",
            "rm_quotas.reservations",
            "public.guacamole_connection_history",
            "public.guacamole_user_history",
        }
        held = facility.command("users", "export", NAME)
        assert all(word in held for word in WORDS)
        before = facts(backend)
        assert erase(facility) == f"{NAME} is erased"
        wait_until(lambda: is_shown(backend), "the read models to show the erasure")
        left = places_of(facility, *WORDS)
        # the other person's desktops were entered from the same address
        assert left <= {(f"public.guacamole_{kind}_history", ADDRESS) for kind in ("connection", "user")}
        assert uses_from(backend, ADDRESS) == {"sancho"}
        assert facts(backend)[: len(before)] == before
        assert facts(backend)[-1][2] == UserErased.topic()
        assert_rebuilt(backend)
    assert len(ours(facility)) == 1  # the other person's


def erase(made: System) -> str:
    return made.command("users", "erase", NAME, "--stop", "--yes").splitlines()[-2]


def facts(backend: Backend) -> Sequence[tuple[int, str, str]]:
    """What accounting reads: which events there were, when, and about whom by uuid."""
    return [(r.position, r.time.isoformat(), r.event.topic()) for r in whole(backend)]


def whole(backend: Backend) -> Sequence[Recorded]:
    return backend.store.read(after=0, limit=1_000_000).events


def is_shown(backend: Backend) -> bool:
    head, followers = backend.store.head(), {"relay", "guacamole", *(model.name for model in READ_MODELS)}
    return followers <= {part.name for part in backend.parts.all() if part.position >= head}


def uses_from(backend: Backend, address: str) -> set[str]:
    """The labels of the containers that were entered from an address, by their users."""
    engine: Engine | None = backend.guacamole_engine
    assert engine is not None
    with backend.engine.connect() as connection:
        rows = {row.container_id: row for row in containers.every_of(connection, None)}
    with engine.connect() as connection:
        uses = history.uses_of(connection, list(rows))
    return {"sancho" if rows[u.container_id].label == "mine" else "erased" for u in uses if u.address == address}


def assert_rebuilt(backend: Backend) -> None:
    """Every read model is what a rebuild makes of the events, which nobody can open any more."""
    events = whole(backend)
    for model in READ_MODELS:
        with backend.engine.connect() as connection:
            live = rows_of(model, connection)
        assert rows_rebuilt(model, backend.engine, events) == live, model.name


async def test_the_erased_cannot_sign_in_and_their_name_is_taken(facility: System) -> None:
    assert await login_status(facility, PASSWORD) == 401
    assert "already exists" in await asyncio.to_thread(facility.command, "users", "add", NAME)
