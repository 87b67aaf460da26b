"""What becomes of the lines of an import, several at one time, told in their order."""

import hashlib
import sqlite3
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from enum import Enum, auto
from threading import Event
from typing import Any, Generic, Self, TypeVar

from calipso.backend import Backend
from calipso.cli.csv_rows import CsvFile, Row
from calipso.errors import AlreadyExists, CalipsoError, Conflict, Invalid, NotFound

C = TypeVar("C")

_THREADS = 6
_WINDOW = 32
_COLUMNS = {
    "user": "userlogin",
    "username": "userlogin",
    "member": "userlogin",
    "experiment": "public_number",
    "session": "session_number",
}


@dataclass(frozen=True, kw_only=True)
class Kind(Generic[C]):
    """What the lines of a file stand for.

    `command` makes the command of a line's values; `key` and `content` tell what the command adds and what it says of
    it; `known` gives the content that is stored under the key already. Lines with the same value in the first column,
    in whatever case, are done in their order.
    """

    columns: Sequence[str]
    optional: Sequence[str] = ()
    command: Callable[[Backend, Mapping[str, str]], C]
    key: Callable[[C], object]
    content: Callable[[C], object]
    known: Callable[[Backend, C], object]


class Result(Enum):
    """What became of a line; skipped are those that were read when the import had been stopped."""

    STORED = auto()
    EXISTED = auto()
    BAD = auto()
    SKIPPED = auto()


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """A line with its result: its command where it could be read, its error where it is bad."""

    line: int
    result: Result
    command: Any = None
    error: CalipsoError | None = None


@dataclass(frozen=True, kw_only=True)
class Work:
    """What is done with each line.

    `act` stores a command, or only decides it; once `stopped` is set no further line is begun.
    """

    backend: Backend
    kind: Kind[Any]
    act: Callable[[Any], object]
    stopped: Event = field(default_factory=Event)

    def outcome(self, row: Row) -> Outcome:
        """Do one line."""
        if self.stopped.is_set():
            return Outcome(line=row.line, result=Result.SKIPPED)
        try:
            return self._done(row)
        except CalipsoError as error:
            return Outcome(line=row.line, result=Result.BAD, error=error)

    def _done(self, row: Row) -> Outcome:
        if row.fault is not None:
            raise row.fault
        command = self.kind.command(self.backend, row.values)
        try:
            self.act(command)
        except (AlreadyExists, Conflict) as error:
            # what another line or an earlier import has stored is no error when it says the same
            if self.kind.known(self.backend, command) != self.kind.content(command):
                raise Invalid(column_of(error), f"{error}, and says something else") from error
            return Outcome(line=row.line, result=Result.EXISTED, command=command)
        return Outcome(line=row.line, result=Result.STORED, command=command)

    def outcomes(self, rows: CsvFile) -> Iterator[Outcome]:
        """The outcomes of all rows, in their order; a few rows are read and done ahead."""
        pending: deque[tuple[str, Future[Outcome]]] = deque()
        with ThreadPoolExecutor(_THREADS) as pool:
            for row in rows:
                if self.stopped.is_set():
                    break
                name = row.values.get(self.kind.columns[0], "").casefold()
                while len(pending) >= _WINDOW or any(other == name for other, _ in pending):
                    yield pending.popleft()[1].result()
                pending.append((name, pool.submit(self.outcome, row)))
            while pending:
                yield pending.popleft()[1].result()


class Said:
    """What the lines of one file said so far, in a database of its own that spills from memory to a file."""

    def __enter__(self) -> Self:
        self._database = sqlite3.connect("", isolation_level=None)
        self._database.execute("CREATE TABLE said (key BLOB PRIMARY KEY, content BLOB, line INTEGER) WITHOUT ROWID")
        self._database.execute("BEGIN")
        return self

    def __exit__(self, *_: object) -> None:
        self._database.close()

    def otherwise(self, kind: Kind[Any], outcome: Outcome) -> int | None:
        """The earlier line that says something else of the same thing, if there is one."""
        key, content = _digest(kind.key(outcome.command)), _digest(kind.content(outcome.command))
        found = self._database.execute("SELECT content, line FROM said WHERE key = ?", (key,)).fetchone()
        if found is None:
            self._database.execute("INSERT INTO said VALUES (?, ?, ?)", (key, content, outcome.line))
            return None
        return None if found[0] == content else int(found[1])


def _digest(value: object) -> bytes:
    return hashlib.sha256(repr(value).encode()).digest()


def column_of(error: CalipsoError) -> str:
    """The column that an error is about, empty when it is about none."""
    name = getattr(error, "field", "") or getattr(error, "what", "")
    return _COLUMNS.get(name, name)


def told(error: CalipsoError) -> str:
    """An error with the column that it is about."""
    if isinstance(error, Invalid):
        return f"{column_of(error)}: {error.reason}"
    return f"{column_of(error)}: {error}" if isinstance(error, AlreadyExists | Conflict | NotFound) else str(error)
