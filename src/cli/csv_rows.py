"""The rows of a CSV file, one at a time: what is wrong with a row is told of its line and column, and the next follows.

A record ends where RFC 4180 says. What stands within quotes is never taken for a row of its own, however long it is: a
text that somebody else wrote must not add rows to the file.
"""

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO

from calipso.errors import Invalid

_RECORD_LIMIT = 100_000  # characters; below the limit of the csv module
_NOT_TEXT = re.compile("[\0\udc80-\udcff]")


@dataclass(frozen=True, kw_only=True)
class Row:
    """A record of the file: its first line, its values by column, and what is wrong with it."""

    line: int
    values: Mapping[str, str] = field(default_factory=dict)
    fault: Invalid | None = None


class CsvFile:
    """A file with a header; reads on as rows are asked for.

    Args:
        file: UTF-8, with or without a byte order mark; left open.
        required: the columns that it must have, in any order.
        optional: the columns that it may have.

    Raises:
        Invalid: the header is missing, or is not of these columns.
    """

    def __init__(self, file: BinaryIO, required: Sequence[str], optional: Sequence[str] = ()) -> None:
        self._binary = file
        self._lines = _Lines(io.TextIOWrapper(file, encoding="utf-8-sig", errors="surrogateescape", newline=""))
        self._reader = csv.reader(self._lines, strict=True)
        self._columns = self._header(required, optional)

    @property
    def position(self) -> int:
        """How many bytes of the file were read, in a file that has positions."""
        return self._binary.tell()

    def detach(self) -> None:
        """Leave the file to others."""
        self._lines.file.detach()

    def __iter__(self) -> Iterator[Row]:
        """The rows behind the header; empty lines are none."""
        while True:
            line = self._lines.begin()
            try:
                fields = next(self._reader)
            except StopIteration:
                return
            except (_TooLongError, csv.Error) as error:
                yield Row(line=line, fault=self._unreadable(line, error))
                continue
            if fields:
                yield self._row(line, fields)

    def _header(self, required: Sequence[str], optional: Sequence[str]) -> tuple[str, ...]:
        try:
            self._lines.begin()
            # an empty line is a record without fields
            found = tuple(name.strip() for name in next(filter(None, self._reader)))
        except StopIteration:
            raise Invalid("header", f"the file is empty; its first line must be {','.join(required)}") from None
        except (_TooLongError, csv.Error) as error:
            raise Invalid("header", f"cannot be read: {error}") from error
        if faults := list(_header_faults(found, required, optional)):
            raise Invalid("header", "; ".join(faults))
        return found

    def _row(self, line: int, fields: list[str]) -> Row:
        names = self._columns
        if len(fields) != len(names):
            column = names[min(len(fields), len(names) - 1)]
            what = "missing" if len(fields) < len(names) else "more fields follow"
            fault = Invalid(column, f"{what}: the line has {len(fields)} fields, the header {len(names)}")
            return Row(line=line, fault=fault)
        for name, value in zip(names, fields, strict=True):
            if found := _NOT_TEXT.search(value):
                return Row(line=line, fault=Invalid(name, _why_not_text(found[0])))
        return Row(line=line, values={name: _plain(value) for name, value in zip(names, fields, strict=True)})

    def _unreadable(self, line: int, error: Exception) -> Invalid:
        """What to tell of a record that is none; reads on to its end."""
        column = self._columns[min(_fields_of(self._lines.record), len(self._columns)) - 1]
        closed = not isinstance(error, _TooLongError) or self._lines.skip()
        if not closed or self._lines.ended:
            return Invalid(column, "the quote that opens here is not closed; nothing behind it was read")
        extent = f" (lines {line} to {self._lines.number})" if self._lines.number > line else ""
        reason = str(error) if isinstance(error, _TooLongError) else f"a quote is out of place: {error}"
        return Invalid(column, reason + extent)


class _TooLongError(Exception):
    """A record is longer than any lawful one."""

    def __str__(self) -> str:
        return f"the line is longer than {_RECORD_LIMIT} characters"


class _Lines:
    """The lines of a file as the csv module takes them, with those of the record that it is reading."""

    def __init__(self, file: io.TextIOWrapper) -> None:
        self.file = file
        self.number = 0
        self.record = ""
        self.ended = False

    def begin(self) -> int:
        """Begin a record; gives the number of its first line."""
        self.record = ""
        return self.number + 1

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        text = self.file.readline(_RECORD_LIMIT)
        self.ended = not text
        if not text:
            raise StopIteration
        self.record += text
        if len(self.record) >= _RECORD_LIMIT:
            raise _TooLongError
        self.number += 1
        return text

    def skip(self) -> bool:
        """Read to the end of a record that is too long, keeping nothing; whether its quotes are closed."""
        text, quotes = self.record, self.record.count('"')
        while not text.endswith(("\n", "\r")) or quotes % 2:
            self.number += text.endswith(("\n", "\r"))
            text = self.file.readline(_RECORD_LIMIT)
            if not text:
                break
            quotes += text.count('"')
        self.number += 1
        return quotes % 2 == 0


def _header_faults(found: Sequence[str], required: Sequence[str], optional: Sequence[str]) -> Iterator[str]:
    for mark, name in ((";", "semicolons"), ("\t", "tabs")):
        if len(found) == 1 and mark in found[0]:
            yield f"its columns are divided by {name}; only commas divide columns"
            return
    if any(_NOT_TEXT.search(name) for name in found):
        yield "the file is not UTF-8 text"
        return
    if missing := [name for name in required if name not in found]:
        yield f"missing columns: {', '.join(missing)}"
    if unknown := [name for name in found if name not in {*required, *optional}]:
        yield f"unknown columns: {', '.join(repr(name[:40]) for name in unknown)}"
    if twice := sorted({name for name in found if found.count(name) > 1}):
        yield f"columns that stand twice: {', '.join(repr(name[:40]) for name in twice)}"


def _fields_of(record: str) -> int:
    """In which field the text of a record ends, counted from 1."""
    return len(next(csv.reader(io.StringIO(record[:_RECORD_LIMIT], newline="")), [""]))


def _plain(value: str) -> str:
    return value.replace("\r\n", "\n").replace("\r", "\n").strip()


def _why_not_text(character: str) -> str:
    return "has a NUL byte" if character == "\0" else f"is not UTF-8: byte 0x{ord(character) - 0xDC00:02X}"
