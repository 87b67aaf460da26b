"""Imports of CSV files: every line is a command of its own, so that an import may be cut off anywhere and repeated."""

import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated, Any, BinaryIO
from uuid import uuid4

import typer

from calipso.backend import Backend
from calipso.cli.common import ACTOR
from calipso.cli.csv_rows import CsvFile
from calipso.cli.import_lines import Kind, Outcome, Result, Said, Work, told
from calipso.cli.import_progress import ImportProgress
from calipso.commands.dispatch import cause_of
from calipso.errors import CalipsoError, Invalid, Unavailable

FileArgument = Annotated[
    str, typer.Argument(metavar="FILE.csv", help="UTF-8 with a header line, divided by commas; - reads standard input.")
]
StrictOption = Annotated[
    bool,
    typer.Option(
        "--strict",
        help="Check every line before the first is stored, and store nothing when one is bad. Should something else "
        "change in between and make a line bad, the import stops there and says how many lines were stored.",
    ),
]


Tally = Counter[Result]


@dataclass(eq=False)
class ImportStopped(CalipsoError):
    """An import ended before the end of its file: at a line, for a reason, with these lines done."""

    line: int
    reason: CalipsoError
    stored: int
    existed: int

    def __str__(self) -> str:
        return (
            f"line {self.line}: {told(self.reason)}; the import stopped: {self.stored} lines were stored, "
            f"{self.existed} existed already; it may be repeated"
        )


def import_file(backend: Backend, kind: Kind[Any], path: str, *, strict: bool) -> None:
    """Import a file and tell what became of it; what is wrong with lines goes to standard error.

    Raises:
        Exit: with status 1, when a line was bad.
        ImportStopped: the import could not go on.
        Invalid: the file cannot be read, or has other columns.
        Unavailable: the database is not there, or not prepared.
    """
    backend.installation  # noqa: B018 - asked for first, so that a database that is not prepared is told at once
    with _opened(path, twice=strict) as file, ImportProgress(file) as progress:
        bad, lines = _check(backend, kind, file, progress) if strict else (0, 0)
        if bad:
            progress.tell(f"nothing was stored: {bad} of {lines} lines are bad")
            tally = Tally({Result.BAD: lines})
        else:
            tally = _store(backend, kind, file, progress, strict=strict)
    if tally[Result.EXISTED]:
        print(f"{tally[Result.EXISTED]} existed already")
    print(f"File processed. {tally[Result.STORED] + tally[Result.EXISTED]}/{tally.total()} done.!")
    if tally[Result.BAD]:
        raise typer.Exit(1)


def _check(backend: Backend, kind: Kind[Any], file: BinaryIO, progress: ImportProgress) -> tuple[int, int]:
    """How many lines are bad, and how many there are; nothing is stored, and the file stands at its start again."""
    work = Work(backend=backend, kind=kind, act=backend.dispatcher.consider)
    with Said() as said:
        tally, stop = _pass("checking", work, file, progress, review=partial(_compare, kind, said))
    if stop is not None:
        raise stop[1]
    file.seek(0)
    return tally[Result.BAD], tally.total()


def _compare(kind: Kind[Any], said: Said, outcome: Outcome) -> Outcome:
    """The outcome, unless an earlier line of the file will make it another one."""
    if outcome.command is None or (line := said.otherwise(kind, outcome)) is None:
        return outcome
    return replace(outcome, result=Result.BAD, error=Invalid(kind.columns[0], f"line {line} says something else of it"))


def _store(backend: Backend, kind: Kind[Any], file: BinaryIO, progress: ImportProgress, *, strict: bool) -> Tally:
    correlation = uuid4()

    def store(command: object) -> None:
        backend.dispatcher.dispatch(command, cause_of(ACTOR, correlation_id=correlation))

    work = Work(backend=backend, kind=kind, act=store)
    tally, stop = _pass("storing", work, file, progress, strict=strict)
    if stop is not None:
        line, reason = stop
        raise ImportStopped(line=line, reason=reason, stored=tally[Result.STORED], existed=tally[Result.EXISTED])
    return tally


def _pass(
    name: str,
    work: Work,
    file: BinaryIO,
    progress: ImportProgress,
    *,
    review: Callable[[Outcome], Outcome] = lambda outcome: outcome,
    strict: bool = False,
) -> tuple[Tally, tuple[int, CalipsoError] | None]:
    """Do all lines of a file; what of them went how, and at which the work was stopped, if it was."""
    tally, stop = Tally(), None
    progress.begin(name)
    with _rows(file, work.kind) as rows:
        for outcome in map(review, work.outcomes(rows)):
            tally[outcome.result] += 1
            progress.advance()
            if outcome.error is None or stop is not None:
                continue
            if strict or isinstance(outcome.error, Unavailable):
                stop = outcome.line, outcome.error
                work.stopped.set()
            else:
                progress.tell(f"line {outcome.line} error: {told(outcome.error)}")
    return tally, stop


@contextmanager
def _rows(file: BinaryIO, kind: Kind[Any]) -> Iterator[CsvFile]:
    rows = CsvFile(file, kind.columns, kind.optional)
    try:
        yield rows
    finally:
        rows.detach()


@contextmanager
def _opened(path: str, *, twice: bool) -> Iterator[BinaryIO]:
    """The file of a path, standard input for -; one that can be read twice, if it must be.

    Raises:
        Invalid: it cannot be read.
    """
    try:
        with ExitStack() as stack:
            source = 0 if path == "-" else os.open(path, os.O_RDONLY)
            file: BinaryIO = stack.enter_context(os.fdopen(source, "rb", closefd=source != 0))
            if twice and not file.seekable():
                spooled = stack.enter_context(tempfile.TemporaryFile())
                shutil.copyfileobj(file, spooled)
                spooled.seek(0)
                file = spooled
            yield file
    except OSError as error:
        raise Invalid("file", f"{path}: {error.strerror}") from error
