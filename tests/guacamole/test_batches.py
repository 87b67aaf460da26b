"""However events are split into batches, and whoever applies them, the rows are the same."""

import itertools
from collections.abc import Sequence
from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, event
from tests import builders
from tests.builders import History
from tests.guacamole.conftest import GUACD, KEYS
from tests.guacamole.events import ELSEWHERE, KINDS, PLACE, event_of, requested
from tests.guacamole.rows import Snapshot, all_rows, apply, count, snapshot, values

from calipso.events.envelope import Recorded
from calipso.events.values import Protocol
from calipso.projections.guacamole import Guacamole

_REQUESTS = [
    requested(protocol, container_id=builders.uuid_of(f"container {number}"), target=target)
    for number, (protocol, target) in enumerate([(Protocol.VNC, "far"), (Protocol.SSH, "near"), (Protocol.HTTP, "far")])
]
_STEPS = st.lists(st.tuples(st.sampled_from(KINDS), st.sampled_from(_REQUESTS)), min_size=1, max_size=14)
_CUTS = st.sets(st.integers(1, 13))
_TWICE_STARTED = [(kind, _REQUESTS[0]) for kind in ("requested", "started", "moved")]
_ASKED_AGAIN = [(kind, _REQUESTS[0]) for kind in ("requested", "started", "stopped", "requested", "moved")]
_ON_ONE_DATABASE = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def shown(engine: Engine, events: Sequence[Recorded], cuts: set[int]) -> Snapshot:
    """What an empty database shows after the events, each batch applied by another process."""
    with engine.connect() as connection, connection.begin() as transaction:
        bounds = sorted({0, len(events), *(cut for cut in cuts if cut < len(events))})
        for first, last in itertools.pairwise(bounds):
            Guacamole(KEYS, GUACD).apply(connection, events[first:last])
        found = values(connection)
        transaction.rollback()
    return found


@_ON_ONE_DATABASE
@example(steps=_TWICE_STARTED, cuts=set())
@example(steps=_TWICE_STARTED, cuts={2})
@example(steps=_ASKED_AGAIN, cuts={2})
@given(steps=_STEPS, cuts=_CUTS)
def test_any_batches_give_the_rows_of_single_events(
    engine: Engine, steps: list[tuple[str, Any]], cuts: set[int]
) -> None:
    events = History().record(*(event_of(kind, request) for kind, request in steps))
    assert shown(engine, events, cuts) == shown(engine, events, set(range(len(events))))


@_ON_ONE_DATABASE
@example(steps=_TWICE_STARTED, cuts=set())
@example(steps=_TWICE_STARTED, cuts={2})
@example(steps=_ASKED_AGAIN, cuts={2})
@given(steps=_STEPS, cuts=_CUTS)
def test_a_rebuild_is_what_was_live(
    engine: Engine, guacamole: Guacamole, steps: list[tuple[str, Any]], cuts: set[int]
) -> None:
    events = History().record(*(event_of(kind, request) for kind, request in steps))
    live = shown(engine, events, cuts)
    with engine.connect() as connection, connection.begin() as transaction:
        guacamole.reconcile(connection, events)
        assert values(connection) == live
        rebuilt = all_rows(connection)
        guacamole.reconcile(connection, events)
        assert all_rows(connection) == rebuilt
        transaction.rollback()


def test_many_containers_in_a_batch(engine: Engine, guacamole: Guacamole) -> None:
    requests, history = [requested() for _ in range(510)], History()
    apply(engine, guacamole, history.record(*requests))
    apply(engine, guacamole, history.record(*(builders.started(request, PLACE) for request in requests)))
    assert count(engine)["guacamole_connection_parameter"] == 3 * 510
    before = snapshot(engine)["guacamole_connection"]
    moved = [builders.started(request, ELSEWHERE) for request in requests[:100]]
    apply(engine, guacamole, history.record(*moved, *(builders.stopped(request) for request in requests[50:])))
    after = snapshot(engine)["guacamole_connection"]
    assert len(after) == 50
    assert set(after) < set(before)
    with engine.begin() as connection:
        guacamole.reconcile(connection, history.events)
    assert snapshot(engine)["guacamole_connection"] == after


def test_a_batch_takes_as_many_statements_however_many_containers_start(engine: Engine, guacamole: Guacamole) -> None:
    executed: list[str] = []

    @event.listens_for(engine, "before_cursor_execute")
    def remember(_c: object, _k: object, statement: str, *_others: object) -> None:
        executed.append(statement)

    taken, history = [], History()
    for number in (1, 20):
        requests = [requested() for _ in range(number)]
        apply(engine, guacamole, history.record(*requests))
        executed.clear()
        apply(engine, guacamole, history.record(*(builders.started(request, PLACE) for request in requests)))
        taken.append(len(executed))
    numbered = 3 if engine.dialect.name == "mysql" else 0  # accounts, users and connections come one by one there
    assert taken[1] - taken[0] == 19 * numbered


def test_a_container_that_starts_and_ends_in_a_batch_needs_no_row(engine: Engine, guacamole: Guacamole) -> None:
    written: list[str] = []

    @event.listens_for(engine, "before_cursor_execute")
    def remember(_c: object, _k: object, statement: str, *_others: object) -> None:
        written.extend(word for word in ("INSERT", "DELETE") if statement.startswith(word))

    request = requested(key_number=99)  # a key that is gone is needed no more
    apply(engine, guacamole, History().record(request, builders.started(request, PLACE), builders.failed(request)))
    assert written == []
