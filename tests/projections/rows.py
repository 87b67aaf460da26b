"""Applies events to read models and compares the rows that come of it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

from sqlalchemy import Connection, Engine, select, text
from tests.builders import record

from calipso.events.envelope import Event, Recorded
from calipso.projections.audit import Audit
from calipso.projections.containers import Containers
from calipso.projections.experiments import Experiments
from calipso.projections.images import Images
from calipso.projections.quotas import Quotas
from calipso.projections.users import Users

Model = Users | Images | Quotas | Experiments | Containers | Audit
Rows = dict[str, Sequence[Any]]

READ_MODELS: Sequence[Model] = (Users(), Images(), Quotas(), Experiments(), Containers(), Audit())


@contextmanager
def rolled_back(engine: Engine) -> Iterator[Connection]:
    """A transaction of which nothing stays."""
    with engine.connect() as connection, connection.begin() as transaction:
        yield connection
        transaction.rollback()


def tell(connection: Connection, *events: Event) -> Sequence[Recorded]:
    """Let every read model apply what an empty store would keep of these events."""
    recorded = record(*events)
    for model in READ_MODELS:
        apply(model, connection, recorded)
    return recorded


def apply(model: Model, connection: Connection, events: Sequence[Recorded], cuts: Sequence[int] = ()) -> None:
    """Let a read model apply the events of its topics, in batches that end at the cuts."""
    borders = [0, *sorted(cut % (len(events) + 1) for cut in cuts), len(events)]
    for begin, end in pairwise(borders):
        batch = [recorded for recorded in events[begin:end] if model.topics is None or recorded.topic in model.topics]
        if batch:
            model.apply(connection, batch)


def rows_of(model: Model, connection: Connection) -> Rows:
    """All rows of a read model, by table, but for its position."""
    tables = [table for table in model.metadata.sorted_tables if table.name != "position"]
    return {t.name: connection.execute(select(t).order_by(*t.primary_key.columns)).all() for t in tables}


def rows_after(model: Model, engine: Engine, events: Sequence[Recorded], cuts: Sequence[int]) -> Rows:
    """The rows of a read model after these batches."""
    with rolled_back(engine) as connection:
        apply(model, connection, events, cuts)
        return rows_of(model, connection)


def rows_rebuilt(model: Model, engine: Engine, events: Sequence[Recorded]) -> Rows:
    """The rows of a read model after a rebuild: all events in one batch, into a second schema beside the live one."""
    live = str(model.metadata.schema)
    beside = engine.execution_options(schema_translate_map={live: f"{live}_next"})
    with rolled_back(beside) as connection:
        connection.execute(text(f"CREATE SCHEMA {live}_next"))
        model.prepare(connection)
        apply(model, connection, events)
        return rows_of(model, connection)
