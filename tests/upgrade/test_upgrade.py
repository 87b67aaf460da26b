"""The data of an older program, with a desktop running, goes on with this one: nothing is lost, nobody notices."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psycopg
import pytest
from tests.acceptance.conftest import TINY, add_image, ours, remove_all
from tests.acceptance.system import PASSWORD, System, signed_in, system
from tests.conftest import wait_until
from tests.erasure.test_everywhere import TARGETS, assert_rebuilt, is_shown

from calipso.cli.common import running

pytestmark = [pytest.mark.docker, pytest.mark.slow]

ROOT = Path(__file__).parents[2]
# the commit before this one; and the oldest whose data is promised to be read, with events of versions that are no more
REVISIONS = {"previous": "HEAD^", "oldest": "8c498af106ef8477d38be202e2a1d8a138a88161"}


def wheel_of(revision: str, folder: Path) -> Path:
    """The program of a commit of this repository, built as a wheel and installed into a folder; gives the folder."""
    archive = subprocess.run(["git", "archive", revision], cwd=ROOT, capture_output=True, check=False)
    if archive.returncode:
        pytest.skip(f"needs the history of the repository: {archive.stderr.decode().strip()}")
    source = folder / "source"
    source.mkdir()
    # the library's own extraction knows no filter before Python 3.11.4, and warns without one
    subprocess.run(["tar", "-x"], input=archive.stdout, check=True, cwd=source)
    return installed(source, folder)


def installed(source: Path, folder: Path) -> Path:
    """A tree of the program, built as a wheel and installed into a folder beside; gives that folder."""
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    for command in (
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder / "wheel"), str(source)],
        [*pip, "install", "--no-index", "--no-deps", "--target", str(folder / "program"), "--find-links"],
    ):
        wheels = [str(folder / "wheel"), "calipso"] if "--find-links" in command else []
        subprocess.run([*command, *wheels], check=True, capture_output=True, env=environment, cwd=folder)
    return folder / "program"


@pytest.fixture(scope="module")
def this_program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this tree, installed into a folder."""
    return installed(ROOT, tmp_path_factory.mktemp("this"))


def stored(made: System) -> Sequence[tuple[Any, ...]]:
    """Every event, byte by byte."""
    with psycopg.connect(made.addresses()["database_url"]) as connection:
        return connection.execute("SELECT * FROM stored_events ORDER BY notification_id").fetchall()


def says_where_it_is(made: System) -> str:
    """The folder of the program that the installation runs."""
    code = "import calipso; print(calipso.__file__)"
    asked = subprocess.run(
        [sys.executable, "-c", code], env=made.environment, capture_output=True, text=True, check=True
    )
    return asked.stdout


@pytest.mark.parametrize("revision", REVISIONS)
async def test_desktops_and_data_go_on_with_a_newer_program(revision: str, this_program: Path, tmp_path: Path) -> None:
    older = await asyncio.to_thread(wheel_of, REVISIONS[revision], tmp_path)
    with system(CALIPSO_TARGETS=TARGETS, PYTHONPATH=str(older)) as made:
        assert says_where_it_is(made).startswith(str(older))
        await asyncio.to_thread(made.start)
        made.command("users", "add", "ada", "--password-stdin", stdin=PASSWORD)
        add_image(made, "tiny-vnc", f"{TINY}-vnc", "--protocol", "vnc")
        try:
            await _upgraded(made, this_program)
        finally:
            remove_all(made)


async def _upgraded(made: System, this_program: Path) -> None:
    async with signed_in(made, "ada") as ada:
        status, desktop = await ada.run("mine", "tiny-vnc")
        assert status == 201, desktop
        before, [container] = stored(made), ours(made)
        assert await asyncio.to_thread(made.stop) == 0

        made.env = {**made.env, "PYTHONPATH": str(this_program)}
        assert says_where_it_is(made).startswith(str(this_program))
        await asyncio.to_thread(made.start)
        assert stored(made)[: len(before)] == before
        [same] = ours(made)
        assert (same.id, same.attrs["State"]["StartedAt"]) == (container.id, container.attrs["State"]["StartedAt"])
        # signed in as before
        assert [(row["container_name"], row["calipso_experiment"]) for row in await ada.list()] == [
            (desktop["container_name"], "mine")
        ]
        assert [row["guacamole_password"] for row in await ada.list()] == [desktop["guacamole_password"]]
        assert (await ada.run("mine", "tiny-vnc"))[0] == 409
        assert (await ada.run("another", "tiny-vnc"))[0] == 201
        await ada.clear()
        assert ours(made) == []
        assert (await ada.used())["max_simultaneous"] == 0
    with running(made.data) as backend:
        await asyncio.to_thread(wait_until, lambda: is_shown(backend), "the read models")
        assert_rebuilt(backend)
