"""A newer program on a database that an older one prepared: one line that says what to do, from every command."""

import pytest
from tests.cli.conftest import Program

OLDER = "error: the database is not available: it is not prepared for this version of the program ("
ADVICE = "): run `calipso migrate`, and `calipso rebuild --all` if that was done\n"


@pytest.mark.parametrize(
    ("change", "arguments"),
    [
        ("DROP SCHEMA rm_containers CASCADE", ("containers", "list")),
        ("ALTER TABLE rm_containers.containers DROP COLUMN web_token", ("containers", "list")),
        ("DROP SCHEMA rm_audit CASCADE", ("history",)),
        ("DROP SCHEMA rm_containers CASCADE", ("usage",)),
        ("DROP TABLE parts", ("targets", "list")),
        ("DROP TABLE event_chain", ("verify",)),
        ("DROP ROUTINE calipso_append", ("users", "add", "ada")),
        ("ALTER TABLE stored_events RENAME COLUMN recorded_at TO at", ("users", "add", "ada")),
        ("DROP SCHEMA rm_containers CASCADE", ("project",)),
        ("ALTER TABLE rm_users.users DROP COLUMN erased", ("relay",)),
        ("DROP SCHEMA rm_quotas CASCADE", ("provision", "docker")),
    ],
)
def test_it_is_told_in_one_line(program: Program, change: str, arguments: tuple[str, ...]) -> None:
    with program.backend.database.connect() as connection:
        connection.execute(change.encode())
    ended = program.run(*arguments)
    assert ended.status == 1, ended
    assert ended.err.startswith(OLDER), ended.err
    assert ended.err.endswith(ADVICE), ended.err
    assert ended.err.count("\n") == 1


def test_the_advice_mends_what_is_missing(program: Program) -> None:
    with program.backend.database.connect() as connection:
        connection.execute("DROP SCHEMA rm_containers CASCADE")
    assert program.run("usage").status == 1
    assert program.run("migrate").status == 0
    assert program.run("usage").status == 0
