"""The history on the command line, of any length."""

import sys
from typing import Annotated
from uuid import UUID

import msgspec
import typer

from calipso.api.audit_objects import EventObject, event_object
from calipso.backend import Backend
from calipso.cli.common import Data, dispatch, running
from calipso.cli.rows import Format, FormatOption, write
from calipso.commands.audit import RecordReading
from calipso.moments import parse_bound
from calipso.projections import audit
from calipso.projections.audit import history as entries
from calipso.projections.audit.question import Question, select

_COLUMNS = tuple(field.name for field in msgspec.structs.fields(EventObject))
_SHOWN = ("position", "time", "type", "actor_name", "sentence")

Since = Annotated[str, typer.Option(help="Nothing before: 2026-11-20T14:03:00Z, or a date in UTC.")]
Until = Annotated[str, typer.Option(help="Nothing after: 2026-11-20T14:03:00Z, or a date in UTC.")]


def history(
    stream: Annotated[str, typer.Option(help="The uuid of a stream.")] = "",
    user: Annotated[str, typer.Option(help="Whom the events are about: a user name or a uuid.")] = "",
    experiment: Annotated[str, typer.Option(help="A public number or a uuid.")] = "",
    container: Annotated[str, typer.Option(help="A name (calipso-...), a uuid or an integer id.")] = "",
    kind: Annotated[str, typer.Option(help="The kind of the streams, such as container.")] = "",
    type_: Annotated[str, typer.Option("--type", help="The type of the events, such as ContainerStarted.")] = "",
    actor: Annotated[str, typer.Option(help="Who caused them: a user name, or such as service:command-line.")] = "",
    correlation: Annotated[str, typer.Option(help="The id of the request from which all came.")] = "",
    since: Since = "",
    until: Until = "",
    after: Annotated[int, typer.Option(min=0, help="Only after this position.")] = 0,
    limit: Annotated[int | None, typer.Option(min=1, help="How many at most; all by default.")] = None,
    form: FormatOption = Format.TABLE,
    data: Data = None,
) -> None:
    """Tell what happened, oldest first, each event with who caused it and a sentence; this itself is recorded."""
    asked = Question(
        stream=stream,
        user=user,
        experiment=experiment,
        container=container,
        kind=kind,
        type=type_,
        actor=actor,
        correlation=correlation,
        since=parse_bound(since, "since"),
        until=parse_bound(until, "until"),
    )
    with running(data) as backend, backend.engine.connect() as connection:
        wanted = select(asked, connection, backend.store, backend.installation.naming).from_after(after)
        words = {word: getattr(asked, word) for word in ("stream", "experiment", "container", "kind", "type")}
        record(backend, "events", wanted.user_id, words | {"actor": wanted.actor or "", "since": since, "until": until})
        warn_if_behind(backend, audit.position(connection))
        found = entries.stream(connection, backend.store, wanted, limit=limit)
        rows = (msgspec.to_builtins(event_object(entry)) for entry in found)
        write(rows, _COLUMNS, form, shown=_SHOWN)


def record(backend: Backend, what: str, user_id: UUID | None, asked: dict[str, str]) -> None:
    """Record that the command line reads the history of others."""
    told = tuple(sorted((name, value) for name, value in asked.items() if value))
    dispatch(backend, RecordReading(reader=None, user_id=user_id, what=what, asked=told))


def warn_if_behind(backend: Backend, upto: int) -> None:
    """Say on standard error when the audit does not tell of all that is stored."""
    head = backend.store.head()
    if head - upto > 1:  # the reading itself was recorded a moment ago
        print(f"note: told up to position {upto} of {head}; is `calipso project` running?", file=sys.stderr)
