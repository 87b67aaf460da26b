"""Events over HTTP: the same bytes as on the bus, after a position, for administrators and auditors."""

from uuid import uuid4

import msgspec
import pytest
from tests.api.conftest import PASSWORD, Api, basic
from tests.api.ringing import heard_of

from calipso.api.objects import EventObject
from calipso.commands.user import RegisterUser, RevokeRole
from calipso.events.user import Role
from calipso.relay import to_message

Page = tuple[list[EventObject], int, bytes]


@pytest.fixture(scope="module")
def auditor(api: Api) -> str:
    """The name of an account that audits, and does nothing else."""
    name, user_id = f"auditor-{uuid4().hex[:8]}", uuid4()
    name_id = api.backend.installation.naming.user_name(name)
    api.obey(RegisterUser(user_id=user_id, name_id=name_id, name=name, roles=frozenset({Role.AUDITOR})))
    api.backend.passwords.set(user_id, PASSWORD)
    return name


async def ask(api: Api, name: str, query: str = "") -> Page:
    async with api.basic(name) as session, session.get(f"/events/{query}") as answer:
        body = await answer.read()
        assert answer.status == 200, body
        assert answer.headers["Content-Type"] == "application/cloudevents-batch+json"
        found = msgspec.json.decode(body, type=list[EventObject])
        return found, int(answer.headers["Calipso-Position"]), body


async def test_all_events_come_as_they_are_published(api: Api, auditor: str) -> None:
    found, last, body = await ask(api, auditor, "?limit=1000")
    stored = api.backend.store.read(after=0, limit=1000)
    assert body == b"[" + b",".join(to_message(r, "calipso").payload for r in stored.events) + b"]"
    assert [int(event.position) for event in found] == [recorded.position for recorded in stored.events]
    assert last == stored.last
    assert auditor.encode() not in body  # a name is personal, and never published


async def test_who_goes_on_misses_nothing_and_gets_nothing_twice(api: Api, administrator: str) -> None:
    for _ in range(3):
        api.add_user()
    positions, after = [], 0
    while found := (await ask(api, administrator, f"?after={after}&limit=2"))[0]:
        assert len(found) <= 2
        positions += [int(event.position) for event in found]
        after = positions[-1]
    assert positions == [recorded.position for recorded in api.backend.store.read(after=0, limit=1000).events]
    assert (await ask(api, administrator, f"?after={after}"))[1] == after
    api.add_user()
    (claimed, registered), _, _ = await ask(api, administrator, f"?after={after}")
    assert [claimed.type, registered.type] == ["calipso.user_name.UserNameClaimed", "calipso.user.UserRegistered"]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("after=-1", "after"),
        ("after=x", "after"),
        ("after=9223372036854775808", "after"),
        ("after=" + "9" * 5000, "after"),
        ("after=%C2%B2", "after"),
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("limit=1.5", "limit"),
    ],
)
async def test_what_is_no_position_or_number_is_told(api: Api, auditor: str, query: str, field: str) -> None:
    async with api.basic(auditor) as session, session.get(f"/events/?{query}") as answer:
        assert (answer.status, (await answer.json())["field"]) == (400, field)


async def test_the_last_position_that_can_be_is_lawful(api: Api, auditor: str) -> None:
    found, last, _ = await ask(api, auditor, f"?after={2**63 - 1}")
    assert (found, last) == ([], 2**63 - 1)


async def test_others_are_refused(api: Api, somebody: str) -> None:
    async with api.anonymous() as session:
        for headers in ({}, {"Authorization": basic(somebody, PASSWORD)}):
            async with session.get("/events/", headers=headers) as answer:
                assert answer.status == 403


async def test_a_role_that_was_taken_away_is_gone_once_heard_of(api: Api) -> None:
    name = api.add_user(admin=True)
    await ask(api, name)
    api.obey(RevokeRole(user_id=api.user_id(name), role=Role.ADMINISTRATOR))
    async with api.basic(name) as session:

        async def is_refused() -> bool:
            async with session.get("/events/") as answer:
                return answer.status == 403

        await heard_of(is_refused, "the role to be gone")
