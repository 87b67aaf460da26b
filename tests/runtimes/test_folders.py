"""Folders are made where they are missing, for the right account, and never past a link that leads out."""

import os
import stat
import sys
import time
from pathlib import Path

import pytest
from tests.conftest import PATIENCE
from tests.dead_folder import dead_folder

from calipso.events.values import FailureReason, Identity, Mode, Volume
from calipso.runtimes.folders import make_folders, program
from calipso.runtimes.protocol import RuntimeFailed

ME = Identity(uid=os.getuid(), gid=os.getgid())
ADA = Identity(uid=5001, gid=5002, groups=(100,))
PROGRAM = Path(program.__file__)
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="NOT ROOT: folders of others cannot be made here")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    made = tmp_path / "root"
    made.mkdir()
    return made


def make(folder: Path, root: Path, identity: Identity = ME) -> None:
    make_folders([volume_of(folder)], identity, [str(root)])


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


@as_root
def test_a_folder_is_made_by_its_account_where_that_may(open_root: Path) -> None:
    make(open_root / "a" / "b", open_root, ADA)
    # what lies above would be root's if root had made it
    assert owner(open_root / "a") == owner(open_root / "a" / "b") == (ADA.uid, ADA.gid)
    assert (mode(open_root / "a"), mode(open_root / "a" / "b")) == (0o755, 0o750)


@as_root
def test_root_gives_a_folder_away_where_its_account_may_not_make_it(root: Path) -> None:
    make(root / "a" / "b", root, ADA)
    assert (owner(root / "a"), owner(root / "a" / "b")) == ((0, 0), (ADA.uid, ADA.gid))
    assert mode(root / "a" / "b") == 0o750


@as_root
def test_a_root_of_the_facility_belongs_to_no_user(open_root: Path) -> None:
    make(open_root / "results" / "a", open_root / "results", ADA)
    assert owner(open_root / "results") == (0, 0)


@as_root
@pytest.mark.parametrize(("of", "bits", "is_made"), [(7777, 0o1777, True), (7777, 0o755, False), (0, 0o755, False)])
def test_where_root_is_squashed_the_account_makes_what_it_may(
    open_root: Path, of: int, bits: int, *, is_made: bool
) -> None:
    os.chown(open_root, of, of)
    open_root.chmod(bits)
    # towards the file system, root is nobody special
    squashed = ["setpriv", "--bounding-set=-chown,-dac_override,-dac_read_search,-fowner"]
    command = [*squashed, sys.executable, "-I", "-S", str(PROGRAM)]
    if is_made:
        make_folders([volume_of(open_root / "a")], ADA, [str(open_root)], program=command)
        assert owner(open_root / "a") == (ADA.uid, ADA.gid)
    else:
        with pytest.raises(RuntimeFailed, match=f"the folder {open_root}/a cannot be made: "):
            make_folders([volume_of(open_root / "a")], ADA, [str(open_root)], program=command)
        assert not (open_root / "a").exists()


@as_root
def test_the_link_of_another_is_not_followed_out_by_root_either(tmp_path: Path, root: Path) -> None:
    (tmp_path / "secret").mkdir()
    (root / "closed").mkdir(mode=0o700)
    (root / "closed" / "out").symlink_to(tmp_path / "secret")
    with pytest.raises(RuntimeFailed, match="leads out"):
        make(root / "closed" / "out" / "a", root, ADA)
    assert not list((tmp_path / "secret").iterdir())


def test_the_innermost_root_counts(root: Path) -> None:
    (root / "a").mkdir()
    (root / "b").mkdir()
    (root / "a" / "out").symlink_to(root / "b")
    with pytest.raises(RuntimeFailed, match="a/out leads out"):
        make_folders([volume_of(root / "a" / "out")], ME, [str(root), str(root / "a")])


@as_root
@pytest.mark.parametrize("where", ["", "below"])
def test_a_file_system_that_is_away_is_told_by_the_folders_name(root: Path, where: str) -> None:
    (root / "fine").mkdir()
    (root / "dead").mkdir()
    wanted = [root / "fine", root / "dead" / where]
    begun = time.monotonic()
    with dead_folder(root / "dead"), pytest.raises(RuntimeFailed, match=f"{wanted[1]} does not answer within 2 s"):
        make_folders([volume_of(folder) for folder in wanted], ME, [str(root)], seconds=2)
    assert time.monotonic() - begun < PATIENCE / 10


@as_root
def test_what_lies_below_no_root_must_answer_too(root: Path) -> None:
    (root / "dead").mkdir()
    with dead_folder(root / "dead"), pytest.raises(RuntimeFailed, match="dead does not answer"):
        make_folders([volume_of(root / "dead")], ME, [], seconds=2)


def volume_of(folder: Path) -> Volume:
    return Volume(source=str(folder), bind="/b", mode=Mode.READ_WRITE)


def owner(folder: Path) -> tuple[int, int]:
    found = folder.stat()
    return found.st_uid, found.st_gid
