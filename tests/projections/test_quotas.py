from sqlalchemy import Connection
from tests.builders import ADA, GIB, SMALL, limits, quota_assigned, quota_released, quota_reserved, uuid_of
from tests.projections.rows import tell

from calipso.events.values import Resources
from calipso.projections import quotas

BOB = uuid_of("user bob")
FIRST, SECOND = uuid_of("container 1"), uuid_of("container 2")


def test_without_limits_of_their_own_a_user_has_none(connection: Connection) -> None:
    assert quotas.limits_of(connection, ADA) is None
    assert quotas.used_by(connection, ADA) == (0, Resources())


def test_limits_are_those_that_were_assigned_last(connection: Connection) -> None:
    tell(connection, quota_assigned(ADA, 5), quota_assigned(BOB, 7), quota_assigned(ADA, 3))
    assert quotas.limits_of(connection, ADA) == limits(3)
    assert quotas.limits_of(connection, BOB) == limits(7)


def test_what_is_used_is_the_sum_of_what_is_held(connection: Connection) -> None:
    large = Resources(millicores=500, memory=2**61, disk=0)
    tell(
        connection,
        quota_reserved(FIRST, ADA, resources=large),
        quota_reserved(SECOND, ADA, resources=large),
        quota_reserved(uuid_of("container 3"), ADA, resources=large),
        quota_reserved(uuid_of("container 4"), ADA, resources=large),
        quota_reserved(uuid_of("container 5"), BOB),
    )
    assert quotas.used_by(connection, ADA) == (4, Resources(millicores=2000, memory=2**63, disk=0))
    assert quotas.used_by(connection, BOB) == (1, SMALL)


def test_what_was_given_back_is_not_used(connection: Connection) -> None:
    tell(
        connection,
        quota_released(FIRST),
        quota_reserved(FIRST),
        quota_reserved(SECOND, resources=Resources(millicores=1, memory=GIB, disk=2)),
        quota_released(FIRST),
        quota_released(FIRST),
    )
    assert quotas.used_by(connection, ADA) == (1, Resources(millicores=1, memory=GIB, disk=2))
    tell(connection, quota_released(SECOND))
    assert quotas.used_by(connection, ADA) == (0, Resources())
