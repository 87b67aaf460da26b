"""Folders are made where they are missing, for the right account, and never past a link that leads out."""

import os
import stat
from pathlib import Path

import pytest

from calipso.events.values import FailureReason, Identity, Mode, Volume
from calipso.runtimes.docker.folders import make_folders
from calipso.runtimes.protocol import RuntimeFailed

ME = Identity(uid=os.getuid(), gid=os.getgid())


@pytest.fixture
def root(tmp_path: Path) -> Path:
    made = tmp_path / "root"
    made.mkdir()
    return made


def make(folder: Path, root: Path, identity: Identity = ME) -> None:
    make_folders([Volume(source=str(folder), bind="/b", mode=Mode.READ_WRITE)], identity, [str(root)])


def mode(folder: Path) -> int:
    return stat.S_IMODE(folder.stat().st_mode)


def test_a_missing_folder_is_made_with_all_above_it(tmp_path: Path) -> None:
    root = tmp_path / "also" / "missing"
    make(root / "a" / "b", root)
    assert mode(root / "a" / "b") == 0o750
    assert mode(root / "a") == 0o755


def test_what_is_there_is_left_as_it_is(root: Path) -> None:
    (root / "a").mkdir(mode=0o700)
    (root / "file").write_text("x")
    make(root / "a", root)
    make(root / "file", root)
    assert mode(root / "a") == 0o700


def test_what_lies_below_no_root_is_left_to_the_engine(tmp_path: Path, root: Path) -> None:
    make(tmp_path / "elsewhere", root)
    assert not (tmp_path / "elsewhere").exists()


def test_a_folder_that_a_dead_process_left_half_made_is_finished(root: Path) -> None:
    (root / "a").mkdir()
    (root / "a").chmod(0o1700)
    make(root / "a", root)
    assert mode(root / "a") == 0o750


def test_a_link_inside_the_root_is_followed(root: Path) -> None:
    (root / "b").mkdir()
    (root / "a").symlink_to(root / "b")
    make(root / "a" / "c", root)
    assert (root / "b" / "c").is_dir()


@pytest.mark.parametrize("source", ["out", "out/below", "out/deep/below"])
def test_a_link_out_of_the_root_is_refused(tmp_path: Path, root: Path, source: str) -> None:
    (tmp_path / "secret").mkdir()
    (root / "out").symlink_to(tmp_path / "secret")
    with pytest.raises(RuntimeFailed, match="leads out") as caught:
        make(root / source, root)
    assert caught.value.reason is FailureReason.REJECTED
    assert not list((tmp_path / "secret").iterdir())


def test_what_cannot_be_made_is_told_by_its_name(root: Path) -> None:
    (root / "file").write_text("x")
    with pytest.raises(RuntimeFailed, match="root/file/below cannot be made: Not a directory"):
        make(root / "file" / "below", root)
