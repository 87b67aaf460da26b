"""Whether what projections show is what they show after a rebuild from the first event."""

from collections.abc import Iterator, Sequence

from sqlalchemy import Engine
from tests.guacamole.rows import values
from tests.projections.rows import READ_MODELS, rolled_back, rows_of, rows_rebuilt

from calipso.backend import Backend
from calipso.bootstrap.guacamole import guacamole_of
from calipso.events.envelope import Recorded


def differences(backend: Backend, rebuilt: Engine, events: Sequence[Recorded]) -> Iterator[str]:
    """The tables that differ.

    Args:
        backend: of the installation.
        rebuilt: an empty database for Guacamole's tables.
        events: the whole history.
    """
    for model in READ_MODELS:
        fresh = rows_rebuilt(model, backend.engine, events)
        with backend.engine.connect() as connection:
            live = rows_of(model, connection)
        yield from (f"{model.name}: {_difference(live[t], fresh[t])} in table {t}" for t in live if live[t] != fresh[t])
    yield from _differences_of_guacamole(backend, rebuilt, events)


def _differences_of_guacamole(backend: Backend, rebuilt: Engine, events: Sequence[Recorded]) -> Iterator[str]:
    assert backend.guacamole_engine is not None
    projection = guacamole_of(backend)
    with rolled_back(rebuilt) as connection:
        projection.create_schema(connection)
        projection.prepare(connection)
        projection.apply(connection, [r for r in events if r.event.topic() in projection.topics])
        fresh = values(connection)
    with backend.guacamole_engine.connect() as connection:
        live = values(connection)
    yield from (f"guacamole: {_difference(live[t], fresh[t])} in table {t}" for t in live if live[t] != fresh[t])


def _difference(live: Sequence[object], fresh: Sequence[object]) -> str:
    odd = [row for row in live if row not in fresh], [row for row in fresh if row not in live]
    return f"{len(odd[0])} rows too many, {len(odd[1])} too few, such as {str((odd[0] + odd[1])[:1])[:300]}"
