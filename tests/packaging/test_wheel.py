"""What is built holds what is written: a wheel without modules would be built without a word."""

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path, PurePosixPath

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the source distribution, and with the wheel that is built from it."""
    folder = tmp_path_factory.mktemp("dist")
    command: list[str | Path] = [sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def only(folder: Path, pattern: str) -> Path:
    (found,) = folder.glob(pattern)
    return found


def written(folder: str) -> set[PurePosixPath]:
    """The files of a folder of the tree, without what running them leaves behind."""
    paths = (ROOT / folder).rglob("*")
    return {
        PurePosixPath(path.relative_to(ROOT / folder))
        for path in paths
        if path.is_file() and "__pycache__" not in path.parts
    }


def below(folder: str, names: list[str]) -> set[PurePosixPath]:
    paths = map(PurePosixPath, names)
    return {path.relative_to(folder) for path in paths if path.is_relative_to(folder)}


def test_the_wheel_has_every_module(built: Path) -> None:
    with zipfile.ZipFile(only(built, "*.whl")) as wheel:
        names = [info.filename for info in wheel.infolist() if not info.is_dir()]
    assert below("calipso", names) == written("src")
    top = {PurePosixPath(name).parts[0] for name in names}
    assert sorted(name.rpartition(".")[2] for name in top) == ["calipso", "dist-info"]


def test_the_wheel_has_the_command_and_the_licence(built: Path) -> None:
    with zipfile.ZipFile(only(built, "*.whl")) as wheel:
        texts = {
            PurePosixPath(name).name: wheel.read(name).decode() for name in wheel.namelist() if "dist-info" in name
        }
    assert "calipso = calipso.__main__:main" in texts["entry_points.txt"]
    assert texts["LICENSE"] == (ROOT / "LICENSE").read_text(encoding="utf-8")


def test_the_source_distribution_has_the_sources(built: Path) -> None:
    path = only(built, "*.tar.gz")
    root = path.name.removesuffix(".tar.gz")
    with tarfile.open(path) as archive:
        names = [member.name for member in archive.getmembers() if member.isfile()]
    assert below(f"{root}/src", names) == written("src")
    assert below(f"{root}/tests", names) >= {path for path in written("tests") if path.suffix == ".json"}
