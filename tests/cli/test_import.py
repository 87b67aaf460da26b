"""Imports of each kind: what is stored, what is said of bad lines, and that an import may be repeated."""

import contextlib
import os
import pty
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.cli.conftest import Program, run
from tests.conftest import PATIENCE

from calipso.commands.handling import EXPERIMENT, USER_NAME
from calipso.events.experiment import Experiment, ExperimentAdded, ExperimentDetails, MemberAdded, SessionAdded
from calipso.events.user import UserRegistered
from calipso.events.values import Mode, Volume

EXPERIMENTS = """\
public_number,title,description,beamline_code,uid,gid
P1,Tin,"Tin, at 4 K
and above",BL01,5001,5002
P2,Bones,,BL04,,
"""
SESSIONS = """\
public_number,session_number,start_date,end_date,subject,body,data_set_path
P1,1,2026-11-20,2026-11-23T18:00:00+01:00,First,Cold,"{""/tmp/data/p1"": {""bind"": ""/p1"", ""mode"": ""ro""}}"
P1,2,,,Second,Colder,{'/tmp/results/p1': {'bind': '/p1'}}
P2,1,2026-11-20T08:00:00Z,,Third,,
"""
MEMBERS = "userlogin,public_number\nada,P1\nada,P2\nbob,P1\n"
USERS = "userlogin\nada\nbob\n"
FILES = {"users": USERS, "experiments": EXPERIMENTS, "sessions": SESSIONS, "members": MEMBERS}


def file_of(folder: Path, content: str | bytes) -> Path:
    path = folder / "file.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def import_all(program: Program, folder: Path, *options: str) -> list[str]:
    ended = [program.run(kind, "import", file_of(folder, text), *options) for kind, text in FILES.items()]
    assert [(each.status, each.err) for each in ended] == [(0, "")] * 4
    return [each.out for each in ended]


def experiment_of(program: Program, number: str) -> Experiment:
    found = program.backend.dispatcher.state(EXPERIMENT, program.backend.installation.naming.experiment(number))
    assert found is not None
    return found


def read_all(terminal: int) -> Iterator[str]:
    """What a process writes to a terminal until it ends."""
    # the other end of a terminal is gone: that is an error to the system
    with contextlib.suppress(OSError):
        while told := os.read(terminal, 4096):
            yield told.decode()
    os.close(terminal)


@pytest.mark.parametrize("options", [[], ["--strict"]])
def test_good_files_are_stored_and_may_be_repeated(program: Program, tmp_path: Path, options: list[str]) -> None:
    counts = (2, 2, 3, 3)
    assert import_all(program, tmp_path, *options) == [f"File processed. {n}/{n} done.!\n" for n in counts]
    head = program.backend.store.head()
    assert import_all(program, tmp_path, *options) == [
        f"{n} existed already\nFile processed. {n}/{n} done.!\n" for n in counts
    ]
    assert program.backend.store.head() == head

    tin = experiment_of(program, "P1")
    assert tin.details == ExperimentDetails(
        title="Tin", description="Tin, at 4 K\nand above", beam_line="BL01", uid=5001, gid=5002
    )
    assert experiment_of(program, "P2").details.uid is None
    assert tin.sessions["1"].start == datetime(2026, 11, 20, tzinfo=UTC)
    assert tin.sessions["1"].end == datetime(2026, 11, 23, 17, tzinfo=UTC)
    assert tin.sessions["1"].volumes == (Volume(source="/tmp/data/p1", bind="/p1", mode=Mode.READ_ONLY),)
    assert (tin.sessions["2"].start, tin.sessions["2"].subject) == (None, "Second")
    naming = program.backend.installation.naming
    ada, bob = (program.backend.dispatcher.state(USER_NAME, naming.user_name(name)) for name in ("ada", "bob"))
    assert set(tin.members) == {ada, bob}
    assert set(experiment_of(program, "P2").members) == {ada}


def test_bad_lines_of_users(program: Program, tmp_path: Path) -> None:
    content = b"userlogin\nada\n.ada\na b\nb,c\nADA\n\xe9ric\nx" + b"x" * 150 + b'\n"d\ne"\nzoe\n'
    ended = program.run("users", "import", file_of(tmp_path, content))
    name = "userlogin: must be 1 to 150 letters, digits or any of @ . + - _, and not begin with a dot"
    assert ended.err.splitlines() == [
        f"line 3 error: {name}",
        f"line 4 error: {name}",
        "line 5 error: userlogin: more fields follow: the line has 2 fields, the header 1",
        "line 7 error: userlogin: is not UTF-8: byte 0xE9",
        f"line 8 error: {name}",
        f"line 9 error: {name}",
    ]
    assert (ended.status, ended.out) == (1, "1 existed already\nFile processed. 3/9 done.!\n")
    assert {event.name for event in program.stored(UserRegistered)} == {"ada", "zoe"}


def test_bad_lines_of_experiments(program: Program, tmp_path: Path) -> None:
    lines = [
        "public_number,title,uid,gid,description,beamline_code",
        "P0,Tin,1,1,a,BL",
        "P1,Tin,0,1,a,BL",
        "P2,Tin,1,root,a,BL",
        "P3,Tin,2147483647,1,a,BL",
        "P4,Tin,1.5,1,a,BL",
        f"P5,{'x' * 2001},1,1,a,BL",
        "P6,T\x1bin,1,1,a,BL",
        "P/7,Tin,1,1,a,BL",
        ",Tin,1,1,a,BL",
        "P9,Tin,1,1,a",
        f"P10,Tin,1,1,{'x' * 2001},BL",
        "P11,Tin,1,1,a,\x7f",
        f"{'x' * 201},Tin,1,1,a,BL",
        "P0,Lead,1,1,a,BL",
        "P0,Tin,1,1,a,BL",
        "P15,Tin,1,1,a,BL",
    ]
    ended = program.run("experiments", "import", file_of(tmp_path, "\r\n".join(lines)))
    assert [line.split(": ")[:2] for line in ended.err.splitlines()] == [
        [f"line {number} error", column]
        for number, column in [
            (3, "uid"),
            (4, "gid"),
            (5, "uid"),
            (6, "uid"),
            (7, "title"),
            (8, "title"),
            (9, "public_number"),
            (10, "public_number"),
            (11, "beamline_code"),
            (12, "description"),
            (13, "beamline_code"),
            (14, "public_number"),
            (15, "public_number"),
        ]
    ]
    assert "line 15 error: public_number: experiment 'P0' already exists, and says something else" in ended.err
    assert (ended.status, ended.out) == (1, "1 existed already\nFile processed. 3/16 done.!\n")
    assert {event.proposal_id for event in program.stored(ExperimentAdded)} == {"P0", "P15"}


def test_bad_lines_of_sessions(program: Program, tmp_path: Path) -> None:
    program.run("experiments", "import", file_of(tmp_path, EXPERIMENTS))
    lines = [
        "public_number,session_number,start_date,end_date,subject,body,data_set_path",
        "P1,1,2026-11-20,2026-11-23,S,B,",
        "P9,1,2026-11-20,2026-11-23,S,B,",
        "P1,2,20th,2026-11-23,S,B,",
        "P1,2,2026-11-20,2026-02-30,S,B,",
        "P1,2,2026-11-23,2026-11-20,S,B,",
        "P1,2,,,S,B,no json",
        "P1,2,,,S,B,\"{'/etc': {'bind': '/p1'}}\"",
        "P1,a~b,,,S,B,",
        "P1,1,,,S,B,",
        "P1,2,,,S\x00,B,",
        "P1,2,2026-11-20,2026-11-23,S,B,",
    ]
    ended = program.run("sessions", "import", file_of(tmp_path, "\n".join(lines)))
    columns = ["public_number", "start_date", *["end_date"] * 2, *["data_set_path"] * 2, *["session_number"] * 2]
    assert [line.split(": ")[:2] for line in ended.err.splitlines()] == [
        [f"line {number} error", column] for number, column in enumerate([*columns, "subject"], 3)
    ]
    assert "line 3 error: public_number: experiment 'P9' does not exist" in ended.err
    assert (ended.status, ended.out) == (1, "File processed. 2/11 done.!\n")
    assert [event.session.session_number for event in program.stored(SessionAdded)] == ["1", "2"]


def test_bad_lines_of_members(program: Program, tmp_path: Path) -> None:
    for kind in ("users", "experiments"):
        program.run(kind, "import", file_of(tmp_path, FILES[kind]))
    content = "public_number,userlogin\nP1,eve\nP9,ada\nP1,\nP1,ada\n"
    ended = program.run("members", "import", file_of(tmp_path, content))
    assert ended.err.splitlines() == [
        "line 2 error: userlogin: user 'eve' does not exist",
        "line 3 error: public_number: experiment 'P9' does not exist",
        "line 4 error: userlogin: user '' does not exist",
    ]
    assert (ended.status, ended.out) == (1, "File processed. 1/4 done.!\n")
    assert len(program.stored(MemberAdded)) == 1


@pytest.mark.parametrize("options", [[], ["--strict"]])
def test_columns_are_checked_before_anything_is_stored(program: Program, tmp_path: Path, options: list[str]) -> None:
    ended = program.run("members", "import", file_of(tmp_path, "public_number,user\nP1,ada\n"), *options)
    assert (ended.status, ended.out) == (1, "")
    assert ended.err == "error: header: missing columns: userlogin; unknown columns: 'user'\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ["users", "add", "\udce9"],
        ["users", "promote", "\udce9"],
        ["users", "add", "ada", "--uid", "9" * 30],
        ["images", "add", "\udce9", "--image", "x"],
        ["experiments", "add", "--public-number", "\udce9", "--title=", "--description=", "--beamline-code="],
        ["experiments", "add", "--public-number=P1", "--title=\x1b", "--description=", "--beamline-code="],
    ],
)
def test_arguments_are_refused_like_values_of_a_file(program: Program, arguments: list[str]) -> None:
    ended = program.run(*arguments)
    assert (ended.status, len(ended.err.splitlines())) == (1, 1)
    assert ended.err.startswith("error: ")
    assert program.backend.store.head() == 0


def test_files_that_cannot_be_read(program: Program, tmp_path: Path) -> None:
    missing = program.run("users", "import", tmp_path / "none.csv")
    assert (missing.status, missing.err) == (1, f"error: file: {tmp_path}/none.csv: No such file or directory\n")
    folder = program.run("users", "import", tmp_path)
    assert (folder.status, folder.err) == (1, f"error: file: {tmp_path}: Is a directory\n")


def test_a_database_that_is_not_prepared(program: Program, make_database: Callable[[], str], tmp_path: Path) -> None:
    environment = {**program.environment, "CALIPSO_DATABASE_URL": make_database()}
    ended = run(environment, "users", "import", file_of(tmp_path, USERS))
    assert ended.status == 1
    assert ended.err == "error: the database is not available: it is not prepared: run `calipso migrate`\n"


@pytest.mark.parametrize("options", [[], ["--strict"]])
def test_standard_input(program: Program, options: list[str]) -> None:
    ended = program.piped(USERS, "users", "import", "-", *options)
    assert (ended.status, ended.out, ended.err) == (0, "File processed. 2/2 done.!\n", "")
    assert {event.name for event in program.stored(UserRegistered)} == {"ada", "bob"}


def test_a_terminal_shows_how_far_it_is(program: Program, tmp_path: Path) -> None:
    controller, terminal = pty.openpty()
    process = program.start("users", "import", file_of(tmp_path, USERS + ".bad\n"), stderr=terminal)
    os.close(terminal)
    shown = "".join(read_all(controller))
    out, _ = process.communicate(timeout=PATIENCE)
    assert "storing" in shown
    assert "100 %" in shown
    assert "line 4 error: userlogin: must be" in shown
    assert out == "File processed. 2/3 done.!\n"
