"""The examples of the document are good files."""

import re
from pathlib import Path

import pytest
from tests.cli.conftest import Program

DOCUMENT = (Path(__file__).parents[2] / "docs" / "importing.md").read_text()


@pytest.mark.parametrize("options", [[], ["--strict"]])
def test_the_examples_of_the_document(program: Program, tmp_path: Path, options: list[str]) -> None:
    examples = re.findall(r"```csv\n(.*?)```", DOCUMENT, re.DOTALL)
    for kind, example in zip(("users", "experiments", "sessions", "members"), examples, strict=True):
        file = tmp_path / f"{kind}.csv"
        file.write_text(example)
        lines = example.count("\n") - 1
        ended = program.run(kind, "import", file, *options)
        assert (ended.status, ended.err, ended.out) == (0, "", f"File processed. {lines}/{lines} done.!\n")
