"""Whatever comes, and however it is cut into batches: the rows are those of the events one by one."""

from collections.abc import Mapping, Sequence
from functools import reduce
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine
from tests.builders import (
    NAMING,
    adopted,
    container_requested,
    experiment_added,
    experiment_changed,
    experiment_removed,
    failed,
    image_added,
    image_changed,
    image_withdrawn,
    lost,
    marked_favorite,
    member_added,
    member_removed,
    quota_assigned,
    quota_released,
    quota_reserved,
    record,
    removal_requested,
    removed,
    role_granted,
    role_revoked,
    session_added,
    session_changed,
    session_ref,
    started,
    starting,
    stop_requested,
    stopped,
    unmarked_favorite,
    user_erased,
    user_logged_in,
    user_registered,
    uuid_of,
)
from tests.projections.rows import Model, apply, rolled_back, rows_after, rows_rebuilt

from calipso.events import container, experiment, image, quota, user
from calipso.events.envelope import Event, Recorded
from calipso.events.naming import quota_stream
from calipso.projections import audit, containers, experiments, images, quotas, users

USERS = {uuid_of(name): name for name in ("ada", "bob")}
REQUESTS = [
    container_requested(uuid_of(f"{name} {i}"), uuid_of(name), session=session_ref() if i else None)
    for name in ("ada", "bob")
    for i in range(2)
]
NUMBERS = ("P1", "P2")
IMAGES = ("desktop", "wiki")

USER_EVENTS: Sequence[Event] = [
    event
    for user_id, name in USERS.items()
    for event in (
        user_registered(user_id, name),
        *(make(user_id, role) for make in (role_granted, role_revoked) for role in user.Role),
        user_logged_in(user_id),
        user_erased(user_id),
    )
]
IMAGE_EVENTS: Sequence[Event] = [
    event
    for name in IMAGES
    for event in (image_added(name), image_changed(name, port_hook="22/tcp"), image_withdrawn(name))
]
QUOTA_EVENTS: Sequence[Event] = [
    *(quota_assigned(user_id, number) for user_id in USERS for number in (1, 2)),
    *(make(r.container_id, r.user_id) for r in REQUESTS for make in (quota_reserved, quota_released)),
]
EXPERIMENT_EVENTS: Sequence[Event] = [
    event
    for number in NUMBERS
    for event in (
        experiment_added(number),
        experiment_changed(number, title="Water"),
        experiment_removed(number),
        *(session_added(number, session) for session in ("S1", "S2")),
        session_changed(number, "S1", subject="Changed"),
        *(
            make(user_id=user_id, proposal_id=number)
            for make in (member_added, member_removed, marked_favorite, unmarked_favorite)
            for user_id in USERS
        ),
    )
]
CONTAINER_EVENTS: Sequence[Event] = [
    *REQUESTS,
    *map(user_erased, USERS),
    *(
        make(request)
        for request in REQUESTS
        for make in (
            starting, adopted, started, failed, stop_requested, stopped, removal_requested, removed, lost,
        )
    ),
]  # fmt: skip

MODELS: Mapping[str, tuple[Model, Sequence[Event]]] = {
    "users": (users.Users(), USER_EVENTS),
    "images": (images.Images(), IMAGE_EVENTS),
    "quotas": (quotas.Quotas(), QUOTA_EVENTS),
    "experiments": (experiments.Experiments(), EXPERIMENT_EVENTS),
    "containers": (containers.Containers(), CONTAINER_EVENTS),
}
CUTS = st.lists(st.integers(0, 100), max_size=4)
FEW = settings(max_examples=80, deadline=None)


def events_of(candidates: Sequence[Event]) -> st.SearchStrategy[Sequence[Recorded]]:
    """Sequences of these events, most of which no decision would ever lead to."""
    return st.lists(st.sampled_from(candidates), max_size=40).map(lambda events: record(*events))


@pytest.mark.parametrize("name", MODELS)
@FEW
@given(data=st.data())
def test_batches_and_rebuilds_give_the_rows_of_the_events_one_by_one(
    read_models: Engine, name: str, data: st.DataObject
) -> None:
    model, candidates = MODELS[name]
    events = data.draw(events_of(candidates))
    one_by_one = rows_after(model, read_models, events, range(len(events)))
    assert rows_after(model, read_models, events, data.draw(CUTS)) == one_by_one
    assert rows_rebuilt(model, read_models, events) == one_by_one


@settings(max_examples=20, deadline=None)
@given(events=events_of([*USER_EVENTS, *IMAGE_EVENTS, *EXPERIMENT_EVENTS, *QUOTA_EVENTS, *CONTAINER_EVENTS]), cuts=CUTS)
def test_the_audit_is_the_same_whatever_the_batches(
    read_models: Engine, events: Sequence[Recorded], cuts: list[int]
) -> None:
    one_by_one = rows_after(audit.Audit(), read_models, events, range(len(events)))
    assert rows_after(audit.Audit(), read_models, events, cuts) == one_by_one
    assert rows_rebuilt(audit.Audit(), read_models, events) == one_by_one
    assert len(one_by_one["entries"]) == len(events)


@FEW
@given(events=events_of(USER_EVENTS), cuts=CUTS)
def test_accounts_are_as_their_streams_tell(read_models: Engine, events: Sequence[Recorded], cuts: list[int]) -> None:
    with rolled_back(read_models) as connection:
        apply(users.Users(), connection, events, cuts)
        for user_id in USERS:
            row = users.by_id(connection, user_id)
            state = reduce(user.evolve, _stream(events, user_id), None)
            assert (row is None) == (state is None)
            if row and state:
                roles = {user.Role.ADMINISTRATOR: row.is_administrator, user.Role.AUDITOR: row.is_auditor}
                assert {role for role, held in roles.items() if held} == state.roles
                assert row.erased == state.erased


@FEW
@given(events=events_of(IMAGE_EVENTS), cuts=CUTS)
def test_the_catalogue_is_as_its_streams_tell(read_models: Engine, events: Sequence[Recorded], cuts: list[int]) -> None:
    with rolled_back(read_models) as connection:
        apply(images.Images(), connection, events, cuts)
        for name in IMAGES:
            row = images.by_name(connection, name)
            state = reduce(image.evolve, _stream(events, NAMING.image(name)), None)
            assert (row and row.spec) == (state and state.spec)


@FEW
@given(events=events_of(QUOTA_EVENTS), cuts=CUTS)
def test_quotas_are_as_their_streams_tell(read_models: Engine, events: Sequence[Recorded], cuts: list[int]) -> None:
    with rolled_back(read_models) as connection:
        apply(quotas.Quotas(), connection, events, cuts)
        for user_id in USERS:
            state = reduce(quota.evolve, _stream(events, quota_stream(user_id)), quota.Quota())
            assert quotas.limits_of(connection, user_id) == state.limits
            assert quotas.used_by(connection, user_id) == (len(state.reservations), state.used())


@FEW
@given(events=events_of(EXPERIMENT_EVENTS), cuts=CUTS)
def test_experiments_are_as_their_streams_tell(
    read_models: Engine, events: Sequence[Recorded], cuts: list[int]
) -> None:
    states = {number: reduce(experiment.evolve, _stream(events, NAMING.experiment(number)), None) for number in NUMBERS}
    offered = {number: state for number, state in states.items() if state}
    with rolled_back(read_models) as connection:
        apply(experiments.Experiments(), connection, events, cuts)
        for user_id in USERS:
            marks = {
                event.experiment_id: isinstance(event, user.ExperimentMarkedFavorite)
                for event in _stream(events, user_id)
                if isinstance(event, user.ExperimentMarkedFavorite | user.ExperimentUnmarkedFavorite)
            }
            page = experiments.page(connection, user_id, page=1, page_size=7)
            seen = {
                row.proposal_id: (row.title, {s.session_number: s.subject for s in row.sessions}, row.favorite)
                for row in page.rows
            }
            assert seen == {
                number: (
                    state.details.title,
                    {session.session_number: session.subject for session in state.sessions.values()},
                    marks.get(state.experiment_id, False),
                )
                for number, state in offered.items()
                if user_id in state.members
            }


@FEW
@given(events=events_of(CONTAINER_EVENTS), cuts=CUTS)
def test_containers_are_as_their_streams_tell(read_models: Engine, events: Sequence[Recorded], cuts: list[int]) -> None:
    with rolled_back(read_models) as connection:
        apply(containers.Containers(), connection, events, cuts)
        for request in REQUESTS:
            row = containers.by_uuid(connection, request.container_id)
            state = reduce(container.evolve, _stream(events, request.container_id), None)
            assert (row and row.state) == (state and state.state)
            if row and state:
                assert row.host == (state.placement.host if state.placement else "")
                assert row.failure_reason == (state.failure and state.failure.reason)
                assert row.removal_requested == state.removal_requested


def _stream(events: Sequence[Recorded], stream: UUID) -> Sequence[Event]:
    return [recorded.event for recorded in events if recorded.stream == stream]
