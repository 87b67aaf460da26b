"""Folders of pods: made where they are missing, by their account, on the node; no link leads out of their root."""

import re
import stat
from pathlib import Path
from typing import Any

import pytest
from tests.runtimes.binding import usable
from tests.runtimes.kubernetes_binding import KubernetesBinding
from tests.runtimes.orders import IDENTITY, order, volumes_of, wait_until

from calipso.events.values import FailureReason
from calipso.runtimes.protocol import ContainerRuntime, Order, RuntimeFailed


class VolumesContract:
    """The tests; a cluster whose node is this machine gives a fixture `binding`."""

    def test_missing_folders_are_made_by_the_account(self, binding: KubernetesBinding, open_root: Path) -> None:
        volumes = volumes_of(open_root / "a" / "out", open_root / "in")
        wanted = order(binding.image("tiny"), volumes=volumes, workdir=volumes[0].bind)
        usable(binding.runtime(roots=(str(open_root),)), wanted)
        assert binding.can_write(wanted.name, volumes[0].bind)
        for folder in (open_root / "a" / "out", open_root / "in"):
            found = folder.stat()
            assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (IDENTITY.uid, IDENTITY.gid, 0o750)

    def test_folders_that_a_container_saw_are_not_looked_at_again(
        self, binding: KubernetesBinding, open_root: Path
    ) -> None:
        runtime = binding.runtime(roots=(str(open_root),))
        first, second, third = (
            order(binding.image("tiny"), volumes=volumes_of(*(open_root / name for name in names)))
            for names in ("a", "a", "ab")
        )
        usable(runtime, first)
        runtime.observe(first.request.container_id)
        usable(runtime, second)
        usable(runtime, third)
        assert [bool(binding.pod(each.name).spec.init_containers) for each in (first, second, third)] == [
            True,
            False,
            True,
        ]

    @pytest.mark.parametrize("name", ["out", "out/below", "deep/out"])
    def test_a_link_out_of_the_root_is_refused(self, binding: KubernetesBinding, open_root: Path, name: str) -> None:
        (open_root / "root" / "deep").mkdir(parents=True)
        (open_root / "secret").mkdir()
        for link in ("out", "deep/out"):
            (open_root / "root" / link).symlink_to(open_root / "secret")
        runtime = binding.runtime(roots=(str(open_root / "root"),))
        wanted = order(binding.image("tiny"), volumes=volumes_of(open_root / "root" / name))
        refused(runtime, wanted, f"{open_root}/root/{name} leads out of {open_root}/root")
        assert not list((open_root / "secret").iterdir())

    def test_a_link_that_came_later_is_not_followed_out(self, binding: KubernetesBinding, open_root: Path) -> None:
        """What the folder was when a container saw it proves nothing of what it is."""
        (open_root / "root").mkdir()
        (open_root / "root").chmod(0o777)
        (open_root / "secret").mkdir()
        volumes = volumes_of(open_root / "root" / "a")
        runtime = binding.runtime(roots=(str(open_root / "root"),))
        first = order(binding.image("tiny"), volumes=volumes)
        usable(runtime, first)
        runtime.observe(first.request.container_id)
        runtime.remove(first.request.container_id)
        (open_root / "root" / "a").rmdir()
        (open_root / "root" / "a").symlink_to(open_root / "secret")
        second = order(binding.image("tiny"), volumes=volumes)
        refused(runtime, second, f"({open_root}/root/a)")
        assert not binding.pod(second.name).spec.init_containers

    def test_a_link_inside_the_root_is_followed(self, binding: KubernetesBinding, open_root: Path) -> None:
        (open_root / "b").mkdir()
        (open_root / "b").chmod(0o777)
        (open_root / "a").symlink_to(open_root / "b")
        wanted = order(binding.image("tiny"), volumes=volumes_of(open_root / "a" / "c"))
        usable(binding.runtime(roots=(str(open_root),)), wanted)
        assert binding.can_write(wanted.name, "/data/0")
        assert (open_root / "b" / "c").is_dir()

    def test_what_the_account_may_not_make_is_told(self, binding: KubernetesBinding, open_root: Path) -> None:
        open_root.chmod(0o755)
        wanted = order(binding.image("tiny"), volumes=volumes_of(open_root / "a"))
        why = f"the folder {open_root}/a cannot be made by user {IDENTITY.uid}: Permission denied"
        refused(binding.runtime(roots=(str(open_root),)), wanted, why)

    @pytest.mark.parametrize("is_root", [True, False])
    def test_a_folder_that_is_not_made_is_told_by_its_name(
        self, binding: KubernetesBinding, open_root: Path, *, is_root: bool
    ) -> None:
        """A root of the facility, and a folder that lies below none."""
        folder = open_root / "none"
        runtime = binding.runtime(roots=(str(folder),) if is_root else ())
        wanted = order(binding.image("tiny"), volumes=volumes_of(folder / "a" if is_root else folder))
        refused(runtime, wanted, f"hostPath type check failed: {folder} is not a directory")
        assert not folder.exists()

    def test_an_image_of_its_own_makes_folders(self, binding: KubernetesBinding, open_root: Path) -> None:
        runtime = binding.runtime(roots=(str(open_root),), folder_image="docker.io/calipso/tiny:1-vnc")
        wanted = order(binding.image("tiny"), volumes=volumes_of(open_root / "a"))
        usable(runtime, wanted)
        (preparing,) = binding.pod(wanted.name).spec.init_containers
        assert preparing.image == "docker.io/calipso/tiny:1-vnc"

        absent = binding.runtime(roots=(str(open_root),), folder_image="missing.invalid/none:1")
        wanted = order(binding.image("tiny"), volumes=volumes_of(open_root / "b"))
        with pytest.raises(RuntimeFailed, match=r"missing\.invalid") as caught:
            usable(absent, wanted)
        assert caught.value.reason is FailureReason.IMAGE_MISSING

    def test_what_makes_folders_has_no_privileges_either(self, binding: KubernetesBinding, open_root: Path) -> None:
        wanted = order(binding.image("tiny"), volumes=volumes_of(open_root / "a"))
        binding.runtime(roots=(str(open_root),)).start(wanted)
        spec = binding.pod(wanted.name).spec
        (preparing,) = spec.init_containers
        assert preparing.security_context == spec.containers[0].security_context
        assert preparing.resources == spec.containers[0].resources

    def test_a_pod_that_is_making_folders_can_be_stopped(self, binding: KubernetesBinding, open_root: Path) -> None:
        runtime = binding.runtime(roots=(str(open_root),))
        wanted = order(binding.image("tiny"), volumes=volumes_of(open_root / "a"))
        runtime.start(wanted)
        runtime.remove(wanted.request.container_id)
        wait_until(lambda: runtime.observe(wanted.request.container_id) is None)


def refused(runtime: ContainerRuntime, wanted: Order, why: str) -> Any:  # noqa: ANN401 - the failure
    """Start what must not come to be, and clear away."""
    with pytest.raises(RuntimeFailed, match=re.escape(why)) as caught:
        usable(runtime, wanted)
    assert caught.value.reason is FailureReason.REJECTED
    return caught.value
