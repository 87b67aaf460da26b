"""What dies, when: the record and the world agree again, and running desktops do not notice."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Mapping

import pytest
import pytest_asyncio
from tests.acceptance.conftest import TARGETS, fill, ours, remove_all
from tests.acceptance.system import Client, System, signed_in, system
from tests.conftest import PATIENCE, wait_until

pytestmark = [pytest.mark.docker, pytest.mark.slow]

PARTS = ["calipso api", "calipso project", "calipso relay", "calipso provision docker-a", "nats-server", "postgres"]


@pytest.fixture(scope="module")
def shaken() -> Iterator[System]:
    """An installation that the tests of this module may break."""
    with system(CALIPSO_TARGETS=TARGETS) as made:
        made.start()
        fill(made)
        made.command("images", "change", "slow", "--target", "docker-a")
        made.command("images", "change", "tiny", "--target", "docker-a")
        yield made
        remove_all(made)


@pytest_asyncio.fixture
async def ada(shaken: System) -> AsyncIterator[Client]:
    async with signed_in(shaken, "ada") as client:
        yield client


async def settled(ada: Client, name: str) -> str:
    """The status of a container once it is no more busy; `gone` when it is not listed."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        try:
            rows = {str(row["container_name"]): str(row["container_status"]) for row in await ada.list()}
        except (AssertionError, OSError, ValueError):
            rows = {name: "busy"}  # the API is being started again
        if rows.get(name, "gone") != "busy":
            return rows.get(name, "gone")
        await asyncio.sleep(0.1)
    pytest.fail(f"{name} is still busy")


@pytest.mark.parametrize("part", PARTS)
async def test_killing_a_part_during_a_run(shaken: System, ada: Client, part: str) -> None:
    run = asyncio.create_task(ada.run("abcde", "slow"))
    while not (rows := await ada.list()):
        assert not run.done()
    name = rows[0]["container_name"]
    shaken.kill_part(part.removeprefix("calipso "))
    await asyncio.wait([run])
    status = await settled(ada, name)
    assert status in {"created", "gone"}
    found = ours(shaken)
    assert [container.name for container in found] == ([name] if status == "created" else [])
    await ada.until_used(len(found))
    await ada.clear()
    await asyncio.to_thread(wait_until, lambda: ours(shaken) == [], "nothing to be left")
    await ada.until_used(0)


async def test_a_kill_of_everything_during_a_run(shaken: System, ada: Client) -> None:
    run = asyncio.create_task(ada.run("abcde", "slow"))
    while not (rows := await ada.list()):
        assert not run.done()
    shaken.kill()
    await asyncio.wait([run])
    await asyncio.to_thread(shaken.start)
    status = await settled(ada, rows[0]["container_name"])
    assert status == "created"
    assert len(ours(shaken)) == 1
    await ada.clear()
    assert ours(shaken) == []


async def test_a_running_desktop_is_untouched_by_a_restart(shaken: System, ada: Client) -> None:
    _, container = await ada.run("abcde", "tiny-vnc")
    before = ours(shaken)[0]
    assert await asyncio.to_thread(shaken.stop) == 0
    await asyncio.to_thread(shaken.start)
    rows = await ada.list()  # the login survives, too
    assert [(row["container_name"], row["container_status"]) for row in rows] == [
        (container["container_name"], "created")
    ]
    after = ours(shaken)[0]
    assert (after.id, after.attrs["State"]["StartedAt"]) == (before.id, before.attrs["State"]["StartedAt"])
    await ada.clear()


async def test_a_container_that_vanished_is_lost_and_its_quota_free(shaken: System, ada: Client) -> None:
    _, container = await ada.run("abcde", "tiny")
    made = ours(shaken)[0]
    await asyncio.to_thread(shaken.stop)
    made.remove(force=True, v=True)
    await asyncio.to_thread(shaken.start)
    await ada.until("gone", container["container_name"])
    await ada.until_used(0)
    assert "ContainerLost" in await asyncio.to_thread(shaken.command, "explain", container["container_name"])


async def test_a_container_that_crashes_later_is_recorded_with_its_log(shaken: System, ada: Client) -> None:
    _, container = await ada.run("abcde", "tiny")
    ours(shaken)[0].kill()
    await ada.until("gone", container["container_name"])
    told = await asyncio.to_thread(shaken.command, "explain", container["container_name"])
    assert "ContainerFailed" in told
    assert "log kept" in told
    assert ours(shaken) == []


async def start_again(made: System, env: Mapping[str, str]) -> None:
    """Stop it and start it with another environment."""
    await asyncio.to_thread(made.stop)
    made.env = env
    await asyncio.to_thread(made.start)


async def test_a_run_limit_ends_what_never_gets_ready(ada: Client, shaken: System) -> None:
    before = shaken.env
    await start_again(shaken, {**before, "CALIPSO_RUN_LIMIT": "4"})
    for image in ("silent", "never-matches"):
        status, answer = await ada.run("abcde", image)
        assert status == 504, answer
        assert await ada.list() == []
        assert ours(shaken) == []
    await ada.until_used(0)
    await start_again(shaken, before)
    status, container = await ada.run("abcde", "tiny")
    assert status == 201
    await ada.rm(container)
