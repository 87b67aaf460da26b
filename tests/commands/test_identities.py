from dataclasses import replace

import pytest
from tests.commands.scenario import ADA, ADA_REGISTERED, BOB, NAMING, given

from calipso.commands.user import FederatedIdentity, LinkIdentity, RegisterUser, UnlinkIdentity
from calipso.errors import AlreadyExists, Invalid, NotFound
from calipso.events import user as facts

ISSUER, SUBJECT = "https://login.example.org/", "248289761001"
identity = FederatedIdentity(identity_id=NAMING.identity(ISSUER, SUBJECT), issuer=ISSUER, subject=SUBJECT)
register = RegisterUser(user_id=ADA, name_id=NAMING.user_name("ada"), name="ada", identity=identity)
name_claimed = facts.UserNameClaimed(name_id=NAMING.user_name("ada"), user_id=ADA)
bob_registered = facts.UserRegistered(user_id=BOB, name="bob")
claimed = facts.IdentityClaimed(identity_id=identity.identity_id, user_id=ADA)
linked = facts.IdentityLinked(user_id=ADA, issuer=ISSUER, subject=SUBJECT)
released = facts.IdentityReleased(identity_id=identity.identity_id, user_id=ADA)
unlinked = facts.IdentityUnlinked(user_id=ADA, issuer=ISSUER, subject=SUBJECT)
link = LinkIdentity(user_id=ADA, identity=identity)
unlink = UnlinkIdentity(user_id=ADA, identity=identity)


def test_an_account_is_opened_for_an_identity() -> None:
    given().when(register).then(name_claimed, ADA_REGISTERED, claimed, linked)


def test_an_identity_has_one_account() -> None:
    given(claimed).when(register).then_error(AlreadyExists("identity", SUBJECT))
    given(bob_registered, claimed).when(replace(link, user_id=BOB)).then_error(AlreadyExists("identity", SUBJECT))


def test_an_identity_is_linked_once() -> None:
    given(ADA_REGISTERED).when(link).then(claimed, linked)
    given(ADA_REGISTERED, claimed, linked).when(link).then()


def test_an_identity_is_released_and_may_go_to_another_account() -> None:
    history = (ADA_REGISTERED, bob_registered, claimed, linked)
    given(*history).when(unlink).then(released, unlinked)
    given(*history, released, unlinked).when(replace(link, user_id=BOB)).then(
        replace(claimed, user_id=BOB), replace(linked, user_id=BOB)
    )


def test_an_identity_of_somebody_else_is_not_released() -> None:
    given(ADA_REGISTERED, bob_registered, claimed, linked).when(replace(unlink, user_id=BOB)).then_error(
        NotFound("identity", SUBJECT)
    )
    given(ADA_REGISTERED).when(unlink).then_error(NotFound("identity", SUBJECT))


def test_nobody_and_the_erased_are_not_linked() -> None:
    given().when(link).then_error(NotFound("user", str(ADA)))
    given(ADA_REGISTERED, facts.UserErased(user_id=ADA)).when(link).then_error(NotFound("user", str(ADA)))


@pytest.mark.parametrize(("issuer", "subject"), [("", SUBJECT), (ISSUER, ""), (ISSUER, "x" * 501), ("x" * 501, "x")])
def test_an_identity_has_an_issuer_and_a_subject(issuer: str, subject: str) -> None:
    command = replace(link, identity=replace(identity, issuer=issuer, subject=subject))
    given(ADA_REGISTERED).when(command).then_raises(Invalid, field="issuer, subject")


def test_the_account_knows_its_identities() -> None:
    user = facts.evolve(facts.evolve(None, ADA_REGISTERED), linked)
    assert user is not None
    assert user.identities == {(ISSUER, SUBJECT)}
    after = facts.evolve(user, unlinked)
    assert after is not None
    assert after.identities == frozenset()


def test_issuer_and_subject_do_not_run_into_each_other() -> None:
    assert NAMING.identity("a", "bc") != NAMING.identity("ab", "c")
