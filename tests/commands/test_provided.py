from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st
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
    History,
    given,
)

from calipso.commands.experiment import AddMember, ChangeExperiment, RemoveExperiment, RemoveMember
from calipso.commands.handling import EXPERIMENT
from calipso.commands.provided import SynchronizeExperiment, WithdrawMembership
from calipso.errors import Invalid, NotFound
from calipso.events import experiment as facts
from calipso.events.experiment import PROVIDER, Experiment, ExperimentDetails, SessionDetails
from calipso.events.user import UserErased, UserRegistered
from calipso.events.values import Mode, Volume

SECOND = replace(SESSION, session_number="S2", volumes=())
NEW_DETAILS = replace(DETAILS, title="Fire", uid=5001)
LATER = replace(SESSION, start=NOW, end=NOW + timedelta(days=2))

synchronize = SynchronizeExperiment(
    experiment_id=P1, proposal_id="P1", details=DETAILS, sessions=(SESSION,), user_id=ADA, membership_id=MEMBERSHIP
)
withdraw = WithdrawMembership(experiment_id=P1, proposal_id="P1", user_id=ADA)

ADA_PROVIDED = replace(ADA_MEMBER, source=PROVIDER)
BOB_PROVIDED = replace(ADA_PROVIDED, user_id=BOB)
member_removed = facts.MemberRemoved(experiment_id=P1, user_id=ADA)
known = given(ADA_REGISTERED, P1_ADDED, S1_ADDED, ADA_PROVIDED)


def test_what_nobody_knew_is_added() -> None:
    given(ADA_REGISTERED).when(synchronize).then(P1_ADDED, S1_ADDED, ADA_PROVIDED)


def test_what_is_known_stores_nothing() -> None:
    known.when(replace(synchronize, membership_id=uuid4())).then()


def test_what_changed_is_changed() -> None:
    changed = facts.ExperimentChanged(experiment_id=P1, details=NEW_DETAILS)
    known.when(replace(synchronize, details=NEW_DETAILS)).then(changed)
    known.when(replace(synchronize, sessions=(LATER,))).then(facts.SessionChanged(experiment_id=P1, session=LATER))
    known.when(replace(synchronize, sessions=(SESSION, SECOND))).then(
        facts.SessionAdded(experiment_id=P1, session=SECOND)
    )


def test_a_session_that_is_not_told_any_more_stays() -> None:
    known.when(replace(synchronize, sessions=())).then()


def test_of_a_number_that_is_told_twice_the_last_counts() -> None:
    twice = replace(synchronize, sessions=(SESSION, LATER))
    given(ADA_REGISTERED).when(twice).then(P1_ADDED, facts.SessionAdded(experiment_id=P1, session=LATER), ADA_PROVIDED)
    known.and_then(facts.SessionChanged(experiment_id=P1, session=LATER)).when(twice).then()


def test_an_experiment_that_was_removed_comes_back() -> None:
    removed = facts.ExperimentRemoved(experiment_id=P1)
    known.and_then(removed).when(synchronize).then(P1_ADDED, S1_ADDED, ADA_PROVIDED)


def test_a_membership_of_an_operator_is_not_taken_over() -> None:
    operators = given(ADA_REGISTERED, P1_ADDED, S1_ADDED, ADA_MEMBER)
    operators.when(synchronize).then()
    operators.when(withdraw).then()


def test_a_membership_of_the_provider_ends() -> None:
    known.when(withdraw).then(member_removed)
    known.and_then(member_removed).when(withdraw).then()
    known.and_then(member_removed).when(synchronize).then(ADA_PROVIDED)
    given(P1_ADDED).when(withdraw).then()
    given().when(withdraw).then()


def test_one_ended_by_an_operator_and_given_again_by_one_is_theirs() -> None:
    known.and_then(member_removed, ADA_MEMBER).when(withdraw).then()


def test_memberships_end_one_by_one() -> None:
    both = known.and_then(BOB_PROVIDED)
    both.when(withdraw).then(member_removed)
    both.and_then(member_removed).when(replace(withdraw, user_id=BOB)).then(replace(member_removed, user_id=BOB))


def test_only_users_are_members() -> None:
    given().when(synchronize).then_error(NotFound("user", str(ADA)))
    given(ADA_REGISTERED, UserErased(user_id=ADA)).when(synchronize).then_error(NotFound("user", str(ADA)))
    given(P1_ADDED, S1_ADDED).when(synchronize).then_error(NotFound("user", str(ADA)))


@pytest.mark.parametrize(
    ("command", "field"),
    [
        (replace(synchronize, proposal_id="a/b"), "public_number"),
        (replace(synchronize, proposal_id=""), "public_number"),
        (replace(synchronize, details=replace(DETAILS, uid=0)), "uid"),
        (replace(synchronize, details=replace(DETAILS, title="x" * 2001)), "title"),
        (replace(synchronize, sessions=(SECOND, replace(SESSION, session_number="a~b"))), "session_number"),
        (
            replace(
                synchronize,
                sessions=(replace(SECOND, volumes=(Volume(source="/etc", bind="x", mode=Mode.READ_ONLY),)),),
            ),
            "data_set_path",
        ),
    ],
)
def test_what_a_provider_may_not_say(command: SynchronizeExperiment, field: str) -> None:
    given(ADA_REGISTERED).when(command).then_raises(Invalid, field=field)
    known.when(command).then_raises(Invalid, field=field)


USERS = st.sampled_from([ADA, BOB])
DETAILS_TOLD = st.builds(
    ExperimentDetails,
    title=st.sampled_from(["Ice", "Fire"]),
    description=st.just(""),
    beam_line=st.just("BL13"),
    uid=st.sampled_from([None, 5001]),
)
SESSIONS_TOLD = st.builds(
    SessionDetails,
    session_number=st.sampled_from(["S1", "S2"]),
    start=st.none(),
    end=st.sampled_from([None, NOW]),
    subject=st.sampled_from(["", "Visit"]),
    body=st.just(""),
    volumes=st.sampled_from([(), SESSION.volumes]),
)
NAMED = {"experiment_id": st.just(P1), "proposal_id": st.just("P1")}
SYNCHRONIZATIONS = st.builds(
    SynchronizeExperiment,
    **NAMED,
    details=DETAILS_TOLD,
    sessions=st.lists(SESSIONS_TOLD, max_size=3).map(tuple),
    user_id=USERS,
    membership_id=st.uuids(),
)
WITHDRAWALS = st.builds(WithdrawMembership, **NAMED, user_id=USERS)
OPERATORS = st.one_of(
    st.builds(AddMember, **NAMED, user_id=USERS, membership_id=st.uuids()),
    st.builds(RemoveMember, **NAMED, user_id=USERS),
    st.builds(ChangeExperiment, **NAMED, details=DETAILS_TOLD),
    st.builds(RemoveExperiment, **NAMED),
)


def after(history: History, commands: Sequence[object]) -> History:
    """The facts after these commands, of which some may be refused."""
    for command in commands:
        outcome = history.when(command)
        history = history.and_then(*outcome.events)
    return history


def experiment_of(history: History) -> Experiment | None:
    """The experiment as its events tell it."""
    found: Experiment | None = history(EXPERIMENT, P1)
    return found


def is_operators(experiment: Experiment | None, user_id: UUID) -> bool:
    """Whether a user is a member by an operator."""
    return experiment is not None and user_id in experiment.members and user_id not in experiment.provided


BEGIN = given(ADA_REGISTERED, UserRegistered(user_id=BOB, name="bob"))
COMMANDS = st.lists(st.one_of(SYNCHRONIZATIONS, WITHDRAWALS, OPERATORS), max_size=12)


@for_all(commands=COMMANDS, last=SYNCHRONIZATIONS)
def test_whatever_was_before_it_is_as_told_last(commands: Sequence[object], last: SynchronizeExperiment) -> None:
    before = after(BEGIN, commands)
    told = after(before, [last])
    found = experiment_of(told)
    assert found is not None
    assert found.details == last.details
    assert {each.session_number: each for each in last.sessions}.items() <= found.sessions.items()
    assert last.user_id in found.members
    assert (last.user_id in found.provided) is not is_operators(experiment_of(before), last.user_id)
    told.when(replace(last, membership_id=uuid4())).then()


@for_all(commands=COMMANDS, last=WITHDRAWALS)
def test_whatever_was_before_a_withdrawal_ends_what_the_provider_gave(
    commands: Sequence[object], last: WithdrawMembership
) -> None:
    before = after(BEGIN, commands)
    gone = after(before, [last])
    found, was = experiment_of(gone), experiment_of(before)
    assert (found is None) is (was is None)
    if found is not None and was is not None:
        assert (last.user_id in found.members) is is_operators(was, last.user_id)
        assert found.provided == was.provided - {last.user_id}
        assert (found.details, found.sessions) == (was.details, was.sessions)
    gone.when(last).then()


@for_all(commands=COMMANDS)
def test_the_provided_are_always_members(commands: Sequence[object]) -> None:
    found = experiment_of(after(BEGIN, commands))
    assert found is None or found.provided <= found.members.keys()
