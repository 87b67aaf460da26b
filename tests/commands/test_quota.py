from dataclasses import replace

import pytest
from tests.commands.scenario import ADA, ADA_REGISTERED, LIMITS, SMALL, given

from calipso.commands.quota import AssignQuota
from calipso.errors import Invalid, NotFound
from calipso.events.naming import quota_stream
from calipso.events.quota import Quota, QuotaAssigned, QuotaReleased, QuotaReserved, evolve
from calipso.events.user import UserErased
from calipso.events.values import Limits, Resources

assign = AssignQuota(user_id=ADA, limits=LIMITS)
assigned = QuotaAssigned(user_id=ADA, limits=LIMITS)
NOTHING = Limits(containers=0, resources=Resources())


def reserved(number: int) -> QuotaReserved:
    return QuotaReserved(user_id=ADA, container_id=quota_stream(ADA), label=str(number), resources=SMALL, limits=LIMITS)


def test_limits_are_assigned() -> None:
    given(ADA_REGISTERED).when(assign).then(assigned)
    given(ADA_REGISTERED, assigned).when(assign).then()
    given(ADA_REGISTERED, assigned).when(replace(assign, limits=NOTHING)).then(replace(assigned, limits=NOTHING))


def test_lowering_limits_stops_nothing() -> None:
    given(ADA_REGISTERED, reserved(1)).when(replace(assign, limits=NOTHING)).then(replace(assigned, limits=NOTHING))


def test_only_users_have_limits() -> None:
    given().when(assign).then_error(NotFound("user", str(ADA)))
    given(ADA_REGISTERED, UserErased(user_id=ADA)).when(assign).then_error(NotFound("user", str(ADA)))


@pytest.mark.parametrize(
    "limits",
    [
        replace(LIMITS, containers=-1),
        replace(LIMITS, resources=Resources(millicores=-1)),
        replace(LIMITS, resources=Resources(memory=-1)),
        replace(LIMITS, resources=Resources(disk=-1)),
    ],
)
def test_limits_are_not_negative(limits: Limits) -> None:
    given(ADA_REGISTERED).when(replace(assign, limits=limits)).then_raises(Invalid)


def test_what_is_used_is_what_is_held() -> None:
    quota = evolve(Quota(), reserved(1))
    assert quota.used() == SMALL
    assert evolve(quota, reserved(2)).used() == SMALL, "a container holds one part"
    assert evolve(quota, QuotaReleased(user_id=ADA, container_id=quota_stream(ADA))) == Quota()
    assert evolve(Quota(), QuotaReleased(user_id=ADA, container_id=quota_stream(ADA))) == Quota()
