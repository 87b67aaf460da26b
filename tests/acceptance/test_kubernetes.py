"""An image that moves from Docker to Kubernetes: nobody who uses it notices."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes
import pytest
from tests.acceptance.conftest import ENGINE, fill
from tests.acceptance.system import Client, System, signed_in, system
from tests.acceptance.test_main_job import guacamole_rows
from tests.images.rfb import SignInRefusedError, sign_in
from tests.runtimes.cluster import load_images

pytestmark = [pytest.mark.kubernetes, pytest.mark.docker, pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def both(kubernetes_cluster: Path) -> Iterator[System]:
    """An installation with an engine and a cluster."""
    targets = [
        {"name": "links", "runtime": "static_link"},
        {"name": "docker-a", "runtime": "docker_container", "address": ENGINE},
        {"name": "docker-b", "runtime": "docker_container", "address": ENGINE},
        {"name": "away", "runtime": "docker_container", "address": "tcp://127.0.0.1:9"},
        {
            "name": "cluster",
            "runtime": "kubernetes",
            "address": str(kubernetes_cluster),
            "public_host": "127.0.0.1",
            "networks": ["127.0.0.0/8"],
        },
    ]
    load_images(kubernetes_cluster, "calipso/desktop:1")
    with system(CALIPSO_TARGETS=json.dumps(targets)) as made:
        made.start()
        fill(made)
        yield made


def pods(kubeconfig: Path, name: str) -> list[Any]:
    """What the cluster has of a container."""
    with kubernetes.config.new_client_from_config(str(kubeconfig)) as api:  # type: ignore[no-untyped-call]  # the library has no types here
        found = kubernetes.client.CoreV1Api(api).list_namespaced_pod("default", field_selector=f"metadata.name={name}")
        return list(found.items)


async def use(made: System, ada: Client) -> dict[str, Any]:
    """Run the image beside the session's data, enter it, and leave it running."""
    status, container = await ada.run("P1~1", "desktop")
    assert status == 201, container
    rows = guacamole_rows(made, container["container_name"])
    with sign_in(rows["hostname"], int(rows["port"]), rows["password"]):
        pass
    with pytest.raises(SignInRefusedError), sign_in(rows["hostname"], int(rows["port"]), "nonsense"):
        pass
    found: dict[str, Any] = container
    return found


async def end(made: System, ada: Client, container: dict[str, Any]) -> None:
    assert (await ada.stop(container))[1]["container_status"] == "stopped"
    assert guacamole_rows(made, container["container_name"]) == {}
    assert (await ada.rm(container))[1]["container_status"] == "removed"
    await ada.until_used(0)


async def test_an_image_moves_to_a_cluster(both: System, kubernetes_cluster: Path) -> None:
    async with signed_in(both, "ada") as ada:
        before = await use(both, ada)
        await end(both, ada, before)

        both.command(
            *("images", "change", "desktop", "--image", "docker.io/calipso/desktop:1"),
            *("--resource-type", "kubernetes", "--target", "cluster"),
        )
        after = await use(both, ada)
        (pod,) = pods(kubernetes_cluster, after["container_name"])
        security = pod.spec.security_context
        assert (security.run_as_user, security.run_as_group) == (5001, 5002)
        tops = {volume.name: volume.host_path.path for volume in pod.spec.volumes if volume.host_path}
        data = [mount for mount in pod.spec.containers[0].volume_mounts if mount.name in tops]
        sources = {f"{tops[mount.name]}/{mount.sub_path}": mount.read_only for mount in data}
        assert sources == {str(both.folder / "datasets" / "p1"): True, str(both.folder / "results" / "p1"): None}
        kept = (
            "calipso_experiment",
            "container_info",
            "container_status",
            "public_name",
            "num_cpus",
            "memory_allocated",
        )
        assert [before[key] for key in kept] == [after[key] for key in kept]
        assert set(before) == set(after)
        await end(both, ada, after)
        assert pods(kubernetes_cluster, after["container_name"]) == []


async def test_a_missing_image_is_told(both: System) -> None:
    both.command(
        *("images", "add", "nowhere", "--image", "missing.invalid/none:1", "--resource-type", "kubernetes"),
        *("--protocol", "vnc", "--cpu", "0.1", "--memory", "32M", "--hdd", "1G"),
    )
    async with signed_in(both, "ada") as ada:
        status, answer = await ada.run("P1~1", "nowhere")
        assert status == 502, answer
        assert "missing.invalid" in answer["error"]
        assert await ada.list() == []
        await ada.until_used(0)


async def test_a_folder_that_the_node_does_not_have_is_told(both: System) -> None:
    both.command(
        *("images", "add", "own", "--image", "docker.io/calipso/tiny:1", "--resource-type", "kubernetes"),
        *("--protocol", "http", "--cpu", "0.1", "--memory", "32M", "--hdd", "1G"),
    )
    async with signed_in(both, "ada") as ada:
        status, answer = await ada.run("abcde", "own")
        assert status == 502, answer
        assert str(both.folder) in answer["error"]
        await ada.until_used(0)
