"""The departures are told completely, and what shows them is there."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "departures.md").read_text(encoding="utf-8")
ENTRIES = {entry.split()[0]: entry for entry in re.split(r"^## ", TEXT, flags=re.MULTILINE)[1:]}
EXPECTED = ["D1", "D2", "D3", "D4", "D4b", *(f"D{number}" for number in range(5, 17))]


def functions_of(path: str) -> set[str]:
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def test_every_departure_is_told_once_and_in_order() -> None:
    assert list(ENTRIES) == EXPECTED
    assert TEXT.count("\n## ") == len(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
def test_a_departure_has_a_rule_a_reason_and_tests_that_are_there(name: str) -> None:
    entry = ENTRIES[name]
    assert "**Rule.**" in entry
    assert "**Why.**" in entry
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", entry)
    assert named
    assert entry.count("::") == len(named)
    for path, test in named:
        assert test.startswith("test_")
        assert test in functions_of(path), f"{path} has no {test}"


def test_every_test_of_a_departure_is_named() -> None:
    path = "tests/contract/test_departures.py"
    assert {test for test in functions_of(path) if test.startswith("test_")} <= set(re.findall(r"::(\w+)`", TEXT))
