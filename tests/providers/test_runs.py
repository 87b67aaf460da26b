"""Membership is asked again at the provider when a container of a session is asked for."""

from uuid import uuid4

import pytest
from tests.api.visitors import Visitor
from tests.hurry import Hurry
from tests.providers.conftest import TROUBLES, User, events_after, experiment, head_of, kinds_after, obey, session
from tests.providers.test_changes import fresh, grant, state

from calipso.commands.experiment import AddSession
from calipso.commands.quota import AssignQuota
from calipso.events.container import ContainerRequested
from calipso.events.experiment import SessionDetails
from calipso.events.values import Limits, Resources

MEMBER = 409
"""The status of a member's run, whose next question is the quota."""


async def test_a_member_runs_without_having_looked_at_the_list(user: User) -> None:
    number, head = fresh(), head_of(user.api)
    user.given(experiment(number, session("1")))
    assert (await user.run(f"{number}~1"))[0] == MEMBER
    assert kinds_after(user.api, head)[:3] == ["ExperimentAdded", "SessionAdded", "MemberAdded"]


async def test_a_member_gets_a_container(user: User) -> None:
    number = fresh()
    user.given(experiment(number, session("1")))
    limits = Limits(containers=1, resources=Resources(millicores=1000, memory=1, disk=1))
    user.api.obey(AssignQuota(user_id=user.user_id, limits=limits))
    head = head_of(user.api)
    # nobody starts it
    assert (await user.run(f"{number}~1"))[0] == 504
    requested = next(event for event in events_after(user.api, head) if isinstance(event, ContainerRequested))
    assert requested.session
    assert requested.session.membership_id == state(user, number).members[user.user_id]
    assert [(volume.source, volume.bind) for volume in requested.volumes] == [("/datasets/1", "/datasets/raw")]


async def test_who_is_no_member_runs_nothing(user: User) -> None:
    other = User(api=user.api, name=user.api.add_user(), provider=user.provider)
    obey(user.api)
    number = fresh()
    user.given(experiment(number, session("1")))
    await user.list()
    assert await other.run(f"{number}~1") == (403, f"not a member of experiment {number}")
    assert (await other.run(f"{fresh()}~1"))[0] == 404
    assert (await user.run(f"{number}~2"))[0] == 404
    assert (await user.run(f"{number}~1"))[0] == MEMBER


async def test_a_membership_that_was_withdrawn_runs_nothing(user: User) -> None:
    number = fresh()
    user.given(experiment(number, session("1")))
    await user.list()
    user.given()
    head = head_of(user.api)
    assert await user.run(f"{number}~1") == (403, f"not a member of experiment {number}")
    assert kinds_after(user.api, head)[0] == "MemberRemoved"
    assert user.user_id not in state(user, number).members
    user.given(experiment(number, session("1")))
    assert (await user.run(f"{number}~1"))[0] == MEMBER


async def test_it_is_asked_for_one_experiment_among_many(user: User) -> None:
    number = fresh()
    others = [experiment(f"{number}-{each:03}") for each in range(120)]
    user.given(*others, experiment(number, session("1")))
    assert (await user.run(f"{number}~1"))[0] == MEMBER
    user.given(*others)
    assert (await user.run(f"{number}~1"))[0] == 403


async def test_one_that_is_given_twice_is_found(user: User) -> None:
    number = fresh()
    user.given(*[experiment(number, session("1"))] * 60, experiment(f"{number}-2"))
    assert (await user.run(f"{number}~1"))[0] == MEMBER


async def test_other_memberships_do_not_end_by_a_run(user: User) -> None:
    first, second = fresh(), fresh()
    user.given(experiment(first, session("1")), experiment(second))
    await user.list()
    user.given(experiment(first, session("1")))
    assert (await user.run(f"{first}~1"))[0] == MEMBER
    assert user.user_id in state(user, second).members


@pytest.mark.parametrize("trouble", TROUBLES)
async def test_what_an_operator_gave_goes_on_without_the_provider(user: User, hurry: Hurry, trouble: str) -> None:
    granted, provided = fresh(), fresh()
    user.given(experiment(provided, session("1")))
    await user.list()
    grant(user, granted)
    details = SessionDetails(session_number="1", start=None, end=None, subject="", body="", volumes=())
    obey(
        user.api,
        AddSession(experiment_id=state(user, granted).experiment_id, proposal_id=granted, session=details),
    )
    user.provider.trouble(trouble)
    hurry(trouble)
    assert (await user.run(f"{granted}~1"))[0] == MEMBER
    head = head_of(user.api)
    status, error = await user.run(f"{provided}~1")
    assert status == 503
    assert "the provider of experiments" in error
    assert kinds_after(user.api, head) == []


async def test_an_administrator_asks_for_the_one_who_is_named(user: User) -> None:
    number, admin = fresh(), Visitor(api=user.api, name=user.api.add_user(admin=True))
    obey(user.api)
    user.given(experiment(number, session("1")))
    path = f"/resource/run/{user.name}/{number}~1/desktop/"
    assert (await admin.ask("POST", path)).status == MEMBER
    assert state(user, number).members.keys() == {user.user_id}


async def test_a_container_of_ones_own_does_not_ask(user: User) -> None:
    user.provider.trouble("error")
    assert (await user.run(uuid4().hex))[0] == MEMBER
