"""Every module says what it is for, and can be read in one sitting."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

SRC = Path(__file__).parents[1] / "src"
LINES = 300
MODULES = sorted(path.relative_to(SRC) for path in SRC.rglob("*.py"))


def imports_of(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_a_module(module: Path) -> None:
    text = (SRC / module).read_text(encoding="utf-8")
    assert ast.get_docstring(ast.parse(text))
    assert len(text.splitlines()) <= LINES


@pytest.mark.parametrize("module", [m for m in MODULES if m.parts[0] in {"events", "commands"}], ids=str)
def test_decisions_rest_on_the_standard_library(module: Path) -> None:
    foreign = {name for name in imports_of(SRC / module) if name.partition(".")[0] not in sys.stdlib_module_names}
    assert not [
        name for name in foreign if not name.startswith(("calipso.events", "calipso.commands", "calipso.errors"))
    ]
