"""What only the node of a real cluster shows: claims, limits that are enforced, and many pods at one time."""

import asyncio
import contextlib
import shutil
from base64 import b64decode
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import yaml
from kubernetes.client.exceptions import NotFoundException
from kubernetes.config import incluster_config
from tests.dead_folder import dead_folder
from tests.runtimes.binding import exited, usable
from tests.runtimes.cluster_binding import ClusterBinding
from tests.runtimes.kubernetes_contract import things
from tests.runtimes.kubernetes_volumes_contract import refused
from tests.runtimes.orders import IDENTITY, order, volumes_of, wait_until

from calipso.errors import Unavailable
from calipso.events.values import Resources
from calipso.runtimes.kubernetes import KubernetesRuntime
from calipso.runtimes.looking import why_not_yet
from calipso.runtimes.protocol import Order, Status

pytestmark = [pytest.mark.kubernetes, pytest.mark.slow]
GRACE = timedelta(seconds=3)


@pytest.fixture
def binding(cluster_binding: ClusterBinding) -> ClusterBinding:
    return cluster_binding


@pytest.fixture
def claim(binding: ClusterBinding, open_root: Path) -> Iterator[str]:
    """A claim, whose top is a folder of this machine."""
    name = f"calipso-test-{binding.installation[:8]}"
    capacity = {"storage": "1Gi"}
    common = {"accessModes": ["ReadWriteMany"], "storageClassName": ""}
    volume = {**common, "capacity": capacity, "hostPath": {"path": str(open_root), "type": "Directory"}}
    wanted = {**common, "resources": {"requests": capacity}, "volumeName": name}
    metadata = {"name": name}
    # dicts are taken too
    binding.core.create_persistent_volume({"metadata": metadata, "spec": volume})  # type: ignore[arg-type]
    binding.core.create_namespaced_persistent_volume_claim("default", {"metadata": metadata, "spec": wanted})  # type: ignore[arg-type]
    yield name
    with contextlib.suppress(NotFoundException):
        binding.core.delete_namespaced_persistent_volume_claim(name, "default")
    binding.core.delete_persistent_volume(name)


def test_folders_of_a_claim(binding: ClusterBinding, open_root: Path, claim: str) -> None:
    top = Path("/data/results")
    runtime = binding.runtime(roots=(str(top),), volumes=f"claim:{claim}:{top}")
    wanted = order(binding.image("tiny"), volumes=volumes_of(top / "p1" / "out"))
    usable(runtime, wanted, seconds=60)
    assert binding.can_write(wanted.name, "/data/0")
    written = (open_root / "p1" / "out" / "written").stat()
    assert (written.st_uid, written.st_gid) == (IDENTITY.uid, IDENTITY.gid)

    (open_root / "out").symlink_to("/etc")
    refused(runtime, order(binding.image("tiny"), volumes=volumes_of(top / "out")), f"{top}/out leads out of {top}")


def test_a_file_system_that_is_away_is_told_by_the_folders_name(binding: ClusterBinding, open_root: Path) -> None:
    (open_root / "dead").mkdir()
    runtime = binding.runtime(roots=(str(open_root),))
    wanted = order(binding.image("tiny"), volumes=volumes_of(open_root / "dead"))
    with dead_folder(open_root / "dead"):
        refused(runtime, wanted, f"the folder {open_root}/dead does not answer within 10 s")
        runtime.remove(wanted.request.container_id)


def test_an_eviction_is_told(binding: ClusterBinding) -> None:
    runtime, wanted = binding.runtime(), order(binding.image("tiny"))
    usable(runtime, wanted)
    # more than the folder in memory may hold
    binding.run(wanted.name, "dd if=/dev/zero of=/tmp/much bs=1048576 count=40")

    def is_evicted() -> bool:
        seen = runtime.observe(wanted.request.container_id)
        return seen is not None and seen.status is Status.EXITED

    wait_until(is_evicted, seconds=90)
    assert 'Evicted: Usage of EmptyDir volume "tmp" exceeds the limit' in exited(runtime, wanted).detail


def test_the_end_by_lack_of_memory_is_told(binding: ClusterBinding) -> None:
    runtime, wanted = binding.runtime(), order(binding.image("tiny"))
    usable(runtime, wanted)
    # in the container's memory: an endless line
    binding.tries(wanted.name, "tail /dev/zero")
    binding.kill(wanted.name)
    assert exited(runtime, wanted).detail == "out of memory"


def test_inside_the_cluster_the_account_of_the_pod_is_used(
    binding: ClusterBinding, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = yaml.safe_load(binding.kubeconfig.read_text())
    (cluster,), (user,) = given["clusters"], given["users"]
    host, _, port = cluster["cluster"]["server"].removeprefix("https://").partition(":")
    token, authority = tmp_path / "token", tmp_path / "ca.crt"
    if "certificate-authority-data" in cluster["cluster"]:
        authority.write_bytes(b64decode(cluster["cluster"]["certificate-authority-data"]))
    else:
        shutil.copy(cluster["cluster"]["certificate-authority"], authority)
    # where a kubelet puts them, and what it says of the server
    monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(token))
    monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", str(authority))
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", host)
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", port)
    runtime = binding.made("in-cluster", "here", f"ours-{binding.installation}")

    with pytest.raises(Unavailable, match="token file does not exist"):
        runtime.ping()
    token.write_text("expired")
    with pytest.raises(Unavailable, match="Unauthorized"):
        runtime.ping()
    token.write_text(user["user"]["token"])
    wanted = order(binding.image("tiny"))
    usable(runtime, wanted)
    assert list(runtime.list()) == [wanted.request.container_id]


def test_many_at_one_time(binding: ClusterBinding) -> None:
    """All come to run, or are told why they do not; none is lost, and none stays when they all end."""
    runtime, spec = binding.runtime(), binding.image("tiny")
    small, large = Resources(millicores=50, memory=16 * 2**20), Resources(millicores=512_000)
    fitting = [order(replace(spec, resources=small)) for _ in range(16)]
    others = [order(replace(spec, resources=large)) for _ in range(4)]
    everyone = [each.request.container_id for each in (*fitting, *others)]
    with ThreadPoolExecutor(len(everyone)) as pool:
        ports = [pool.submit(usable, runtime, each, 90) for each in fitting]
        reasons = [pool.submit(_held_up, runtime, each) for each in others]
        assert all(running.result().port for running in ports)
        assert all("Unschedulable" in told.result() and "Insufficient cpu" in told.result() for told in reasons)
        assert set(runtime.list()) == set(everyone)

        list(pool.map(lambda each: runtime.stop(each, grace=GRACE), everyone))
        assert all(seen.status is Status.EXITED for seen in runtime.list().values())
        list(pool.map(runtime.remove, everyone))
    assert runtime.list() == {}
    assert [things(binding, each) for each in everyone] == [[]] * len(everyone)


def _held_up(runtime: KubernetesRuntime, wanted: Order) -> str:
    """Start what will not come to run; gives what the cluster says of it."""
    runtime.start(wanted)

    def told() -> str:
        return asyncio.run(why_not_yet(runtime, wanted.request.container_id))

    wait_until(told, seconds=60)
    return told()
