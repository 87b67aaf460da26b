"""The history on the command line: what is written, in which form, and that it is recorded."""

import csv
import json

from tests.cli.conftest import Program

from calipso.bootstrap.projecting import runners
from calipso.events.audit import HistoryRead
from calipso.events.user import Role, RoleGranted, RoleRevoked


def shown(program: Program) -> None:
    """Let the read models tell of all that is stored."""
    for runner in runners(program.backend, lambda _: None):
        runner.catch_up()


def test_the_history_in_each_form(program: Program) -> None:
    program.run("users", "add", "ada")
    program.run("users", "grant", "ada", "auditor")
    shown(program)
    table = program.run("history", "--user", "ada", "--kind", "user")
    assert table.status == 0, table.err
    lines = table.out.splitlines()
    assert lines[0].split() == ["POSITION", "TIME", "TYPE", "ACTOR", "NAME", "SENTENCE"]
    assert lines[2].endswith("RoleGranted     the command line  The command line made ada an auditor.")
    found = [json.loads(line) for line in program.run("history", "--format", "jsonl", "--user", "ada").out.splitlines()]
    assert [event["type"] for event in found] == ["UserNameClaimed", "UserRegistered", "RoleGranted"]
    rows = list(csv.DictReader(program.run("history", "--format", "csv", "--user", "ada").out.splitlines()))
    assert [row["sentence"] for row in rows] == [event["sentence"] for event in found]
    assert json.loads(rows[2]["data"]) == found[2]["data"]
    assert list(rows[0]) == list(found[0])
    assert program.stored(HistoryRead)[0].asked == {"kind": "user"}


def test_roles_are_given_and_taken(program: Program) -> None:
    program.run("users", "add", "ada")
    assert program.run("users", "grant", "ada", "auditor").out == "ada is an auditor\n"
    assert program.run("users", "grant", "ada", "auditor").status == 0
    assert program.run("users", "revoke", "ada", "auditor").out == "ada is no auditor\n"
    assert [event.role for event in program.stored(RoleGranted)] == [Role.AUDITOR]
    assert len(program.stored(RoleRevoked)) == 1
    assert program.run("users", "grant", "ada", "king").status == 2
    assert program.run("users", "grant", "eve", "auditor").status == 1


def test_what_is_wrong_is_told_in_a_sentence(program: Program) -> None:
    for options, told in {
        ("--since", "2026-11-20T14:03:00"): "has no time zone",
        ("--until", "9999-01-01"): "lies in the future",
        ("--user", "eve"): "user 'eve' does not exist",
        ("--kind", "dreams"): "is none of audit, container",
    }.items():
        ended = program.run("history", *options)
        assert (ended.status, ended.out) == (1, "")
        assert told in ended.err


def test_a_reader_may_close_the_pipe(program: Program) -> None:
    for number in range(20):
        program.run("users", "add", f"user-{number}")
    shown(program)
    with program.start("history") as process:
        assert process.stdout
        assert process.stderr
        assert process.stdout.readline().startswith("POSITION")
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 0


def test_a_history_that_is_not_told_yet_is_said_so(program: Program) -> None:
    program.run("users", "add", "ada")
    ended = program.run("history")
    assert ended.err == "note: told up to position 0 of 3; is `calipso project` running?\n"
