"""Commands are imported when they are called: what is told of them without, and what each of them does not import."""

import subprocess
import sys
from collections.abc import Mapping

import pytest
import typer
from typer.main import get_group

from calipso.cli import experiments, main, targets, users
from calipso.cli.lazy import Lazy

GROUPS = [(module.app, module.COMMANDS) for module in (main, users, experiments, targets)]

CALLED = """
import sys
from calipso.__main__ import main
try:
    main()
except SystemExit as end:
    assert not end.code
print(*sys.modules, file=sys.stderr)
"""
ENGINES = {"docker", "kubernetes", "libvirt"}
SERVING = ENGINES | {"jinja2", "sanic"}


@pytest.mark.parametrize(("app", "commands"), GROUPS)
def test_each_command_is_there_and_says_of_itself_what_the_table_says(
    app: typer.Typer, commands: Mapping[str, Lazy]
) -> None:
    group = get_group(app)
    with group.make_context("calipso", ["--help"], resilient_parsing=True) as context:
        found = {name: group.resolve_command(context, [name])[1] for name in commands}
    told = {(command.name, _first_paragraph(command.help)) for command in found.values() if command}
    assert told == {(name, lazy.help) for name, lazy in commands.items()}


def _first_paragraph(text: str | None) -> str:
    return (text or "").partition("\n\n")[0].replace("\n", " ")


@pytest.mark.parametrize(
    ("arguments", "unused"),
    [
        ([], SERVING | {"nats", "psycopg", "pydantic", "sqlalchemy", "structlog"}),
        (["users", "add"], SERVING | {"aiohttp", "nats", "sqlalchemy"}),
        (["images"], SERVING | {"aiohttp", "nats", "sqlalchemy"}),
        (["migrate"], SERVING | {"aiohttp", "nats"}),
        (["api"], ENGINES),
        (["project"], SERVING | {"aiohttp", "nats"}),
        (["relay"], SERVING),
        (["provision"], SERVING),
    ],
    ids=lambda value: " ".join(sorted(value)),
)
def test_what_a_command_does_not_need_is_not_imported(arguments: list[str], unused: set[str]) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", CALLED, *arguments, "--help"], capture_output=True, text=True, check=True
    )
    assert "Usage" in ended.stdout
    assert unused.isdisjoint(ended.stderr.split())
