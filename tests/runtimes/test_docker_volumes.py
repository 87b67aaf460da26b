"""Folders of containers on a Docker Engine: made where they are missing, by their account, within a time."""

import contextlib
import re
import stat
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import PATIENCE
from tests.dead_folder import dead_folder
from tests.runtimes.binding import usable
from tests.runtimes.docker_binding import DockerBinding
from tests.runtimes.orders import IDENTITY, order, volumes_of
from tests.runtimes.proxy import Proxy

from calipso.events.values import FailureReason, Mode, Protocol, Runtime, Volume
from calipso.runtimes.docker import DockerRuntime
from calipso.runtimes.protocol import Order, RuntimeFailed, Target

pytestmark = pytest.mark.docker


@pytest.fixture
def binding(docker_binding: DockerBinding) -> DockerBinding:
    return docker_binding


@pytest.fixture
def proxy(binding: DockerBinding) -> Iterator[Proxy]:
    with contextlib.closing(Proxy(binding.address.removeprefix("unix://"))) as made:
        yield made


def test_missing_folders_below_a_root_are_made_for_the_account(binding: DockerBinding, tmp_path: Path) -> None:
    root = tmp_path / "results"
    folders = root / "a" / "out", root / "a" / "in"
    volumes = (
        Volume(source=str(folders[0]), bind="/tmp/results/a", mode=Mode.READ_WRITE),
        Volume(source=str(folders[1]), bind="/tmp/data/a", mode=Mode.READ_ONLY),
    )
    wanted = order(binding.image("tiny"), volumes=volumes, workdir=volumes[0].bind)
    usable(binding.runtime(roots=(str(root),)), wanted)
    assert binding.can_write(wanted.name, volumes[0].bind)
    assert not binding.can_write(wanted.name, volumes[1].bind)
    for folder in folders:
        found = folder.stat()
        assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (IDENTITY.uid, IDENTITY.gid, 0o750)
    assert (folders[0] / "written").stat().st_uid == IDENTITY.uid


def test_a_missing_folder_elsewhere_is_refused_by_its_name(binding: DockerBinding, tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    volumes = (Volume(source=str(missing), bind="/data/x", mode=Mode.READ_ONLY),)
    runtime = binding.runtime(roots=(str(tmp_path / "results"),))
    with pytest.raises(RuntimeFailed, match=str(missing)) as caught:
        runtime.start(order(binding.image("tiny"), volumes=volumes))
    assert caught.value.reason is FailureReason.REJECTED
    assert not missing.exists()
    assert runtime.list() == {}


class TestElsewhere:
    """Folders of an engine that is not on this host, as far as the runtime can tell."""

    @pytest.fixture
    def far(self, binding: DockerBinding, proxy: Proxy) -> Callable[..., DockerRuntime]:
        address = f"tcp://127.0.0.1:{proxy.port}"

        def made(root: Path, folder_image: str = "", folder_seconds: int = 60, **options: Any) -> DockerRuntime:  # noqa: ANN401 - the runtime's own
            target = Target(name="here", runtime=Runtime.DOCKER, address=address, folder_image=folder_image)
            return binding.made(target, roots=(str(root),), folder_seconds=folder_seconds, **options)

        return made

    def test_missing_folders_are_made_by_the_account(
        self, binding: DockerBinding, far: Callable[..., DockerRuntime], open_root: Path
    ) -> None:
        volumes = volumes_of(open_root / "a" / "out", open_root / "in")
        runtime, wanted = far(open_root), order(binding.image("tiny"), volumes=volumes)
        usable(runtime, wanted)
        assert binding.can_write(wanted.name, volumes[0].bind)
        for folder in (open_root / "a" / "out", open_root / "in"):
            found = folder.stat()
            assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (IDENTITY.uid, IDENTITY.gid, 0o750)
        assert list(runtime.list()) == [wanted.request.container_id]
        assert left_of_folders(binding, wanted) == []

    def test_what_the_account_may_not_make_is_told(
        self, binding: DockerBinding, far: Callable[..., DockerRuntime], open_root: Path
    ) -> None:
        open_root.chmod(0o755)
        why = f"{open_root}/out cannot be made by user {IDENTITY.uid}: Permission denied"
        self.refused(far(open_root), order(binding.image("tiny"), volumes=volumes_of(open_root / "out")), why)

    def test_a_link_out_of_the_root_is_refused(
        self, binding: DockerBinding, far: Callable[..., DockerRuntime], open_root: Path, tmp_path: Path
    ) -> None:
        (open_root / "root").mkdir()
        (open_root / "root" / "out").symlink_to("/etc")
        (open_root / "root" / "away").symlink_to(tmp_path)
        for name in ("out", "away", "away/below"):
            wanted = order(binding.image("tiny"), volumes=volumes_of(open_root / "root" / name))
            self.refused(far(open_root / "root"), wanted, f"{name} leads out of {open_root}/root")

    def test_a_link_inside_the_root_is_followed(
        self, binding: DockerBinding, far: Callable[..., DockerRuntime], open_root: Path
    ) -> None:
        (open_root / "b").mkdir(mode=0o777)
        (open_root / "b").chmod(0o777)
        (open_root / "a").symlink_to(open_root / "b")
        usable(far(open_root), order(binding.image("tiny"), volumes=volumes_of(open_root / "a" / "c")))
        assert (open_root / "b" / "c").is_dir()

    def test_a_root_that_is_missing_is_told(
        self, binding: DockerBinding, far: Callable[..., DockerRuntime], open_root: Path
    ) -> None:
        wanted = order(binding.image("tiny"), volumes=volumes_of(open_root / "none" / "a"))
        self.refused(far(open_root / "none"), wanted, f"{open_root}/none")

    def test_a_file_system_that_is_away_is_told_by_its_name(
        self, binding: DockerBinding, far: Callable[..., DockerRuntime], open_root: Path
    ) -> None:
        (open_root / "dead").mkdir()
        wanted = order(binding.image("tiny"), volumes=volumes_of(open_root / "dead"))
        with dead_folder(open_root / "dead"):
            self.refused(far(open_root, folder_seconds=2), wanted, f"{open_root}/dead does not answer within 2 s")

    def test_a_root_that_is_away_is_told_by_the_folders_name(
        self, binding: DockerBinding, far: Callable[..., DockerRuntime], open_root: Path
    ) -> None:
        wanted = order(binding.image("tiny"), volumes=volumes_of(open_root / "a"))
        with dead_folder(open_root):
            self.refused(far(open_root, folder_seconds=2, timeout=5), wanted, f"{open_root}/a does not answer within")

    def test_an_image_of_its_own_makes_folders(
        self, binding: DockerBinding, far: Callable[..., DockerRuntime], open_root: Path
    ) -> None:
        volumes = volumes_of(open_root / "a")
        usable(far(open_root, "calipso/tiny:1"), order(binding.image("vnc", Protocol.VNC), volumes=volumes))
        assert (open_root / "a").is_dir()
        wanted = order(binding.image("tiny"), volumes=volumes)
        with pytest.raises(RuntimeFailed, match="folder_image") as caught:
            far(open_root, "calipso/none:1").start(wanted)
        assert caught.value.reason is FailureReason.IMAGE_MISSING

    @pytest.mark.parametrize("verb", ["start", "stop", "remove"])
    def test_what_a_dead_provisioner_left_is_told_and_goes_with_whatever_is_done_next(
        self, binding: DockerBinding, far: Callable[..., DockerRuntime], open_root: Path, verb: str
    ) -> None:
        runtime, wanted = far(open_root), order(binding.image("tiny"), volumes=volumes_of(open_root / "a"))
        labels = {
            "calipso.installation": binding.installation,
            "calipso.target": "here",
            "calipso.folders": str(wanted.request.container_id),
        }
        binding.engine.create_container("calipso/tiny:1", labels=labels)
        # so the reconciler finds it when the container's record has ended
        assert list(runtime.list()) == [wanted.request.container_id]
        match verb:
            case "start":
                runtime.start(wanted)
            case "stop":
                runtime.stop(wanted.request.container_id, grace=timedelta())
            case _:
                runtime.remove(wanted.request.container_id)
        assert left_of_folders(binding, wanted) == []

    def refused(self, runtime: DockerRuntime, wanted: Order, why: str) -> None:
        with pytest.raises(RuntimeFailed, match=re.escape(why)) as caught:
            runtime.start(wanted)
        assert caught.value.reason is FailureReason.REJECTED
        assert runtime.list() == {}
        with runtime._engine.client() as client:
            assert not client.containers(all=True, filters={"label": f"calipso.folders={wanted.request.container_id}"})


def test_a_folder_of_this_host_that_is_away_fails_the_start(binding: DockerBinding, open_root: Path) -> None:
    (open_root / "dead").mkdir()
    for roots in ((), (str(open_root),)):
        runtime = binding.runtime(roots=roots, folder_seconds=2)
        wanted = order(binding.image("tiny"), volumes=volumes_of(open_root / "dead"))
        begun = time.monotonic()
        with dead_folder(open_root / "dead"), pytest.raises(RuntimeFailed, match=f"{open_root}/dead does not answer"):
            runtime.start(wanted)
        assert time.monotonic() - begun < PATIENCE / 10
        assert runtime.list() == {}


def left_of_folders(binding: DockerBinding, wanted: Order) -> list[Any]:
    """What is left of the containers that make folders."""
    label = f"calipso.folders={wanted.request.container_id}"
    return list(binding.engine.containers(all=True, filters={"label": label}))
