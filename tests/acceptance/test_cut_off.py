"""A target that is cut off keeps its desktops, however long; what was asked for meanwhile is done when it is back."""

import asyncio
import json
import os
import time
from collections.abc import Iterator

import pytest
from docker.models.containers import Container
from tests.acceptance.conftest import TINY, add_image, ours, remove_all
from tests.acceptance.system import PASSWORD, Client, System, signed_in, system
from tests.conftest import wait_until
from tests.runtimes.proxy import Proxy

pytestmark = [pytest.mark.docker, pytest.mark.slow]

CUT_SECONDS = float(os.environ.get("CALIPSO_TEST_CUT_SECONDS", "0"))  # beyond the time that a refused run takes


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    made = Proxy("/var/run/docker.sock")
    yield made
    made.close()


@pytest.fixture
def reached_by_proxy(proxy: Proxy) -> Iterator[System]:
    """An installation that reaches its engine through a network that can be cut."""
    target = {"name": "docker-a", "runtime": "docker_container", "address": f"tcp://127.0.0.1:{proxy.port}"}
    with system(CALIPSO_TARGETS=json.dumps([target])) as made:
        made.start()
        for folder in ("datasets", "results"):
            (made.folder / folder / "ada").mkdir(parents=True)  # on a distant engine they are the facility's affair
        made.command("users", "add", "ada", "--password-stdin", stdin=PASSWORD)
        add_image(made, "tiny", TINY, "--protocol", "http", "--target", "docker-a")
        yield made
        remove_all(made)


async def run(client: Client, label: str) -> str:
    """The name of a container that runs."""
    status, answer = await client.run(label, "tiny")
    assert status == 201, answer
    return str(answer["container_name"])


async def test_a_target_that_is_cut_off(reached_by_proxy: System, proxy: Proxy) -> None:
    made = reached_by_proxy

    def names() -> set[str]:
        return {str(container.name) for container in ours(made)}

    def running() -> set[str]:
        def is_running(container: Container) -> bool:
            return container.status == "running"

        return {str(container.name) for container in filter(is_running, ours(made))}

    async with signed_in(made, "ada") as ada:
        kept, stopped, ended = [await run(ada, label) for label in ("kept", "stopped", "ended")]
        assert await asyncio.to_thread(running) == {kept, stopped, ended}

        proxy.cut()
        began = time.monotonic()
        stop = asyncio.create_task(ada.stop({"container_name": stopped, "public_name": "tiny"}))
        status, answer = await ada.run("refused", "tiny")
        assert (status, answer["title"]) == (503, "Service Unavailable")
        told = await asyncio.to_thread(made.command, "containers", "end", ended, "--reason", "its user has gone home")
        assert told == f"container {ended} is ended\n"
        await asyncio.sleep(began + CUT_SECONDS - time.monotonic())
        listed = {str(row["container_name"]): row["container_status"] for row in await ada.list()}
        assert listed == {kept: "created", stopped: "busy"}
        await ada.until_used(2)
        _, health = await ada.get("/health")
        assert (health["status"], health["targets"]["docker-a"]["ok"]) == ("impaired", False)
        assert health["dead_letters"] == 0  # that a target is away is no fault of a message
        assert await asyncio.to_thread(running) == {kept, stopped, ended}

        proxy.mend()
        await ada.until("gone", stopped)
        if CUT_SECONDS == 0:
            assert (await stop)[0] == 200
        await asyncio.wait([stop])
        await asyncio.to_thread(wait_until, lambda: names() == {kept, stopped}, "the orphan to go")
        assert await asyncio.to_thread(running) == {kept}
        await ada.until("created", kept)
        explained = await asyncio.to_thread(made.command, "explain", ended)
        assert "ContainerFailed by service:command-line: reason=ended" in explained
        await ada.clear()
        await ada.until_used(0)
        assert await asyncio.to_thread(running) == set()
