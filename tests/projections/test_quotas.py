from sqlalchemy import Connection, select
from tests.builders import (
    ADA,
    GIB,
    SMALL,
    limits,
    quota_assigned,
    quota_released,
    quota_reserved,
    user_erased,
    uuid_of,
)
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


def test_what_the_erased_called_their_containers_is_gone_while_they_still_hold_something(
    connection: Connection,
) -> None:
    third = uuid_of("container 3")
    tell(connection, quota_reserved(FIRST, ADA, label="windmill"), quota_reserved(SECOND, BOB, label="mill"))
    tell(connection, quota_reserved(third, ADA, label="windmill-2"), user_erased(ADA))
    held = quotas.reservations.c
    assert dict(connection.execute(select(held.container_id, held.label)).tuples().all()) == {
        FIRST: "",
        SECOND: "mill",
        third: "",
    }
    assert quotas.used_by(connection, ADA)[0] == 2
