"""What operators and their monitoring see."""

import asyncio
import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import aiohttp
import psycopg
import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.api.conftest import PASSWORD, Api, basic, served
from tests.conftest import PATIENCE

from calipso.api.health import Health, PartHealth
from calipso.backend import Backend
from calipso.projections.registry import GUACAMOLE, read_models

READ_MODELS = {model.name for model in read_models()}


@pytest.fixture
def own(make_backend: Callable[..., Backend]) -> Iterator[Api]:
    """A served installation that a test may break."""
    backend = make_backend()
    try:
        with served(backend) as made:
            yield made
    finally:
        backend.close()


async def ask(api: Api, path: str) -> tuple[int, dict[str, Any]]:
    async with api.anonymous() as session, session.get(path) as answer:
        return answer.status, await answer.json()


async def until_ready(api: Api) -> None:
    async with asyncio.timeout(PATIENCE):
        while (await ask(api, "/health/ready"))[0] != 200:
            pass


async def figures(api: Api) -> dict[str, dict[tuple[str, ...], float]]:
    """Every sample by its name and the values of its labels."""
    async with api.anonymous() as session, session.get("/metrics") as answer:
        assert answer.status == 200
        assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        found: dict[str, dict[tuple[str, ...], float]] = {}
        for family in text_string_to_metric_families(await answer.text()):
            for sample in family.samples:
                found.setdefault(sample.name, {})[tuple(sample.labels.values())] = sample.value
        return found


async def test_it_lives(api: Api) -> None:
    assert await ask(api, "/health/live") == (200, {"status": "ok"})


async def test_it_is_ready_although_targets_are_dead(api: Api) -> None:
    await until_ready(api)
    status, told = await ask(api, "/health")
    assert (status, told["status"]) == (200, "impaired")
    assert told["store"]["ok"] is True
    assert set(told["projections"]) == {*READ_MODELS, GUACAMOLE}
    assert set(told["targets"]) == {"links", "docker"}
    for followed in told["projections"].values():
        assert followed["ok"] is True
        assert followed["lag"] == 0
    assert told["targets"]["docker"] == {"ok": False, "detail": "has never told of itself"}
    assert told["relay"]["ok"] is told["bus"]["ok"] is False


async def test_all_is_well_when_all_parts_say_so(own: Api) -> None:
    for name in ("relay", "target:links", "target:docker"):
        own.backend.parts.report(name, position=own.backend.store.head())
    await until_ready(own)
    status, told = await ask(own, "/health")
    assert (status, told["status"]) == (200, "ok")
    own.backend.parts.report("target:docker", ok=False, detail="no answer")
    status, told = await ask(own, "/health")
    assert (status, told["status"]) == (200, "impaired")
    assert told["targets"]["docker"] == {"ok": False, "detail": "no answer"}


async def test_messages_that_were_given_up_are_told(own: Api) -> None:
    for name in ("relay", "target:links", "target:docker"):
        own.backend.parts.report(name, position=own.backend.store.head())
    await until_ready(own)
    assert (await ask(own, "/health"))[1]["dead_letters"] == 0
    own.backend.parts.report("dead letters", ok=False, detail="3")
    status, told = await ask(own, "/health")
    assert (status, told["status"], told["dead_letters"]) == (200, "impaired", 3)
    assert (await figures(own))["calipso_dead_letters"][()] == 3


async def test_a_part_that_was_not_heard_of_for_long_is_silent(own: Api) -> None:
    own.backend.parts.report("relay")
    with own.backend.database.connect() as connection:
        connection.execute("UPDATE parts SET at = at - interval '16 seconds' WHERE name = 'relay'")
    _, told = await ask(own, "/health")
    assert told["relay"]["ok"] is False
    assert str(told["relay"]["detail"]).startswith("silent since 2")


async def test_a_read_model_that_stands_still_makes_it_unready(make_backend: Callable[..., Backend]) -> None:
    backend = make_backend()
    with served(backend, projecting=False) as api:
        assert (await ask(api, "/health/ready"))[0] == 503
        for name in READ_MODELS:
            backend.parts.report(name, position=backend.store.head())
        assert (await ask(api, "/health/ready"))[0] == 200
        backend.parts.report("users", ok=False, detail="stopped before position 7")
        assert (await ask(api, "/health/ready"))[0] == 503
        status, told = await ask(api, "/health")
        assert (status, told["status"]) == (503, "failing")
        assert told["projections"]["users"]["detail"] == "stopped before position 7"
    backend.close()


@pytest.mark.parametrize(("lag", "is_ready"), [(0, True), (1000, True), (1_000_000, False)])
def test_a_read_model_that_is_being_rebuilt_makes_it_unready(lag: int, is_ready: bool) -> None:
    store, relay, chain = (PartHealth(name=name, ok=True, detail="") for name in ("store", "relay", "chain"))
    users = PartHealth(name="users", ok=True, detail="", lag=lag)
    guacamole = PartHealth(name=GUACAMOLE, ok=False, detail="no answer", lag=1_000_000)
    health = Health(store=store, relay=relay, chain=chain, projections=[users, guacamole], targets=[])
    assert health.is_ready is is_ready


async def test_without_a_database(
    make_backend: Callable[..., Backend], make_database: Callable[[], str], postgres_server: str
) -> None:
    url = make_database()
    name = str(psycopg.conninfo.conninfo_to_dict(url)["dbname"])
    backend = make_backend(database_url=url)
    with served(backend, projecting=False) as api, psycopg.connect(postgres_server, autocommit=True) as server:
        user = api.add_user()

        async def status_with(headers: dict[str, str]) -> tuple[int, str | None, str]:
            async with api.anonymous() as session, session.get("/images/", headers=headers) as answer:
                return answer.status, answer.headers.get("Retry-After"), await answer.text()

        server.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false".encode())
        server.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,))
        live, ready, health, counted, *refused = await asyncio.gather(
            ask(api, "/health/live"),
            ask(api, "/health/ready"),
            ask(api, "/health"),
            figures(api),
            status_with({"Cookie": "sessionid=x"}),
            status_with({"Authorization": basic(user, "x")}),
        )
        assert (live[0], ready[0], health[0]) == (200, 503, 503)
        assert (health[1]["status"], health[1]["store"]["ok"]) == ("failing", False)
        assert counted["calipso_part_ok"]["store", "store"] == 0
        assert [answer[:2] for answer in refused] == [(503, "5")] * 2
        assert [json.loads(answer[2])["error"] for answer in refused] == ["the event store is not available"] * 2
        server.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true".encode())
        async with asyncio.timeout(PATIENCE):
            while (await status_with({"Authorization": basic(user, PASSWORD)}))[0] != 200:
                pass
    backend.close()


async def test_health_asks_nobody_who_they_are(api: Api) -> None:
    headers = {"Authorization": basic("nobody", "x"), "Cookie": "sessionid=x"}
    async with api.anonymous(headers=headers) as session:
        for path in ("/health/live", "/health/ready", "/health", "/metrics"):
            async with session.get(path) as answer:
                assert answer.status == 200


async def test_requests_and_commands_are_counted(own: Api) -> None:
    name = own.add_user()
    async with own.signed_in(name) as session:
        for _ in range(3):
            async with session.get(f"/users/{name}/"):
                pass
        async with session.get("/nothing"), session.request("BREW", "/images/"):
            pass
    found = await figures(own)
    assert found["calipso_request_seconds_count"]["GET", "/users/<username>/", "200"] == 3
    assert found["calipso_request_seconds_count"]["GET", "(none)", "404"] == 1
    assert found["calipso_request_seconds_count"]["(other)", "(none)", "405"] == 1
    assert found["calipso_commands_total"]["RecordLogin", "stored"] == 1
    assert found["calipso_command_seconds_count"]["RecordLogin",] == 1
    assert found["calipso_part_ok"]["store", "store"] == 1
    assert found["calipso_part_lag_events"]["users",] >= 0


async def test_figures_name_nobody(own: Api) -> None:
    name = own.add_user("somebody.special")
    async with own.signed_in(name) as session, session.get(f"/users/{name}/"), session.get(f"/nothing/{name}"):
        pass
    async with aiohttp.ClientSession() as session, session.get(f"{own.url}/metrics") as answer:
        assert not re.search(name, await answer.text())
