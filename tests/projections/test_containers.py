from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import Connection, text
from tests.builders import (
    ADA,
    NAMING,
    PLACEMENT,
    SMALL,
    History,
    adopted,
    container_requested,
    failed,
    image_added,
    image_spec,
    image_withdrawn,
    lost,
    removal_requested,
    removed,
    started,
    starting,
    stop_requested,
    stopped,
    user_erased,
    user_registered,
    uuid_of,
)
from tests.projections.rows import apply, tell

from calipso.events.container import ContainerRequested, State
from calipso.events.envelope import Event
from calipso.events.naming import container_name
from calipso.events.values import FailureReason, Placement, Protocol, Runtime
from calipso.projections import containers, holdings
from calipso.projections.container_counts import START_SECONDS, counts
from calipso.projections.containers import ContainerRow

BOB = uuid_of("user bob")
FIRST = uuid_of("container 1")
REQUEST = container_requested(FIRST)


def test_containers_of_the_erased_lose_the_words_of_their_user(connection: Connection) -> None:
    second, bobs = container_requested(uuid_of("container 2")), container_requested(uuid_of("container 3"), BOB)
    history = History()
    apply(containers.Containers(), connection, history.record(REQUEST, failed(REQUEST, detail="no folder /output/ada")))
    before = {row.container_id: row for row in containers.every_of(connection, None)}
    apply(containers.Containers(), connection, history.record(second, bobs, user_erased(ADA)))
    rows = {row.container_id: row for row in containers.every_of(connection, None)}
    assert before[FIRST].failure_detail == "no folder /output/ada"
    assert rows[FIRST] == replace(before[FIRST], label="", info="", failure_detail="")
    assert (rows[second.container_id].label, rows[bobs.container_id].label) == ("", bobs.label)


def test_a_requested_container_has_its_name_and_ids_at_once(connection: Connection) -> None:
    request = container_requested(FIRST, label="S1", info="P1", key_number=3)
    recorded = tell(connection, image_added("desktop"), user_registered(ADA), request)
    expected = ContainerRow(
        id=3,
        container_id=FIRST,
        name=container_name(FIRST),
        user_id=ADA,
        user_wire_id=2,
        target="docker-a",
        runtime=Runtime.DOCKER,
        protocol=Protocol.VNC,
        image_id=NAMING.image("desktop"),
        image_name="desktop",
        image_wire_id=1,
        label="S1",
        info="P1",
        resources=SMALL,
        key_number=3,
        deadline=request.deadline,
        state=State.REQUESTED,
        created=recorded[2].time,
        started=None,
        ended=None,
        runtime_id="",
        host="",
        port=0,
        link="",
        web_prefix="",
        web_token="",
        image_digest="",
        failure_reason=None,
        failure_detail="",
        removal_requested=False,
        last_event_id=recorded[2].id,
    )
    assert containers.by_id(connection, 3) == expected
    assert containers.by_uuid(connection, FIRST) == expected
    assert containers.by_uuids(connection, {FIRST, BOB}) == {FIRST: expected}
    assert containers.by_name(connection, container_name(FIRST)) == expected
    assert containers.by_id(connection, 1) is None
    assert containers.by_id(connection, 10**30) is None
    assert containers.by_uuid(connection, BOB) is None
    assert containers.by_name(connection, "calipso-1") is None


def test_a_withdrawn_image_has_no_id_and_its_container_stays(connection: Connection) -> None:
    tell(connection, image_added("desktop"), REQUEST, image_withdrawn("desktop"))
    row = _row(connection)
    assert (row.image_wire_id, row.image_name, row.user_wire_id) == (None, "desktop", 0)


def test_a_running_container_tells_where_it_is(connection: Connection) -> None:
    recorded = tell(connection, REQUEST, starting(REQUEST), started(REQUEST))
    row = _row(connection)
    assert (row.state, row.started, row.ended) == (State.RUNNING, recorded[2].time, None)
    assert (row.runtime_id, row.host, row.port, row.link) == (PLACEMENT.runtime_id, "172.17.0.2", 5901, "")
    assert (row.image_digest, row.last_event_id) == ("sha256:9f86", recorded[2].id)


def test_a_failed_container_tells_why(connection: Connection) -> None:
    recorded = tell(connection, REQUEST, starting(REQUEST), failed(REQUEST, FailureReason.REJECTED, "no\0 such image"))
    row = _row(connection)
    assert (row.state, row.started, row.ended) == (State.FAILED, None, recorded[2].time)
    assert (row.failure_reason, row.failure_detail) == (FailureReason.REJECTED, "no\ufffd such image")


def test_a_container_ended_when_it_ceased_to_be_active(connection: Connection) -> None:
    recorded = tell(
        connection,
        REQUEST,
        starting(REQUEST),
        adopted(REQUEST),
        started(REQUEST),
        stop_requested(REQUEST),
        stopped(REQUEST),
        removal_requested(REQUEST),
        removed(REQUEST),
    )
    row = _row(connection)
    assert (row.state, row.started, row.ended) == (State.REMOVED, recorded[3].time, recorded[5].time)
    assert (row.removal_requested, row.last_event_id) == (True, recorded[7].id)


def test_what_is_told_of_unknown_containers_is_ignored(connection: Connection) -> None:
    tell(connection, starting(REQUEST), started(REQUEST), removed(REQUEST))
    assert containers.every_of(connection, None) == []


def test_an_ended_container_never_disappears(connection: Connection) -> None:
    requests = _every_state(connection)
    assert {row.container_id: row.state for row in containers.every_of(connection, None)} == {
        request: state for state, request in requests.items()
    }
    assert [row.id for row in containers.every_of(connection, ADA)] == sorted(
        row.id for row in containers.every_of(connection, None)
    )
    assert containers.every_of(connection, BOB) == []


def test_active_are_those_that_hold_a_part_of_the_quota(connection: Connection) -> None:
    _every_state(connection)
    active = [State.REQUESTED, State.STARTING, State.RUNNING, State.STOPPING]
    assert [row.state for row in containers.active_of(connection, None)] == active
    assert [row.state for row in containers.active_of(connection, ADA)] == active
    assert containers.active_of(connection, BOB) == []


def test_open_are_those_that_want_something_done(connection: Connection) -> None:
    requests = _every_state(connection)
    expected = [requests[s] for s in (State.REQUESTED, State.STARTING, State.RUNNING, State.STOPPING)]
    assert list(holdings.open_on(connection, "docker-a")) == expected
    assert holdings.open_on(connection, "docker-b") == {}
    assert holdings.held_on(connection, "docker-a") == 4  # also what is stopped and still there
    assert holdings.held_on(connection, "docker-b") == 0


def test_a_stopped_container_is_open_while_its_removal_is_wanted(connection: Connection) -> None:
    tell(connection, REQUEST, starting(REQUEST), stopped(REQUEST), removal_requested(REQUEST))
    assert holdings.open_on(connection, "docker-a") == {FIRST: State.STOPPED}
    assert containers.active_of(connection, None) == []


def test_what_was_left_stopped_is_told_by_the_time_of_its_end(connection: Connection) -> None:
    requests = _every_state(connection)
    row = containers.by_uuid(connection, requests[State.STOPPED])
    assert row is not None
    assert row.ended is not None
    moment = timedelta(microseconds=1)
    assert holdings.stopped_on(connection, "docker-a", row.ended) == []
    assert holdings.stopped_on(connection, "docker-a", row.ended + moment) == [requests[State.STOPPED]]
    assert holdings.stopped_on(connection, "docker-b", row.ended + moment) == []


def test_a_link_is_reached_by_its_address(connection: Connection) -> None:
    spec = image_spec(runtime=Runtime.STATIC_LINK, protocol=Protocol.NONE, reference="https://wiki.example/")
    request = container_requested(FIRST, image=spec, target="links")
    tell(connection, request, starting(request), started(request, Placement(runtime_id="", name="w", link="https://w")))
    row = _row(connection)
    assert (row.runtime, row.protocol, row.link, row.port) == (Runtime.STATIC_LINK, Protocol.NONE, "https://w", 0)


def test_metrics_count_states_failures_and_start_times(connection: Connection) -> None:
    history = History()
    link = image_spec(runtime=Runtime.STATIC_LINK)
    for number, seconds in enumerate((0, 1, 1, 40, 300)):
        request = container_requested(uuid_of(f"slow {number}"), image=image_spec() if number else link)
        history.record(request)
        (start,) = history.record(started(request))
        created = history.events[-2].time
        history.events[-1] = replace(start, time=created + timedelta(seconds=seconds))
    for number in range(3):
        request = container_requested(uuid_of(f"failed {number}"))
        history.record(request, failed(request, FailureReason.TIMEOUT if number else FailureReason.CRASHED))
    apply(containers.Containers(), connection, history.events)
    found = counts(connection)
    assert found.by_state == {"running": 5, "failed": 3}
    assert found.failures == {("docker_container", "timeout"): 2, ("docker_container", "crashed"): 1}
    assert START_SECONDS[:2] == (0.5, 1.0)
    assert found.starts == {
        "static_link": ([1] * 10, 0.0),
        "docker_container": ([0, 2, 2, 2, 2, 2, 3, 3, 3, 4], 342.0),
    }


def test_without_containers_there_is_nothing_to_count(connection: Connection) -> None:
    found = counts(connection)
    assert (found.by_state, found.failures, found.starts) == ({}, {}, {})


@pytest.mark.parametrize(
    "ask",
    [
        lambda connection: holdings.open_on(connection, "docker-a"),
        lambda connection: holdings.held_on(connection, "docker-a"),
        lambda connection: containers.active_of(connection, None),
    ],
    ids=["open_on", "held_on", "active_of"],
)
def test_what_is_asked_often_does_not_read_what_has_ended(
    connection: Connection, ask: Callable[[Connection], object]
) -> None:
    requests = [container_requested(uuid_of(f"ended {number}")) for number in range(2000)]
    tell(connection, *requests, *(lost(request) for request in requests), REQUEST, starting(REQUEST))
    connection.execute(text("ANALYZE rm_containers.containers"))
    connection.execute(text("SET LOCAL plan_cache_mode = force_generic_plan"))
    before = _rows_read(connection)
    for _ in range(10):  # so often that the statement is prepared, and planned without its parameters
        assert ask(connection)
    assert _rows_read(connection) - before < 100


def _rows_read(connection: Connection) -> int:
    """The number of rows of the table that the transaction has read."""
    statement = (
        "SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_xact_user_tables "
        "WHERE schemaname = 'rm_containers' AND relname = 'containers'"
    )
    return int(connection.execute(text(statement)).scalar_one())


def _row(connection: Connection) -> ContainerRow:
    row = containers.by_uuid(connection, FIRST)
    assert row is not None
    return row


def _every_state(connection: Connection) -> Mapping[State, UUID]:
    """Apply the events of one container in each state; gives their ids."""
    requests = {state: container_requested(uuid_of(state)) for state in State}
    after: Mapping[State, Sequence[Callable[[ContainerRequested], Event]]] = {
        State.REQUESTED: (),
        State.STARTING: (starting,),
        State.RUNNING: (starting, started),
        State.STOPPING: (starting, started, stop_requested),
        State.STOPPED: (starting, started, stop_requested, stopped),
        State.REMOVED: (starting, started, removal_requested, stopped, removed),
        State.FAILED: (starting, failed),
        State.LOST: (starting, started, lost),
    }
    lives = [[request, *(make(request) for make in after[state])] for state, request in requests.items()]
    tell(connection, *(event for life in lives for event in life))
    return {state: request.container_id for state, request in requests.items()}
