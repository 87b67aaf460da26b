"""With --strict a bad line anywhere stores nothing."""

from pathlib import Path

import pytest
from tests.cli.conftest import Program
from tests.conftest import PATIENCE, wait_until

from calipso.events.experiment import ExperimentAdded, SessionAdded
from calipso.events.user import UserRegistered

HEADER = "public_number,title,description,beamline_code\n"
SESSIONS = "public_number,session_number,start_date,end_date,subject,body,data_set_path\n"
MANY = 1500


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where the file to import is."""
    return tmp_path / "file.csv"


@pytest.mark.parametrize(
    ("bad", "fault"),
    [
        ("P1,Lead,,BL\n", "line 5 error: public_number: line 2 says something else of it"),
        ("P0,Lead,,BL\n", "line 5 error: public_number: experiment 'P0' already exists, and says something else"),
        ("P3,T\0n,,BL\n", "line 5 error: title: has a NUL byte"),
        ("P3,Tin\n", "line 5 error: description: missing: the line has 2 fields, the header 4"),
        ('P3,"Tin,,BL\n', "line 5 error: title: the quote that opens here is not closed; nothing behind it was read"),
    ],
)
def test_a_bad_line_stores_nothing(program: Program, file: Path, bad: str, fault: str) -> None:
    program.run(
        "experiments", "add", "--public-number", "P0", "--title", "Tin", "--description", "", "--beamline-code", "BL"
    )
    head = program.backend.store.head()
    file.write_text(HEADER + "P1,Tin,,BL\nP1,Tin,,BL\nP2,Tin,,BL\n" + bad)
    ended = program.run("experiments", "import", file, "--strict")
    assert ended.err.splitlines() == [fault, "nothing was stored: 1 of 4 lines are bad"]
    assert (ended.status, ended.out) == (1, "File processed. 0/4 done.!\n")
    assert program.backend.store.head() == head


def test_every_bad_line_is_told(program: Program, file: Path) -> None:
    file.write_text("userlogin\nada\n.a\nbob\n.b\n")
    ended = program.run("users", "import", "--strict", file)
    assert [line.partition(":")[0] for line in ended.err.splitlines()] == [
        "line 3 error",
        "line 5 error",
        "nothing was stored",
    ]
    assert not program.stored(UserRegistered)


def test_a_bad_line_of_standard_input_stores_nothing(program: Program) -> None:
    ended = program.piped(HEADER + "P1,Tin,,BL\nP/2,Tin,,BL\n", "experiments", "import", "--strict", "-")
    assert (ended.status, ended.out) == (1, "File processed. 0/2 done.!\n")
    assert not program.stored(ExperimentAdded)


def test_a_line_repeated_with_the_same_values_is_good(program: Program, file: Path) -> None:
    file.write_text(HEADER + "P1,Tin,,BL\nP1, Tin ,,BL\n")
    ended = program.run("experiments", "import", "--strict", file)
    assert (ended.status, ended.out) == (0, "1 existed already\nFile processed. 2/2 done.!\n")


def test_what_changes_after_the_check_stops_the_import(program: Program, file: Path) -> None:
    file.write_text(HEADER + "P1,Tin,,BL\n")
    program.run("experiments", "import", file)
    file.write_text(SESSIONS + "".join(f"P1,{number},,,,,\n" for number in range(MANY)))
    process = program.start("sessions", "import", "--strict", file)
    first = program.backend.store.head() + 1
    wait_until(lambda: program.backend.store.head() > first, "the first session to be stored")
    program.run("experiments", "remove", "--public-number", "P1")
    _, told = process.communicate(timeout=PATIENCE)
    stored = len(program.stored(SessionAdded))
    assert 0 < stored < MANY
    assert told == (
        f"error: line {stored + 2}: public_number: experiment 'P1' does not exist; the import stopped: {stored} lines "
        "were stored, 0 existed already; it may be repeated\n"
    )
    assert process.returncode == 1
