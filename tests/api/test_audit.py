"""The history over HTTP: who may read it, what is found, how it goes on, and that reading it is recorded."""

import asyncio
from datetime import UTC, datetime, timedelta
from urllib.parse import quote, urlsplit
from uuid import UUID, uuid4

import pytest
from tests.api.catalogue import BODY, new_name
from tests.api.conftest import Api
from tests.api.visitors import People, Visitor, obey, people_of

from calipso.commands.quota import AssignQuota
from calipso.commands.store import Cause
from calipso.commands.user import GrantRole, RecordLogin
from calipso.events.user import Role, UserErased
from calipso.events.values import Limits, Resources

LIMITS = Limits(containers=2, resources=Resources(millicores=1000, memory=2**30, disk=2**30))


@pytest.fixture(scope="module")
def people(api: Api) -> People:
    return people_of(api)


@pytest.fixture(scope="module")
def auditor(api: Api, people: People) -> Visitor:
    obey(api, GrantRole(user_id=people.bob.user_id, role=Role.AUDITOR))
    return people.bob


def signed_in(visitor: Visitor, times: int = 1) -> list[object]:
    return [RecordLogin(user_id=visitor.user_id, method="local")] * times


async def found(visitor: Visitor, query: str) -> list[dict[str, object]]:
    answer = await visitor.get(f"/audit/events/{query}")
    assert answer.status == 200, answer.body
    results: list[dict[str, object]] = answer.json()["results"]
    return results


async def test_only_auditors_and_administrators_read_it(people: People, auditor: Visitor) -> None:
    statuses = [(await v.get("/audit/events/")).status for v in (people.nobody, people.ada, auditor, people.admin)]
    assert statuses == [403, 403, 200, 200]


async def test_an_event_is_told_whole(api: Api, people: People, auditor: Visitor) -> None:
    obey(api, AssignQuota(user_id=people.ada.user_id, limits=LIMITS))
    (event,) = await found(auditor, f"?user={people.ada.name}&type=QuotaAssigned")
    assert (event["kind"], event["type"], event["actor"]) == ("quota", "QuotaAssigned", "service:test")
    assert event["sentence"] == (
        f"service:test set the limits of {people.ada.name} to 2 containers, 1 processors, 1 GiB of memory and 1 GiB of "
        "disk."
    )
    assert event["data"] == {
        "user_id": str(people.ada.user_id),
        "limits": {"containers": 2, "resources": {"millicores": 1000, "memory": 2**30, "disk": 2**30}},
    }
    assert (event["readable"], event["erased"], event["cause"]) == (True, [], None)
    (registered,) = await found(auditor, f"?user={people.ada.name}&type=UserRegistered")
    assert registered["data"]["name"] == people.ada.name  # type: ignore[index]  # an object


async def test_what_came_of_a_request_is_found_by_its_id(people: People) -> None:
    name = new_name()
    answer = await people.admin.ask("POST", f"/images/{name}/", BODY)
    (event,) = await found(people.admin, f"?correlation={answer.headers['X-Request-ID']}")
    assert event["type"] == "ImageAdded"
    assert event["actor_name"] == people.admin.name
    assert await found(people.admin, f"?actor={people.admin.name}&kind=image") == [event]


async def test_pages_are_stable_under_new_events(api: Api, auditor: Visitor) -> None:
    ada = Visitor(api=api, name=api.add_user())
    obey(api, *signed_in(ada, 5))
    path, seen = f"/audit/events/?user={ada.name}&type=UserLoggedIn&limit=2&order=newest", []
    while path:
        page = (await auditor.get(path)).json()
        seen += [event["version"] for event in page["results"]]
        obey(api, *signed_in(ada))
        path = page["next"] and "/".join(["", *page["next"].split("/", 3)[3:]])
    assert seen == [6, 5, 4, 3, 2]
    oldest = (await auditor.get(f"/audit/events/?user={ada.name}&type=UserLoggedIn&limit=3")).json()
    assert [event["version"] for event in oldest["results"]] == [2, 3, 4]
    following = urlsplit(oldest["next"])
    rest = (await auditor.get(f"{following.path}?{following.query}")).json()
    assert [event["version"] for event in rest["results"]] == [5, 6, 7]
    assert rest["upto"] >= rest["results"][-1]["position"]


async def test_reading_about_others_is_recorded_once_for_a_question(api: Api, people: People, auditor: Visitor) -> None:
    ada = Visitor(api=api, name=api.add_user())
    obey(api, *signed_in(ada, 3))
    for limit in (1, 2, 3):
        assert len(await found(auditor, f"?user={ada.name}&type=UserLoggedIn&limit={limit}")) == limit
    (reading,) = await found(people.admin, f"?user={ada.name}&kind=audit&actor={auditor.name}")
    asked = {"what": "events", "asked": {"type": "UserLoggedIn"}}
    assert reading["data"] == {"reader": str(auditor.user_id), "user_id": str(ada.user_id), **asked}
    assert reading["sentence"] == (f"{auditor.name} read what is recorded of {ada.name} (events: type UserLoggedIn).")
    await found(auditor, f"?user={auditor.name}")
    assert await found(people.admin, f"?user={auditor.name}&kind=audit&actor={auditor.name}") == []


async def test_reading_about_everybody_is_recorded_too(api: Api, people: People) -> None:
    admin = Visitor(api=api, name=api.add_user(admin=True))
    obey(api)
    await found(admin, "?limit=1&since=2026-01-01")
    (reading,) = await found(people.admin, f"?actor={admin.name}&type=HistoryRead")
    assert (reading["data"]["user_id"], reading["data"]["asked"]) == (None, {"since": "2026-01-01T00:00:00Z"})  # type: ignore[index]  # an object


async def test_a_period(api: Api, people: People, auditor: Visitor) -> None:
    obey(api, *signed_in(people.ada))
    moment = quote(datetime.now(UTC).isoformat())
    await asyncio.to_thread(obey, api, *signed_in(people.ada))
    query = f"?user={people.ada.name}&type=UserLoggedIn"
    before, after = await found(auditor, f"{query}&until={moment}"), await found(auditor, f"{query}&since={moment}")
    assert [*before, *after] == await found(auditor, query)
    assert len(after) == 1


async def test_what_is_wrong_with_a_question_is_told(api: Api, auditor: Visitor) -> None:
    own, head = api.backend.installation.id.hex[:8], api.backend.store.head()
    future = (datetime.now(UTC) + timedelta(minutes=1)).isoformat().replace("+00:00", "Z")
    for query, expected in {
        "since=2026-11-20T14:03:00": (400, "since"),
        f"until={future}": (400, "until"),
        "since=2026-01-02&until=2026-01-01": (400, "until"),
        "order=best": (400, "order"),
        "limit=0": (400, "limit"),
        "limit=1001": (400, "limit"),
        "limit=many": (400, "limit"),
        "after=1": (400, "after"),
        "after=1.deadbeef": (400, "after"),
        f"after={'9' * 30}.{own}": (400, "after"),
        f"after={head + 1000}.{own}": (400, "after"),
        "stream=1": (400, "stream"),
        f"stream={uuid4()}": (404, ""),
        "kind=dreams": (400, "kind"),
        "type=Dreamed": (400, "type"),
        "user=nobody-of-that-name": (404, ""),
        "experiment=none": (404, ""),
        "container=calipso-1": (404, ""),
        "actor=nobody-of-that-name": (404, ""),
    }.items():
        answer = await auditor.get(f"/audit/events/?{query}")
        assert answer.field() == expected, (query, answer.body)


async def test_an_event_of_a_newer_program_does_not_spoil_a_page(api: Api, people: People, auditor: Visitor) -> None:
    dreamer = Visitor(api=api, name=api.add_user())
    obey(api, *signed_in(dreamer))
    # as a newer program would have stored it
    with api.backend.database.connect() as connection:
        connection.execute(
            "INSERT INTO stored_events (originator_id, originator_version, topic, state, recorded_at, command_id, "
            "command_index) SELECT originator_id, originator_version + 1, 'calipso.user.UserDreamed', state, "
            "recorded_at, gen_random_uuid(), 0 FROM stored_events ORDER BY notification_id DESC LIMIT 1"
        )
    obey(api)
    events = await found(auditor, f"?user={dreamer.name}&kind=user")
    assert [event["type"] for event in events] == ["UserRegistered", "UserLoggedIn", "UserDreamed"]
    assert (events[2]["readable"], events[2]["data"]) == (False, {"user_id": str(dreamer.user_id), "method": "local"})
    assert "calipso.user.UserDreamed" in str(events[2]["sentence"])
    assert await found(people.admin, "?type=calipso.user.UserDreamed") == [events[2]]


async def test_the_history_of_an_erased_user_is_told_without_them(api: Api, auditor: Visitor) -> None:
    gone = Visitor(api=api, name=api.add_user())
    user_id = gone.user_id
    obey(api, *signed_in(gone))
    erase(api, user_id)
    assert (await auditor.get(f"/audit/events/?user={gone.name}")).status == 404
    events = await found(auditor, f"?user={user_id}&kind=user")
    assert [event["type"] for event in events] == ["UserRegistered", "UserLoggedIn", "UserErased"]
    assert events[0]["erased"] == ["name", "uid", "gid"]
    assert events[0]["data"] == {"user_id": str(user_id), "name": "(erased)", "uid": None, "gid": None}
    assert events[1]["sentence"] == "(erased) signed in (local)."


def erase(api: Api, user_id: UUID) -> None:
    """Destroy the key of an account, and say so."""
    store = api.backend.store
    store._codec.subject_keys.destroy(user_id)
    command = uuid4()
    why = Cause(command_id=command, actor="service:test", correlation_id=command, causation_id=command)
    store.append([UserErased(user_id=user_id)], expected={}, cause=why)
    obey(api)
