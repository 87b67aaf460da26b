from dataclasses import replace

from tests.commands.scenario import ADA, ADA_REGISTERED, BOB, LIMITS, MEMBERSHIP, NAMING, SMALL, given

from calipso.commands.user import EraseUser, FederatedIdentity, RegisterUser, ReleaseUserName
from calipso.errors import AlreadyExists, Conflict, NotFound
from calipso.events import quota
from calipso.events import user as facts

ISSUER, SUBJECT = "https://login.example.org/", "248289761001"
identity = FederatedIdentity(identity_id=NAMING.identity(ISSUER, SUBJECT), issuer=ISSUER, subject=SUBJECT)
name_claimed = facts.UserNameClaimed(name_id=NAMING.user_name("ada"), user_id=ADA)
name_released = facts.UserNameReleased(name_id=NAMING.user_name("ada"), user_id=ADA)
claimed = facts.IdentityClaimed(identity_id=identity.identity_id, user_id=ADA)
linked = facts.IdentityLinked(user_id=ADA, issuer=ISSUER, subject=SUBJECT)
released = facts.IdentityReleased(identity_id=identity.identity_id, user_id=ADA)
erased = facts.UserErased(user_id=ADA)
reserved = quota.QuotaReserved(
    user_id=ADA, container_id=MEMBERSHIP, label="mine", resources=SMALL, limits=LIMITS
)  # whose id it is does not matter
freed = quota.QuotaReleased(user_id=ADA, container_id=MEMBERSHIP)
erase = EraseUser(user_id=ADA, identities=())
release = ReleaseUserName(name_id=NAMING.user_name("ada"), name="ada")
history = (name_claimed, ADA_REGISTERED)


def test_an_account_is_erased_once() -> None:
    given(*history).when(erase).then(erased)
    given(*history, erased).when(erase).then()
    given().when(erase).then_error(NotFound("user", str(ADA)))


def test_identities_of_the_erased_may_sign_in_to_another_account() -> None:
    given(*history, claimed, linked).when(replace(erase, identities=(identity,))).then(released, erased)


def test_an_identity_that_came_meanwhile_is_not_forgotten() -> None:
    given(*history, claimed, linked).when(erase).then_error(
        Conflict("user", "their identities have changed meanwhile; try again")
    )


def test_an_identity_that_another_account_has_is_not_taken_from_it() -> None:
    given(*history, replace(claimed, user_id=BOB), linked).when(replace(erase, identities=(identity,))).then(erased)


def test_nobody_is_erased_under_running_containers_but_by_a_restore() -> None:
    given(*history, reserved).when(erase).then_error(Conflict("user", "1 of their containers are active"))
    given(*history, reserved, freed).when(erase).then(erased)
    given(*history, reserved).when(replace(erase, despite_containers=True)).then(erased)


def test_the_name_of_the_erased_stays_taken_until_it_is_released() -> None:
    somebody = RegisterUser(user_id=BOB, name_id=NAMING.user_name("ada"), name="ada")
    given(*history, erased).when(somebody).then_error(AlreadyExists("user", "ada"))
    given(*history, erased).when(release).then(name_released)
    given(*history, erased, name_released).when(somebody).then(
        replace(name_claimed, user_id=BOB), facts.UserRegistered(user_id=BOB, name="ada")
    )


def test_a_name_is_released_only_when_its_account_was_erased() -> None:
    given(*history).when(release).then_error(Conflict("user name", "'ada' belongs to an account that was not erased"))
    given().when(release).then_error(NotFound("user", "ada"))
    given(*history, erased, name_released).when(release).then_error(NotFound("user", "ada"))
