from dataclasses import replace
from datetime import datetime, timedelta
from uuid import uuid4

import pytest
from tests.commands.scenario import (
    ADA,
    ADA_MEMBER,
    ADA_REGISTERED,
    BOB,
    DETAILS,
    MEMBERSHIP,
    NOW,
    P1,
    P1_ADDED,
    S1_ADDED,
    SESSION,
    given,
)

from calipso.commands.experiment import (
    AddExperiment,
    AddMember,
    AddSession,
    ChangeExperiment,
    ChangeSession,
    ExperimentCommand,
    RemoveExperiment,
    RemoveMember,
)
from calipso.errors import AlreadyExists, Conflict, Invalid, NotFound
from calipso.events import experiment as facts
from calipso.events.experiment import ExperimentDetails, SessionDetails
from calipso.events.user import UserErased
from calipso.events.values import Mode, Volume

NEW_DETAILS = replace(DETAILS, title="Fire", uid=5001, gid=500)
LATER = replace(SESSION, start=NOW, end=NOW + timedelta(days=2), volumes=())

add = AddExperiment(experiment_id=P1, proposal_id="P1", details=DETAILS)
change = ChangeExperiment(experiment_id=P1, proposal_id="P1", details=NEW_DETAILS)
remove = RemoveExperiment(experiment_id=P1, proposal_id="P1")
add_session = AddSession(experiment_id=P1, proposal_id="P1", session=SESSION)
change_session = ChangeSession(experiment_id=P1, proposal_id="P1", session=LATER)
add_member = AddMember(experiment_id=P1, proposal_id="P1", user_id=ADA, membership_id=MEMBERSHIP)
remove_member = RemoveMember(experiment_id=P1, proposal_id="P1", user_id=ADA)

changed = facts.ExperimentChanged(experiment_id=P1, details=NEW_DETAILS)
removed = facts.ExperimentRemoved(experiment_id=P1)
session_changed = facts.SessionChanged(experiment_id=P1, session=LATER)
member_removed = facts.MemberRemoved(experiment_id=P1, user_id=ADA)


def test_an_experiment_is_added_once() -> None:
    given().when(add).then(P1_ADDED)
    given(P1_ADDED).when(add).then_error(AlreadyExists("experiment", "P1"))


def test_an_experiment_is_changed() -> None:
    given(P1_ADDED).when(change).then(changed)
    given(P1_ADDED, changed).when(change).then()


def test_an_experiment_is_removed_with_its_sessions_and_members() -> None:
    full = given(ADA_REGISTERED, P1_ADDED, S1_ADDED, ADA_MEMBER)
    full.when(remove).then(removed)
    again = full.and_then(removed)
    again.when(add).then(P1_ADDED)
    again.and_then(P1_ADDED).when(add_session).then(S1_ADDED)
    again.and_then(P1_ADDED).when(add_member).then(ADA_MEMBER)


@pytest.mark.parametrize("command", [change, remove, add_session, change_session, add_member, remove_member])
def test_an_experiment_that_is_not_there(command: ExperimentCommand) -> None:
    given(ADA_REGISTERED).when(command).then_error(NotFound("experiment", "P1"))
    given(ADA_REGISTERED, P1_ADDED, removed).when(command).then_error(NotFound("experiment", "P1"))


@pytest.mark.parametrize("proposal_id", ["", "a/b", "a~b", "x" * 201, "a\n", "a\0", "\x9b2J", "\udce9"])
def test_what_an_experiment_may_not_be_called(proposal_id: str) -> None:
    given().when(replace(add, proposal_id=proposal_id)).then_raises(Invalid, field="public_number")


@pytest.mark.parametrize(
    ("details", "field"),
    [
        (replace(DETAILS, uid=0), "uid"),
        (replace(DETAILS, gid=0), "gid"),
        (replace(DETAILS, uid=-1), "uid"),
        (replace(DETAILS, uid=5, gid=0), "gid"),
        (replace(DETAILS, uid=2**31 - 1), "uid"),
        (replace(DETAILS, gid=2**31 - 1), "gid"),
    ],
)
def test_the_data_of_an_experiment_is_not_roots(details: ExperimentDetails, field: str) -> None:
    given().when(replace(add, details=details)).then_raises(Invalid, field=field)
    given(P1_ADDED).when(replace(change, details=details)).then_raises(Invalid, field=field)


@pytest.mark.parametrize(
    ("details", "field"),
    [
        (replace(DETAILS, title="x" * 2001), "title"),
        (replace(DETAILS, title="two\nlines"), "title"),
        (replace(DETAILS, title="\udce9"), "title"),
        (replace(DETAILS, description="x" * 2001), "description"),
        (replace(DETAILS, description="\x1b[2J"), "description"),
        (replace(DETAILS, beam_line="x" * 2001), "beamline_code"),
        (replace(DETAILS, beam_line="BL\t1"), "beamline_code"),
    ],
)
def test_what_an_experiment_may_not_say(details: ExperimentDetails, field: str) -> None:
    given().when(replace(add, details=details)).then_raises(Invalid, field=field)
    given(P1_ADDED).when(replace(change, details=details)).then_raises(Invalid, field=field)


def test_an_experiment_may_say_much() -> None:
    long = ExperimentDetails(
        title="é" * 2000, description="two\n\tlines".ljust(2000), beam_line="x" * 2000, uid=1, gid=2**31 - 2
    )
    given().when(replace(add, proposal_id="x" * 200, details=long)).then(
        facts.ExperimentAdded(experiment_id=P1, proposal_id="x" * 200, details=long)
    )


def test_a_session_is_added_once() -> None:
    given(P1_ADDED).when(add_session).then(S1_ADDED)
    given(P1_ADDED, S1_ADDED).when(add_session).then_error(AlreadyExists("session", "S1"))


def test_a_session_is_changed() -> None:
    given(P1_ADDED, S1_ADDED).when(change_session).then(session_changed)
    given(P1_ADDED, S1_ADDED, session_changed).when(change_session).then()
    given(P1_ADDED).when(change_session).then_error(NotFound("session", "S1"))


@pytest.mark.parametrize(
    ("session", "field"),
    [
        (replace(SESSION, session_number=""), "session_number"),
        (replace(SESSION, session_number="a~b"), "session_number"),
        (replace(SESSION, session_number="a/b"), "session_number"),
        (replace(SESSION, session_number="x" * 201), "session_number"),
        (replace(SESSION, session_number="a\r"), "session_number"),
        (replace(SESSION, subject="x" * 2001), "subject"),
        (replace(SESSION, subject="a\n"), "subject"),
        (replace(SESSION, body="x" * 2001), "body"),
        (replace(SESSION, body="\x7f"), "body"),
        (replace(SESSION, start=NOW, end=NOW - timedelta(days=1)), "end_date"),
        (replace(SESSION, volumes=(Volume(source="/etc", bind="x", mode=Mode.READ_ONLY),)), "data_set_path"),
        (replace(SESSION, volumes=(Volume(source="/datasets/../x", bind="x", mode=Mode.READ_ONLY),)), "data_set_path"),
        (replace(SESSION, volumes=(Volume(source="/datasets/x", bind="x", mode=Mode.READ_WRITE),)), "data_set_path"),
        (replace(SESSION, volumes=(Volume(source="/datasets/\n", bind="x", mode=Mode.READ_ONLY),)), "data_set_path"),
        (replace(SESSION, volumes=(Volume(source="/datasets/x", bind="\n", mode=Mode.READ_ONLY),)), "data_set_path"),
    ],
)
def test_what_a_session_may_not_say(session: SessionDetails, field: str) -> None:
    given(P1_ADDED).when(replace(add_session, session=session)).then_raises(Invalid, field=field)
    known = facts.SessionAdded(experiment_id=P1, session=replace(SESSION, session_number=session.session_number))
    given(P1_ADDED, known).when(replace(change_session, session=session)).then_raises(Invalid, field=field)


@pytest.mark.parametrize(("start", "end"), [(None, NOW), (NOW, None), (NOW, NOW)])
def test_a_session_may_be_open_or_of_a_moment(start: datetime | None, end: datetime | None) -> None:
    session = replace(LATER, start=start, end=end)
    given(P1_ADDED).when(replace(add_session, session=session)).then(
        facts.SessionAdded(experiment_id=P1, session=session)
    )


def test_a_member_is_added_once() -> None:
    given(ADA_REGISTERED, P1_ADDED).when(add_member).then(ADA_MEMBER)
    given(ADA_REGISTERED, P1_ADDED, ADA_MEMBER).when(replace(add_member, membership_id=uuid4())).then_raises(
        Conflict, what="member"
    )


def test_only_users_are_members() -> None:
    given(P1_ADDED).when(add_member).then_error(NotFound("user", str(ADA)))
    erased = UserErased(user_id=ADA)
    given(ADA_REGISTERED, erased, P1_ADDED).when(add_member).then_error(NotFound("user", str(ADA)))


def test_a_member_is_removed_and_may_come_back() -> None:
    given(P1_ADDED, ADA_MEMBER).when(remove_member).then(member_removed)
    given(P1_ADDED, ADA_MEMBER, member_removed).when(remove_member).then_error(NotFound("member of experiment", "P1"))
    given(ADA_REGISTERED, P1_ADDED, ADA_MEMBER, member_removed).when(add_member).then(ADA_MEMBER)


def test_members_are_removed_one_by_one() -> None:
    other = replace(ADA_MEMBER, user_id=BOB)
    given(P1_ADDED, ADA_MEMBER, other, member_removed).when(replace(remove_member, user_id=BOB)).then(
        replace(member_removed, user_id=BOB)
    )
