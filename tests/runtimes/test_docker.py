"""The runtime on a real Docker Engine keeps the contract, and does what only an engine can show."""

import contextlib
import gc
import io
import os
import socket
import tarfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from docker import APIClient
from tests.conftest import PATIENCE
from tests.runtimes.binding import Ear, exited, usable
from tests.runtimes.contract import RuntimeContract
from tests.runtimes.docker_binding import DockerBinding
from tests.runtimes.optional_contract import ForceContract, ServiceContract
from tests.runtimes.orders import RESOURCES, SECRET, order, wait_until
from tests.runtimes.proxy import Proxy
from tests.runtimes.reconciling_contract import ReconcilingContract

from calipso.errors import Unavailable
from calipso.events.values import FailureReason, Protocol, Resources, Runtime
from calipso.runtimes.protocol import Order, RuntimeFailed, Status, Target

pytestmark = pytest.mark.docker


@pytest.fixture
def binding(docker_binding: DockerBinding) -> DockerBinding:
    return docker_binding


class TestDocker(RuntimeContract, ForceContract, ServiceContract):
    """The contract."""


class TestReconciledDocker(ReconcilingContract):
    """What the reconciler does."""


def with_resources(wanted: Order, resources: Resources) -> Order:
    return replace(wanted, request=replace(wanted.request, resources=resources))


def test_a_container_is_locked_down(binding: DockerBinding) -> None:
    wanted = order(binding.image("tiny"))
    usable(binding.runtime(pids_limit=77, log_max_bytes=12345), wanted)
    host = binding.inspect(wanted.name)["HostConfig"]
    assert host["CapDrop"] == ["ALL"]
    assert host["SecurityOpt"] == ["no-new-privileges:true"]
    assert host["MemorySwap"] == host["Memory"]
    assert host["PidsLimit"] == 77
    assert host["RestartPolicy"]["Name"] == "no"
    assert host["LogConfig"] == {"Type": "json-file", "Config": {"max-size": "12345", "max-file": "2"}}
    assert not host["Privileged"]
    capabilities = binding.run(wanted.name, "grep CapEff /proc/self/status").split()[1]
    assert int(capabilities, 16) == 0


def test_the_root_is_read_only_and_memory_folders_are_sized(binding: DockerBinding) -> None:
    wanted = order(binding.image("tiny"))
    usable(binding.runtime(), wanted)
    assert not binding.can_write(wanted.name, "/www")
    assert binding.can_write(wanted.name, "/tmp")
    assert binding.can_write(wanted.name, "/run")
    sizes = {
        line.split()[5]: int(line.split()[1]) * 1024 for line in binding.run(wanted.name, "df -k").splitlines()[1:]
    }
    assert sizes["/tmp"] == RESOURCES.memory // 2
    assert sizes["/run"] == RESOURCES.memory // 8


def test_only_the_service_is_published_on_the_private_address(binding: DockerBinding) -> None:
    wanted = order(binding.image("vnc", Protocol.VNC))
    seen = binding.runtime().start(wanted)
    published = binding.inspect(wanted.name)["NetworkSettings"]["Ports"]
    assert published == {"5901/tcp": [{"HostIp": "127.0.0.1", "HostPort": str(seen.port)}]}


def test_a_port_hook_names_the_port(binding: DockerBinding) -> None:
    seen = binding.runtime().start(order(replace(binding.image("tiny"), port_hook="9999/tcp")))
    assert seen.port
    assert "9999/tcp" in binding.inspect(seen.name)["NetworkSettings"]["Ports"]


def test_processors_end_at_what_the_engine_has(binding: DockerBinding, engine: APIClient) -> None:
    wanted = with_resources(order(binding.image("tiny")), Resources(millicores=10**6, memory=RESOURCES.memory))
    binding.runtime().start(wanted)
    assert binding.inspect(wanted.name)["HostConfig"]["NanoCpus"] == engine.info()["NCPU"] * 10**9


def test_no_processors_and_no_memory_mean_no_limit(binding: DockerBinding) -> None:
    wanted = with_resources(order(binding.image("tiny")), Resources())
    usable(binding.runtime(), wanted)
    host = binding.inspect(wanted.name)["HostConfig"]
    assert (host["NanoCpus"], host["Memory"]) == (0, 0)


def test_the_end_by_lack_of_memory_is_told(binding: DockerBinding) -> None:
    runtime, wanted = binding.runtime(), order(binding.image("tiny"))
    usable(runtime, wanted)
    # as the container's account, in the container's memory: an endless line
    binding.engine.exec_start(binding.engine.exec_create(wanted.name, "tail /dev/zero")["Id"])
    binding.kill(wanted.name)
    assert exited(runtime, wanted).detail == "out of memory"


def test_what_was_made_and_not_started_is_adopted_with_its_secret(binding: DockerBinding) -> None:
    runtime, wanted = binding.runtime(), order(binding.image("vnc", Protocol.VNC))
    with runtime._engine.client() as client:
        made = runtime._create(client, wanted)
    seen = runtime.observe(wanted.request.container_id)
    assert seen is not None
    assert seen.status is Status.CREATED
    assert usable(runtime, wanted).runtime_id == made
    assert binding.reality(wanted.name).secret == SECRET


def test_nobody_is_named_in_the_container_of_another(binding: DockerBinding) -> None:
    runtime, image = binding.runtime(), binding.image("tiny")
    first, second, third = (order(image) for _ in range(3))
    second = of_account(second, "grace", 12346)
    third = of_account(third, "katherine", 12347)
    # the first names that this runtime reads are of a container in which another one gave an account a name
    with runtime._engine.client() as client:
        made = runtime._create(client, first)
        binding.runtime()._launch(client, first, made)
        runtime._image_names.of(client, client.inspect_container(made))
    for wanted in (second, third):
        usable(runtime, wanted)
    assert "_ada_of_a_lab" in names_in(binding, first)
    assert names_in(binding, second) == {*names_in(binding, third), "grace"} - {"katherine"}
    assert "_ada_of_a_lab" not in names_in(binding, second)


def test_files_are_the_same_whoever_writes_them(binding: DockerBinding, proxy: Proxy) -> None:
    far = Target(name="far", runtime=Runtime.DOCKER, address=f"tcp://127.0.0.1:{proxy.port}")
    here, there = (order(binding.image("vnc", Protocol.VNC)) for _ in range(2))
    usable(binding.runtime(), here)
    usable(binding.made(far), there)
    for path in ("/etc/passwd", "/etc/group", "/run/secrets/vnc_password"):
        assert put_at(binding, here, path) == put_at(binding, there, path)


@pytest.mark.skipif(os.geteuid() != 0, reason="NOT ROOT: the engine itself writes")
def test_a_link_of_an_image_does_not_lead_us_out_of_its_volume(binding: DockerBinding, tmp_path: Path) -> None:
    runtime, wanted = binding.runtime(), order(binding.image("tiny"))
    (tmp_path / "precious").write_text("kept")
    with runtime._engine.client() as client:
        found = client.inspect_container(runtime._create(client, wanted))
    place = Path(next(mount["Source"] for mount in found["Mounts"] if mount["Destination"] == "/etc"))
    (place / "passwd").unlink(missing_ok=True)
    (place / "passwd").symlink_to(tmp_path / "precious")
    usable(runtime, wanted)
    assert (tmp_path / "precious").read_text() == "kept"
    assert "_ada_of_a_lab" in names_in(binding, wanted)


def put_at(binding: DockerBinding, wanted: Order, path: str) -> tuple[bytes, int, int, int, int]:
    chunks, _ = binding.engine.get_archive(wanted.name, path)
    with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as archive:
        entry = archive.getmembers()[0]
        content = archive.extractfile(entry)
        assert content is not None
        return content.read(), entry.mode, entry.uid, entry.gid, int(entry.mtime)


def of_account(wanted: Order, account: str, uid: int) -> Order:
    identity = replace(wanted.request.identity, uid=uid)
    return replace(wanted, request=replace(wanted.request, account=account, identity=identity))


def names_in(binding: DockerBinding, wanted: Order) -> set[str]:
    return {line.split(":")[0] for line in binding.run(wanted.name, "cat /etc/passwd").splitlines()}


def test_a_refused_start_leaves_nothing_behind(binding: DockerBinding) -> None:
    elsewhere = Target(name="here", runtime=Runtime.DOCKER, address=binding.address, publish_address="203.0.113.9")
    runtime, wanted = binding.made(elsewhere), order(binding.image("vnc", Protocol.VNC))
    with pytest.raises(RuntimeFailed) as caught:
        runtime.start(wanted)
    assert caught.value.reason is FailureReason.REJECTED
    assert "203.0.113.9" in caught.value.detail
    assert runtime.list() == {}


def test_the_volumes_of_a_container_go_with_it(binding: DockerBinding, engine: APIClient) -> None:
    runtime, wanted = binding.runtime(), order(binding.image("vnc", Protocol.VNC))
    runtime.start(wanted)
    volumes = {mount["Destination"]: mount["Name"] for mount in binding.inspect(wanted.name)["Mounts"]}
    assert set(volumes) == {"/etc", "/run/secrets"}
    assert set(volumes.values()) <= {found["Name"] for found in engine.volumes()["Volumes"]}
    runtime.remove(wanted.request.container_id)
    assert not set(volumes.values()) & {found["Name"] for found in engine.volumes()["Volumes"] or ()}


def test_a_container_without_a_lawful_id_is_not_ours(binding: DockerBinding, engine: APIClient) -> None:
    labels = {"calipso.installation": f"ours-{binding.installation}", "calipso.target": "here"}
    for junk in ({}, {"calipso.container": "junk"}):
        engine.create_container("calipso/tiny:1", labels=labels | junk)
    assert binding.runtime().list() == {}


def test_a_working_folder_outside_the_volumes_is_left_to_the_image(binding: DockerBinding) -> None:
    wanted = order(binding.image("tiny"), workdir="/somewhere/else")
    binding.runtime().start(wanted)
    assert not binding.inspect(wanted.name)["Config"]["WorkingDir"]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_nothing_connects_before_it_is_used(binding: DockerBinding, tmp_path: Path) -> None:
    absent = Target(name="here", runtime=Runtime.DOCKER, address=f"unix://{tmp_path}/absent.sock")
    with pytest.raises(Unavailable, match=r"target here is not available: .*No such file"):
        binding.made(absent).ping()
    # the SDK leaves a socket that could not connect to the garbage collector, which warns
    gc.collect()


def test_an_engine_that_never_answers_counts_as_away(binding: DockerBinding, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(tmp_path / "s"))
        silent.listen()
        target = Target(name="here", runtime=Runtime.DOCKER, address=f"unix://{tmp_path}/s")
        begin = time.monotonic()
        with pytest.raises(Unavailable, match="timed out"):
            binding.made(target, timeout=1).list()
        assert time.monotonic() - begin < 15  # by itself it would wait for longer


@pytest.fixture
def proxy(binding: DockerBinding) -> Iterator[Proxy]:
    made = Proxy(binding.address.removeprefix("unix://"))
    with contextlib.closing(made):
        yield made


def test_a_target_that_comes_back_is_used_again(binding: DockerBinding, proxy: Proxy) -> None:
    runtime = binding.made(Target(name="here", runtime=Runtime.DOCKER, address=f"tcp://127.0.0.1:{proxy.port}"))
    assert runtime.list() == {}
    proxy.cut()
    with pytest.raises(Unavailable):
        runtime.list()
    proxy.mend()
    assert runtime.list() == {}


def test_a_watch_goes_on_where_it_was_cut(binding: DockerBinding, proxy: Proxy) -> None:
    target = Target(name="here", runtime=Runtime.DOCKER, address=f"tcp://127.0.0.1:{proxy.port}")
    near, far = binding.made(replace(target, address=binding.address)), binding.made(target)
    wanted = [order(binding.image("tiny")) for _ in range(2)]
    for each in wanted:
        near.start(each)
    first, second = (each.request.container_id for each in wanted)
    ear = Ear(far)
    try:
        wait_until(lambda: proxy.connections > 1)
        near.remove(first)
        wait_until(lambda: first in ear.heard)
        proxy.cut()
        near.remove(second)
        proxy.mend()
        wait_until(lambda: second in ear.heard)
    finally:
        assert ear.close() < PATIENCE / 10
