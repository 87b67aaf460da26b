"""The threat model names tests that exist, and every table of threats has one for each."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "threat-model.md").read_text()
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", PAGE)))


@pytest.mark.parametrize(("file", "name"), NAMED, ids=["::".join(each) for each in NAMED])
def test_a_named_test_exists(file: str, name: str) -> None:
    tree = ast.parse((ROOT / file).read_text())
    found = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    assert name in found if name else any(each.startswith("test_") for each in found)


def test_every_threat_has_a_test() -> None:
    tables = re.findall(r"\| threat \|.*?\n\|[-|]+\n((?:\|.*\n)+)", PAGE)
    rows = [row for table in tables for row in table.splitlines()]
    assert len(tables) == 3
    assert len(rows) > 30
    assert all("`tests/" in row.split("|")[3] for row in rows)


def test_every_attack_is_named() -> None:
    attacks = ast.parse((ROOT / "tests" / "attacks" / "test_http.py").read_text())
    functions = [node.name for node in attacks.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    unnamed = {name for name in functions if name.startswith("test_")} - {name for _, name in NAMED}
    assert unnamed <= {"test_a_request_keeps_its_id"}
