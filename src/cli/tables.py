"""Lists as the command line prints them: aligned for people, or as JSON."""

import json
from collections.abc import Mapping, Sequence
from typing import Annotated

import typer

AsJson = Annotated[bool, typer.Option("--json", help="Print a JSON list of objects.")]


def show(columns: Sequence[str], rows: Sequence[Mapping[str, object]], *, as_json: bool) -> None:
    """Print rows under the names of their columns; what a list lacks is shown as -, in JSON as null."""
    if as_json:
        print(json.dumps([{name: _plain(row[name]) for name in columns} for row in rows], indent=2))
        return
    lines = [[name.upper() for name in columns], *([_text(row[name]) for name in columns] for row in rows)]
    widths = [max(len(line[place]) for line in lines) for place in range(len(columns))]
    for line in lines:
        print("  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip())


def _plain(value: object) -> object:
    return value if value is None or isinstance(value, bool | int | str) else str(value)


def _text(value: object) -> str:
    return "-" if value is None or value == "" else str(value)
