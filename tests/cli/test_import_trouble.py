"""Imports that are cut off, that lose their database, that are large."""

import re
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict
from tests.cli.conftest import Program
from tests.conftest import PATIENCE, wait_until

from calipso.events.user import UserRegistered

MIB = 1024


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where the file to import is."""
    return tmp_path / "users.csv"


def fill(file: Path, lines: int) -> list[str]:
    names = [f"user{number:06}" for number in range(lines)]
    file.write_text("\n".join(["userlogin", *names, ""]))
    return names


def test_an_import_that_is_killed_is_completed_by_a_repetition(program: Program, file: Path) -> None:
    names = fill(file, 1500)
    process = program.start("users", "import", file)
    wait_until(lambda: program.backend.store.head() > 300, "the first lines to be stored")
    process.kill()
    process.communicate(timeout=PATIENCE)
    before = len(program.stored(UserRegistered))
    assert 100 < before < len(names)
    ended = program.run("users", "import", file)
    assert (ended.status, ended.out) == (0, f"{before} existed already\nFile processed. 1500/1500 done.!\n")
    assert sorted(event.name for event in program.stored(UserRegistered)) == names


def test_an_import_stops_when_its_database_goes_away(program: Program, file: Path, postgres_server: str) -> None:
    names = fill(file, 1500)
    database = str(conninfo_to_dict(program.environment["CALIPSO_DATABASE_URL"])["dbname"])
    process = program.start("users", "import", file)
    wait_until(lambda: program.backend.store.head() > 300, "the first lines to be stored")
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        connection.execute(f"ALTER DATABASE {database} ALLOW_CONNECTIONS false".encode())
        connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (database,))
        out, told = process.communicate(timeout=PATIENCE)
        connection.execute(f"ALTER DATABASE {database} ALLOW_CONNECTIONS true".encode())
    assert (process.returncode, out) == (1, "")
    assert told.splitlines()[-1].startswith("error: line ")
    assert "the event store is not available" in told
    assert "Traceback" not in told
    stored = len(program.stored(UserRegistered))
    # of lines under way when the answer was cut off nobody can say whether they were stored
    counted = re.search(r"(\d+) lines were stored", told)
    assert counted is not None
    assert 0 <= stored - int(counted[1]) <= 6
    ended = program.run("users", "import", file)
    assert (ended.status, ended.out) == (0, f"{stored} existed already\nFile processed. 1500/1500 done.!\n")
    assert sorted(event.name for event in program.stored(UserRegistered)) == names


@pytest.mark.slow
def test_a_large_import_takes_no_more_memory_than_a_small_one(program: Program, file: Path) -> None:
    peaks = []
    for lines in (1000, 20_000):
        fill(file, lines)
        peaks.append(peak_of(program, file))
    assert peaks[1] - peaks[0] < 40 * MIB


@pytest.mark.slow
def test_lines_that_are_only_checked_take_no_memory(program: Program, file: Path) -> None:
    peaks = []
    for lines in (1000, 100_000):
        file.write_text("userlogin\n" + "a b\n" * lines)
        peaks.append(peak_of(program, file, "--strict"))
    assert peaks[1] - peaks[0] < 20 * MIB


def peak_of(program: Program, file: Path, *options: str) -> int:
    """The most memory that an import had, in KiB."""
    measured = subprocess.run(
        [sys.executable, "-c", _MEASURE, sys.executable, "-m", "calipso", "users", "import", file, *options],
        env=dict(program.environment),
        capture_output=True,
        check=True,
        text=True,
    )
    return int(measured.stdout)


_MEASURE = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""
