from dataclasses import replace

import pytest
from tests.commands.scenario import ADA, ADA_MEMBER, ADA_REGISTERED, BOB, NAMING, P1, P1_ADDED, given

from calipso.commands.user import GrantRole, MarkFavorite, RecordLogin, RegisterUser, RevokeRole, UserCommand
from calipso.errors import AlreadyExists, Invalid, NotAMember, NotFound
from calipso.events import experiment
from calipso.events import user as facts
from calipso.events.user import Role

register = RegisterUser(user_id=ADA, name_id=NAMING.user_name("ada"), name="ada")
mark = MarkFavorite(user_id=ADA, experiment_id=P1, favorite=True)
claimed = facts.UserNameClaimed(name_id=NAMING.user_name("ada"), user_id=ADA)
granted = facts.RoleGranted(user_id=ADA, role=Role.ADMINISTRATOR)
revoked = facts.RoleRevoked(user_id=ADA, role=Role.ADMINISTRATOR)
erased = facts.UserErased(user_id=ADA)
marked = facts.ExperimentMarkedFavorite(user_id=ADA, experiment_id=P1)
unmarked = facts.ExperimentUnmarkedFavorite(user_id=ADA, experiment_id=P1)
grant = GrantRole(user_id=ADA, role=Role.ADMINISTRATOR)
revoke = RevokeRole(user_id=ADA, role=Role.ADMINISTRATOR)
log_in = RecordLogin(user_id=ADA, method="local")


def test_an_account_is_registered_with_its_name() -> None:
    given().when(register).then(claimed, ADA_REGISTERED)


def test_an_account_is_registered_with_roles_and_numbers() -> None:
    command = replace(register, uid=1000, gid=1001, roles=frozenset(Role))
    given().when(command).then(
        claimed,
        replace(ADA_REGISTERED, uid=1000, gid=1001),
        granted,
        facts.RoleGranted(user_id=ADA, role=Role.AUDITOR),
    )


def test_a_name_belongs_to_one_account() -> None:
    somebody = replace(register, user_id=BOB)
    given(claimed, ADA_REGISTERED).when(somebody).then_error(AlreadyExists("user", "ada"))
    given(claimed, ADA_REGISTERED, erased).when(somebody).then_error(AlreadyExists("user", "ada"))


def test_names_that_differ_in_case_are_one() -> None:
    assert NAMING.user_name("Ada") == NAMING.user_name("aDA") == claimed.name_id
    assert NAMING.user_name("ada2") != claimed.name_id


@pytest.mark.parametrize("name", ["a", "ada@facility.example", "Ada_L+1", "müller", "9", "@x", "x" * 150, "a..b"])
def test_names(name: str) -> None:
    given().when(replace(register, name=name)).then(claimed, replace(ADA_REGISTERED, name=name))


@pytest.mark.parametrize("name", ["", ".", "..", ".ssh", "a/b", "a b", "a\n", "a\0", "~", "x" * 151, "a:b", "a\\b"])
def test_what_an_account_may_not_be_called(name: str) -> None:
    given().when(replace(register, name=name)).then_raises(Invalid, field="username")


@pytest.mark.parametrize(
    ("uid", "gid", "field"), [(0, 1, "uid"), (1, 0, "gid"), (-1, None, "uid"), (None, 0, "gid"), (2**31 - 1, 1, "uid")]
)
def test_no_account_is_roots_or_none_at_all(uid: int | None, gid: int | None, field: str) -> None:
    given().when(replace(register, uid=uid, gid=gid)).then_raises(Invalid, field=field)


def test_roles() -> None:
    registered = given(ADA_REGISTERED)
    registered.when(grant).then(granted)
    registered.and_then(granted).when(grant).then()
    registered.and_then(granted).when(revoke).then(revoked)
    registered.and_then(granted, revoked).when(revoke).then()
    registered.and_then(granted).when(replace(grant, role=Role.AUDITOR)).then(replace(granted, role=Role.AUDITOR))


def test_every_sign_in_is_told() -> None:
    signed_in = facts.UserLoggedIn(user_id=ADA, method="local")
    given(ADA_REGISTERED).when(log_in).then(signed_in)
    given(ADA_REGISTERED, signed_in).when(log_in).then(signed_in)


@pytest.mark.parametrize("command", [grant, revoke, log_in, mark])
def test_an_account_that_is_not_there_or_not_any_more(command: UserCommand) -> None:
    given(P1_ADDED, ADA_MEMBER).when(command).then_error(NotFound("user", str(ADA)))
    given(ADA_REGISTERED, P1_ADDED, ADA_MEMBER, erased).when(command).then_error(NotFound("user", str(ADA)))


def test_marks() -> None:
    member = given(ADA_REGISTERED, P1_ADDED, ADA_MEMBER)
    unmark = replace(mark, favorite=False)
    member.when(mark).then(marked)
    member.and_then(marked).when(mark).then()
    member.and_then(marked).when(unmark).then(unmarked)
    member.and_then(marked, unmarked).when(unmark).then()


def test_only_experiments_of_ones_own_are_marked() -> None:
    given(ADA_REGISTERED).when(mark).then_error(NotAMember(str(P1)))
    given(ADA_REGISTERED, P1_ADDED).when(mark).then_error(NotAMember("P1"))
    gone = experiment.MemberRemoved(experiment_id=P1, user_id=ADA)
    given(ADA_REGISTERED, P1_ADDED, ADA_MEMBER, gone).when(mark).then_error(NotAMember("P1"))
