"""Rows on standard output: as a table for people, as JSON Lines or CSV for programs; however many there are."""

import csv
import itertools
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Annotated, Any

import msgspec
import typer

_AT_ONCE = 500
_WIDEST = 40

Row = Mapping[str, Any]


class Format(StrEnum):
    """How rows are written."""

    TABLE = "table"
    JSONL = "jsonl"
    CSV = "csv"


FormatOption = Annotated[
    Format, typer.Option("--format", help="A table for people; JSON Lines or CSV, with all columns, for programs.")
]


def write(rows: Iterable[Row], columns: Sequence[str], form: Format, *, shown: Sequence[str] = ()) -> None:
    """Write rows as they come; a reader who has seen enough may close the pipe.

    Args:
        rows: each with a value for every column; JSON Lines have all keys.
        columns: in their order.
        form: how.
        shown: the columns of a table, all by default; the last one may be of any length.
    """
    writers: Mapping[Format, Callable[[Iterable[Row]], Iterator[str]]] = {
        Format.TABLE: lambda found: _table(found, shown or columns),
        Format.JSONL: lambda found: (msgspec.json.encode(row).decode() for row in found),
        Format.CSV: lambda found: _csv(found, columns),
    }
    try:
        for line in writers[form](rows):
            print(line)
        sys.stdout.flush()
    except BrokenPipeError:
        # what is left in the buffer must not fail once more at the end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _table(rows: Iterable[Row], columns: Sequence[str]) -> Iterator[str]:
    """Lines with aligned columns, as wide as the first rows need."""
    texts = ([_text(row[name]) for name in columns] for row in rows)
    first = list(itertools.islice(texts, _AT_ONCE))
    heads = [name.replace("_", " ").upper() for name in columns]
    widths = [min(_WIDEST, max(map(len, column))) for column in zip(heads, *first, strict=True)]
    for cells in itertools.chain([heads], first, texts):
        aligned = [cell.ljust(width) for cell, width in zip(cells[:-1], widths, strict=False)]
        yield "  ".join([*aligned, cells[-1]]).rstrip()


def _csv(rows: Iterable[Row], columns: Sequence[str]) -> Iterator[str]:
    lines = _Lines()
    writer = csv.writer(lines, lineterminator="")
    writer.writerow(columns)
    yield lines.last
    for row in rows:
        writer.writerow([_text(row[name]) for name in columns])
        yield lines.last


class _Lines:
    """A file that holds its last line alone."""

    last = ""

    def write(self, line: str) -> None:
        """Keep a line in the place of the one before."""
        self.last = line


def _text(value: object) -> str:
    match value:
        case None:
            return ""
        case str():
            return value
        case float():
            return f"{value:.3f}"
        case dict() | list():
            return msgspec.json.encode(value).decode()
        case _:
            return str(value)
