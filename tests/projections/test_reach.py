"""Who could reach a data set at a moment: through which session, membership and container, and by which events."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection
from tests.builders import (
    ADA,
    container_requested,
    experiment_added,
    experiment_removed,
    image_added,
    member_added,
    member_removed,
    session_added,
    session_changed,
    session_ref,
    started,
    stop_requested,
    stopped,
    user_registered,
    uuid_of,
)
from tests.projections.recorded import append, stored
from tests.projections.rows import READ_MODELS, apply

from calipso.errors import Invalid
from calipso.events.envelope import Event
from calipso.events.values import Mode, Volume
from calipso.projections.reach import How, Way, who_could
from calipso.store_memory import MemoryStore

BOB = uuid_of("user bob")
DATA = Volume(source="/data/p1/raw", bind="/p1", mode=Mode.READ_ONLY)
OTHER = Volume(source="/data/p10", bind="/p10", mode=Mode.READ_ONLY)
MOUNTED = container_requested(uuid_of("mounted"), session=session_ref("P1", "S1"), volumes=(DATA,))
OWN = container_requested(uuid_of("own"), BOB, volumes=(Volume(source="/data", bind="/all", mode=Mode.READ_WRITE),))
BEGIN: tuple[Event, ...] = (
    user_registered(ADA, "ada"),  # 1
    user_registered(BOB, "bob"),
    image_added("desktop"),
    experiment_added("P1"),
    session_added("P1", "S1", volumes=(DATA, OTHER)),  # 5
    member_added("P1", ADA),
    MOUNTED,
    started(MOUNTED),  # 8
)


def asked(connection: Connection, store: MemoryStore, dataset: str, position: int | None = None) -> list[Way]:
    """Who could reach it after an event, the last one by default."""
    for model in READ_MODELS:
        apply(model, connection, store.read(after=0, limit=100).events)
    position = position or store.head()
    return list(who_could(connection, store, dataset, store.at([position])[0].time, position))


def brief(way: Way) -> tuple[Any, ...]:
    return way.how, way.user_id, way.folder.source, way.is_whole, [e.recorded.position for e in way.evidence]


START = (How.COULD_START, ADA, "/data/p1/raw", True, [5, 6])
OPEN = (How.COULD_OPEN, ADA, "/data/p1/raw", True, [6, 7, 8])


@pytest.mark.parametrize("dataset", ["/data/p1/raw", "/data/p1/raw/", "//data/p1/./raw", "/data/p1/raw/run7"])
def test_members_could_start_and_owners_of_what_ran_could_open(connection: Connection, dataset: str) -> None:
    assert [brief(way) for way in asked(connection, stored(*BEGIN), dataset)] == [START, OPEN]


def test_a_part_of_the_data_set_is_told_from_all_of_it(connection: Connection) -> None:
    found = asked(connection, stored(*BEGIN), "/data/p1")
    assert [(way.folder, way.is_whole) for way in found] == [(DATA, False), (DATA, False)]


def test_a_name_that_begins_alike_is_another_folder(connection: Connection) -> None:
    assert asked(connection, stored(*BEGIN), "/data/p1/ra") == []
    assert [way.folder for way in asked(connection, stored(*BEGIN), "/data/p10")] == [OTHER]
    assert asked(connection, stored(*BEGIN), "/data/p100") == []


def test_a_way_tells_session_membership_and_state(connection: Connection) -> None:
    start, could_open = asked(connection, stored(*BEGIN), "/data/p1/raw")
    assert (start.proposal_id, start.session_number, start.container) == ("P1", "S1", None)
    assert start.membership_id == could_open.membership_id == session_ref("P1").membership_id
    assert could_open.container is not None
    assert could_open.is_member
    assert could_open.evidence[0].sentence == "service:test made ada a member of P1."


@pytest.mark.parametrize(
    ("later", "hows"),
    [
        ((), [How.COULD_START, How.COULD_OPEN]),
        ((stop_requested(MOUNTED),), [How.COULD_START, How.COULD_OPEN]),
        ((stopped(MOUNTED),), [How.COULD_START]),
        ((member_removed("P1", ADA),), [How.COULD_OPEN]),
        ((experiment_removed("P1"),), [How.COULD_OPEN]),
        ((session_changed("P1", "S1", volumes=(OTHER,)),), [How.COULD_OPEN]),
        ((stopped(MOUNTED), experiment_removed("P1")), []),
    ],
)
def test_what_ended_is_no_way_any_more(connection: Connection, later: tuple[Event, ...], hows: list[How]) -> None:
    found = asked(connection, stored(*BEGIN, *later), "/data/p1/raw")
    assert [way.how for way in found] == hows
    # whatever happened since, the moment before is told as it was
    assert [brief(way) for way in asked(connection, stored(*BEGIN, *later), "/data/p1/raw", 8)] == [START, OPEN]


def test_a_membership_that_ended_is_told_beside_what_still_ran(connection: Connection) -> None:
    (way,) = asked(connection, stored(*BEGIN, member_removed("P1", ADA)), "/data/p1/raw")
    assert (way.is_member, brief(way)) == (False, OPEN)


def test_before_a_container_was_usable_nobody_could_open_it(connection: Connection) -> None:
    assert [way.how for way in asked(connection, stored(*BEGIN), "/data/p1/raw", 7)] == [How.COULD_START]
    assert asked(connection, stored(*BEGIN), "/data/p1/raw", 5) == []


def test_containers_without_a_session_count_by_what_they_mount(connection: Connection) -> None:
    found = asked(connection, stored(*BEGIN, OWN, started(OWN)), "/data/p1/raw")
    assert brief(found[2]) == (How.COULD_OPEN, BOB, "/data", True, [9, 10])
    assert (found[2].proposal_id, found[2].membership_id, found[2].is_member) == ("", None, False)


def test_after_an_erasure_the_session_tells_what_was_mounted(connection: Connection) -> None:
    store = stored(*BEGIN)
    store._codec.subject_keys.destroy(ADA)
    forgetful = MemoryStore(store._codec)
    for recorded in store._log:
        append(forgetful, recorded.event)
    found = asked(connection, forgetful, "/data/p1/raw")
    assert found[1].container is not None
    assert found[1].container.request.volumes == ()
    assert [brief(way) for way in found] == [START, OPEN]


@pytest.mark.parametrize("dataset", ["", "data", "/", "//", "/data\0"])
def test_what_is_no_folder_is_refused(connection: Connection, dataset: str) -> None:
    with pytest.raises(Invalid, match="dataset"):
        asked(connection, stored(*BEGIN), dataset)


def test_the_moment_decides_not_the_present(connection: Connection) -> None:
    store = stored(*BEGIN, stopped(MOUNTED))
    before: datetime = store.at([1])[0].time - timedelta(days=1)
    for model in READ_MODELS:
        apply(model, connection, store.read(after=0, limit=100).events)
    assert who_could(connection, store, "/data/p1/raw", before, store.position_at(before)) == []
