"""A system that lost everything but a backup and its master key meets the world as it is."""

import asyncio
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest
from tests.acceptance.conftest import TINY, add_image, ours, remove_all
from tests.acceptance.system import PASSWORD, System, signed_in, system
from tests.conftest import wait_until
from tests.erasure.stores import messages, places_of
from tests.erasure.test_everywhere import TARGETS, assert_rebuilt, is_shown, whole

from calipso.bus import STREAM
from calipso.cli.common import running
from calipso.events.container import ContainerLost
from calipso.events.target import OrphanRemoved
from calipso.projections.guacamole import tables

pytestmark = [pytest.mark.docker, pytest.mark.slow]


@pytest.fixture
def lost_system() -> Iterator[System]:
    """An installation that is going to be lost."""
    with system(CALIPSO_TARGETS=TARGETS) as made:
        made.start()
        for name in ("ada", "bob", "dulcinea"):
            made.command("users", "add", name, "--password-stdin", stdin=PASSWORD)
        add_image(made, "tiny-vnc", f"{TINY}-vnc", "--protocol", "vnc")
        yield made


async def run(made: System, name: str) -> str:
    """Let somebody run a desktop; gives its name."""
    async with signed_in(made, name) as client:
        status, answer = await client.run(f"of-{name}", "tiny-vnc")
        assert status == 201, answer
        return str(answer["container_name"])


async def remove(made: System, name: str) -> None:
    async with signed_in(made, name) as client:
        await client.clear()


def names(made: System) -> set[str]:
    return {str(container.name) for container in ours(made)}


def connections(made: System) -> set[str]:
    """The desktops that Guacamole shows."""
    with running(made.data) as backend:
        assert backend.guacamole_engine is not None
        with backend.guacamole_engine.connect() as connection:
            return {row.connection_name for row in connection.execute(tables.connection.select())}


async def listed(made: System, name: str) -> dict[str, str]:
    async with signed_in(made, name) as client:
        return {str(row["container_name"]): str(row["container_status"]) for row in await client.list()}


async def health(made: System) -> dict[str, object]:
    async with aiohttp.ClientSession(made.url) as session, session.get("/health") as answer:
        found: dict[str, object] = await answer.json()
        return found


def test_a_restored_record_and_the_world_agree_again(lost_system: System) -> None:
    kept, gone = (asyncio.run(run(lost_system, name)) for name in ("ada", "bob"))
    backup = lost_system.folder / "backups" / "one.zip"
    lost_system.command("backup", str(backup))
    # what the backup does not know
    asyncio.run(remove(lost_system, "bob"))
    unknown = asyncio.run(run(lost_system, "bob"))
    lost_system.env = {**lost_system.env, "CALIPSO_BACKUPS": str(backup.parent)}
    lost_system.command("users", "erase", "dulcinea", "--yes")
    began = {str(c.name): c.attrs["State"]["StartedAt"] for c in ours(lost_system)}
    lost_system.kill()

    with system(CALIPSO_TARGETS=TARGETS, CALIPSO_BACKUPS=str(backup.parent)) as restored:
        restored.data.mkdir()
        # the database is lost, and the stream is not: it tells of events that nobody else knows any more
        for kept_file in ("master.key", "nats.conf"):
            shutil.copy(lost_system.data / kept_file, restored.data)
        shutil.copytree(lost_system.data / "nats", restored.data / "nats")
        rename_folder(restored.data / "nats.conf", lost_system.data, restored.data)
        told = restored.command("restore", str(backup))
        assert "erased again: 1 accounts" in told
        restored.start()
        try:
            wait_until(lambda: "calipso republish" in str(relay(restored)["detail"]), "the relay to tell")
            told_before = len(asyncio.run(messages(restored.addresses()["nats_url"])))
            wait_until(lambda: gone_is_lost(restored), "the desktop that is gone to be recorded as lost")
            assert asyncio.run(listed(restored, "ada")) == {kept: "created"}
            assert asyncio.run(listed(restored, "bob")) == {}
            assert names(restored) == {kept, unknown}  # nobody touched them
            assert connections(restored) == {kept}
            assert "unknown container on target" in restored.log.read_text()

            assert restored.command("targets", "unknown", "docker-a") == f"{unknown}: running\n"
            assert names(restored) == {kept, unknown}
            assert "removed 1" in restored.command("targets", "unknown", "docker-a", "--remove", "--yes")
            assert names(restored) == {kept}
            assert "no containers" in restored.command("targets", "unknown", "docker-a")

            assert {str(c.name): c.attrs["State"]["StartedAt"] for c in ours(restored)} == {kept: began[kept]}
            again = asyncio.run(run(restored, "bob"))  # served all the same
            assert names(restored) == {kept, again}
            assert len(asyncio.run(messages(restored.addresses()["nats_url"]))) == told_before
            restored.command("republish", "--yes")
            with running(restored.data) as backend:
                wait_until(lambda: is_shown(backend), "the read models")
                assert [r.event.container_id.hex for r in whole(backend) if isinstance(r.event, ContainerLost)] == [
                    gone.removeprefix("calipso-")
                ]
                assert len([r for r in whole(backend) if isinstance(r.event, OrphanRemoved)]) == 1
                assert_rebuilt(backend)
                assert asyncio.run(positions(restored)) == [recorded.position for recorded in whole(backend)]
            assert places_of(restored, "dulcinea") == set()
            restored.command("verify")  # the chain of hashes goes on behind that of the backup
            assert asyncio.run(health(restored))["status"] == "ok"
        finally:
            remove_all(restored)


def relay(made: System) -> dict[str, object]:
    found: dict[str, object] = asyncio.run(health(made))["relay"]  # type: ignore[assignment]
    return found


def rename_folder(file: Path, before: Path, after: Path) -> None:
    """Let the settings of the embedded NATS name another data folder."""
    file.write_text(file.read_text().replace(str(before), str(after)))


async def positions(made: System) -> list[int]:
    """The positions of the events in the stream, in its order."""
    found = await messages(made.addresses()["nats_url"])
    return [int(json.loads(kept.content.split(b"\n", 2)[2])["position"]) for kept in found if kept.where == STREAM]


def gone_is_lost(made: System) -> bool:
    with running(made.data) as backend:
        return any(isinstance(recorded.event, ContainerLost) for recorded in whole(backend))
