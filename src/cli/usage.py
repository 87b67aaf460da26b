"""What containers used, on the command line."""

import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.progress import Progress

from calipso.api.usage_objects import columns_of, read_by, usage_rows
from calipso.backend import Backend
from calipso.cli.common import Data, running
from calipso.cli.history import Since, Until, record, warn_if_behind
from calipso.cli.rows import Format, FormatOption, write
from calipso.errors import Invalid
from calipso.events.container import ContainerEvent
from calipso.events.envelope import Recorded
from calipso.events.usage import By, Key, Usage, lives
from calipso.events.usage import usage as used_by
from calipso.moments import parse_bound
from calipso.projections import audit
from calipso.projections.folding import topics_of
from calipso.projections.usage import usage as summed

PERIOD = timedelta(days=30)
_AT_ONCE = 2000


def usage(
    since: Since = "",
    until: Until = "",
    by: Annotated[str, typer.Option(help="Any of user, experiment, image, runtime, day, separated by commas.")] = "",
    from_log: Annotated[
        bool, typer.Option("--from-log", help="Recompute from all events instead of the read models; takes longer.")
    ] = False,
    form: FormatOption = Format.TABLE,
    data: Data = None,
) -> None:
    """Tell what containers used: hours that they ran and that they held their quota; the last 30 days by default."""
    wanted = read_by(by)
    begin, end = period_of(since, until)
    with running(data) as backend, backend.engine.connect() as connection:
        if By.USER in wanted:
            record(backend, "usage", None, {"since": since, "until": until, "by": by})
        if from_log:
            found: Mapping[Key, Usage] = used_by(lives(_events(backend, end)).values(), begin, end, wanted)
        else:
            warn_if_behind(backend, audit.position(connection))
            found = summed(connection, begin, end, wanted)
        rows = (msgspec.to_builtins(row) for row in usage_rows(connection, found, wanted))
        write(rows, columns_of(wanted), form)


def period_of(since: str, until: str) -> tuple[datetime, datetime]:
    """The period that two bounds mean: until now, and of 30 days, where they say nothing.

    Raises:
        Invalid: one of them is none, or the period ends before it begins.
    """
    end = parse_bound(until, "until") or datetime.now(UTC)
    begin = parse_bound(since, "since") or end - PERIOD
    if end < begin:
        raise Invalid("until", "must not be before since")
    return begin, end


def _events(backend: Backend, until: datetime) -> Iterator[Recorded]:
    """All events of containers until a time, with a bar on a terminal."""
    topics, last, after = topics_of(ContainerEvent), backend.store.position_at(until), 0
    with Progress(console=Console(stderr=True), disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task("reading events", total=last)
        while after < last:
            page = backend.store.read(after=after, limit=_AT_ONCE, topics=topics)
            yield from (recorded for recorded in page.events if recorded.position <= last)
            after = page.last
            progress.update(task, completed=min(after, last))
