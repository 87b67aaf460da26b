import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from sqlalchemy import Connection, event
from tests.builders import (
    ADA,
    NAMING,
    experiment_added,
    experiment_changed,
    experiment_removed,
    marked_favorite,
    member_added,
    member_removed,
    session_added,
    session_changed,
    unmarked_favorite,
    uuid_of,
)
from tests.projections.rows import rows_of, tell

from calipso.data_set_path import parse_data_set_path
from calipso.events.values import Mode, Volume
from calipso.projections import experiments
from calipso.projections.experiments import ExperimentRow, Link, SessionRow

BOB = uuid_of("user bob")
P1 = NAMING.experiment("P1")


def test_a_member_sees_the_experiment_with_its_sessions(connection: Connection) -> None:
    volumes = (
        Volume(source="/data/ü", bind="/P1/in", mode=Mode.READ_ONLY),
        Volume(source="/out", bind="/P1/out", mode=Mode.READ_WRITE),
    )
    start = datetime(2026, 7, 1, 10, tzinfo=timezone(timedelta(hours=2)))
    tell(
        connection,
        experiment_added("P1", title="Ice", description="Cold", beam_line="BL13", uid=5001, gid=None),
        session_added("P1", "S1", start=start, end=None, subject="First", body="Visit", volumes=volumes),
        member_added("P1"),
    )
    page = experiments.page(connection, ADA, page=1, page_size=7)
    assert page.count == 1
    assert list(page.rows) == [
        ExperimentRow(
            link_id=3,
            experiment_id=P1,
            proposal_id="P1",
            title="Ice",
            description="Cold",
            beam_line="BL13",
            uid=5001,
            gid=None,
            favorite=False,
            sessions=(
                SessionRow(
                    session_number="S1",
                    start=start,
                    end=None,
                    subject="First",
                    body="Visit",
                    data_set_path=page.rows[0].sessions[0].data_set_path,
                ),
            ),
        )
    ]
    text = page.rows[0].sessions[0].data_set_path
    assert json.loads(text) == {
        "/data/ü": {"bind": "/P1/in", "mode": "ro"},
        "/out": {"bind": "/P1/out", "mode": "rw"},
    }
    assert parse_data_set_path(text) == volumes
    assert page.rows[0].sessions[0].start == datetime(2026, 7, 1, 8, tzinfo=UTC)
    assert str(page.rows[0].sessions[0].start) == "2026-07-01 08:00:00+00:00"


def test_experiments_and_sessions_say_what_was_last_said_of_them(connection: Connection) -> None:
    tell(
        connection,
        experiment_added("P1", title="Ice"),
        member_added("P1"),
        session_added("P1", "S1", subject="First"),
        session_changed("P1", "S1", subject="Changed"),
        experiment_changed("P1", title="Water", uid=None),
    )
    row = experiments.page(connection, ADA, page=1, page_size=7).rows[0]
    assert (row.proposal_id, row.title, row.uid) == ("P1", "Water", None)
    assert [session.subject for session in row.sessions] == ["Changed"]
    assert experiments.page(connection, ADA, page=1, page_size=7, search="ice").count == 0
    assert experiments.page(connection, ADA, page=1, page_size=7, search="WATER p1").count == 1


def test_sessions_stand_in_the_order_of_their_numbers(connection: Connection) -> None:
    numbers = ["10", "9", "1", "2"]
    tell(connection, experiment_added(), member_added(), *(session_added("P1", number) for number in numbers))
    row = experiments.page(connection, ADA, page=1, page_size=7).rows[0]
    assert [session.session_number for session in row.sessions] == ["1", "2", "9", "10"]


def test_of_sessions_whose_numbers_the_database_cannot_tell_apart_the_last_is_shown(connection: Connection) -> None:
    numbers = ("S\0", "S\ufffd", "S")
    tell(connection, experiment_added(), member_added(), *(session_added("P1", n, subject=repr(n)) for n in numbers))
    (row,) = experiments.page(connection, ADA, page=1, page_size=7).rows
    assert {s.session_number: s.subject for s in row.sessions} == {"S": "'S'", "S\ufffd": "'S\ufffd'"}


def test_only_members_see_an_experiment_and_each_only_once(connection: Connection) -> None:
    tell(
        connection,
        experiment_added("P1"),
        experiment_added("P2"),
        member_added("P1", ADA),
        member_added("P1", BOB),
        member_added("P2", ADA),
        member_removed("P2", ADA),
        marked_favorite(ADA, "P1"),
        marked_favorite(BOB, "P1"),
    )
    assert _seen(connection) == ["P1"]
    assert experiments.link(connection, 5) is None


def test_a_mark_is_the_members_own(connection: Connection) -> None:
    tell(
        connection,
        *(experiment_added(proposal_id) for proposal_id in ("P1", "P2", "P3")),
        *(member_added(proposal_id, ADA) for proposal_id in ("P1", "P2", "P3")),
        member_added("P1", BOB),
        marked_favorite(BOB, "P1"),
        marked_favorite(ADA, "P2"),
        marked_favorite(ADA, "P3"),
        unmarked_favorite(ADA, "P3"),
    )
    assert _seen(connection, favorite=True) == ["P2"]
    assert _seen(connection, favorite=False) == ["P1", "P3"]
    assert experiments.page(connection, ADA, page=1, page_size=1, favorite=False).count == 2
    assert experiments.link(connection, 4) == Link(user_id=ADA, experiment_id=P1, favorite=False)
    assert experiments.link(connection, 7) == Link(user_id=BOB, experiment_id=P1, favorite=True)
    assert experiments.link(connection, 1) is None
    assert experiments.link(connection, 10**30) is None


def test_a_removed_experiment_comes_back_empty(connection: Connection) -> None:
    tell(
        connection,
        experiment_added("P1"),
        session_added("P1", "S1"),
        member_added("P1", ADA),
        member_added("P1", BOB),
        marked_favorite(ADA, "P1"),
        experiment_removed("P1"),
        session_added("P1", "S2"),
        member_added("P1", ADA),
    )
    assert _seen(connection) == []
    assert experiments.link(connection, 3) is None
    assert {name: len(rows) for name, rows in rows_of(experiments.Experiments(), connection).items()} == {
        "experiments": 0,
        "sessions": 0,
        "members": 0,
        "favorites": 1,
    }
    tell(
        connection,
        experiment_added("P1"),
        experiment_removed("P1"),
        experiment_added("P1"),
        session_added("P1", "S3"),
        member_added("P1", ADA),
    )
    page = experiments.page(connection, ADA, page=1, page_size=7)
    assert [(row.link_id, row.favorite, [s.session_number for s in row.sessions]) for row in page.rows] == [
        (5, True, ["S3"])
    ]
    assert experiments.page(connection, BOB, page=1, page_size=7).count == 0


def test_an_experiment_that_is_added_begins_empty(connection: Connection) -> None:
    tell(connection, experiment_added("P1"), session_added("P1"), member_added("P1"), experiment_added("P1", title="A"))
    assert _seen(connection) == []
    tell(connection, experiment_changed("P1"), member_added("P1"))
    assert experiments.page(connection, ADA, page=1, page_size=7).rows[0].sessions == ()


@pytest.mark.parametrize(
    ("ordering", "expected"),
    [
        ("", "P1 P2 p3"),
        ("proposal_id", "P1 P2 p3"),
        ("-proposal_id", "p3 P2 P1"),
        ("subject", "p3 P1 P2"),
        ("-subject", "P2 P1 p3"),
        ("body", "P2 p3 P1"),
        ("-body", "P1 p3 P2"),
        ("beam_line", "P1 P2 p3"),
        ("-beam_line,-proposal_id", "p3 P2 P1"),
        ("calipsouserexperiment__favorite", "P1 p3 P2"),
        ("-calipsouserexperiment__favorite", "P2 P1 p3"),
        ("title", "P1 P2 p3"),
    ],
)
def test_experiments_have_the_order_that_was_asked_for(connection: Connection, ordering: str, expected: str) -> None:
    tell(
        connection,
        experiment_added("p3", title="apple", description="b"),
        experiment_added("P2", title="cherry", description="A"),
        experiment_added("P1", title="Banana", description="c"),
        *(member_added(proposal_id) for proposal_id in ("p3", "P2", "P1")),
        marked_favorite(ADA, "P2"),
    )
    assert " ".join(_seen(connection, ordering=ordering)) == expected


@pytest.mark.parametrize(
    ("search", "expected"),
    [
        ("", ["P1", "P2"]),
        ("crystal", ["P1"]),
        ("CRYSTAL structure", ["P1"]),
        ("ice crystal", ["P1"]),
        ("straße", ["P2"]),
        ("STRASSE", ["P2"]),
        ("bl1", ["P1", "P2"]),
        ("p2", ["P2"]),
        ("100%", ["P2"]),
        ("1%", []),
        ("b_", []),
        ("iceBL13", []),
        ("S1", []),
    ],
)
def test_a_search_finds_the_texts_of_experiments(connection: Connection, search: str, expected: list[str]) -> None:
    tell(
        connection,
        experiment_added("P1", title="Crystal structure", description="of ice", beam_line="BL13"),
        experiment_added("P2", title="Straße", description="100% of it", beam_line="BL14"),
        session_added("P1", "S1"),
        member_added("P1"),
        member_added("P2"),
    )
    assert _seen(connection, search=search) == expected


def test_a_page_costs_three_queries_however_many_experiments_it_shows(connection: Connection) -> None:
    numbers = [f"P{number}" for number in range(1, 10)]
    tell(
        connection,
        *(experiment_added(number) for number in numbers),
        *(session_added(number) for number in numbers),
        *(member_added(number) for number in numbers),
    )
    asked: list[str] = []
    event.listen(connection, "before_cursor_execute", lambda *arguments: asked.append(arguments[2]))
    page = experiments.page(connection, ADA, page=2, page_size=4)
    assert len(asked) == 3
    assert page.count == 9
    assert [row.proposal_id for row in page.rows] == ["P5", "P6", "P7", "P8"]
    assert all(len(row.sessions) == 1 for row in page.rows)
    assert experiments.page(connection, ADA, page=4, page_size=4).rows == []


def _seen(connection: Connection, *, ordering: str = "", search: str = "", favorite: bool | None = None) -> list[str]:
    page = experiments.page(connection, ADA, page=1, page_size=7, ordering=ordering, search=search, favorite=favorite)
    assert page.count == len(page.rows)
    return [row.proposal_id for row in page.rows]
