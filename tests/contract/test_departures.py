"""Where the system departs from its predecessor on purpose: each of these fails on that one.

docs/departures.md tells them all, and names these tests and those of other files.
"""

import asyncio
from itertools import pairwise
from typing import Any
from uuid import uuid4

import pytest
from tests.api.conftest import Api
from tests.api.ringing import heard_of
from tests.api.visitors import Answer, People, Visitor, obey
from tests.contract.conftest import DESKTOP, GIB, LINK, grant, limit, run

from calipso.commands.image import WithdrawImage
from calipso.commands.user import GrantRole
from calipso.events.container import ContainerRequested, ContainerStopRequested
from calipso.events.user import Role

LISTS = ("/containers/", "/activecontainers/", "/users/{}/containers/", "/resource/list/{}/")


async def busy(visitor: Visitor, experiment: str = "") -> tuple["asyncio.Task[Answer]", dict[str, Any]]:
    """A run that is held, and the container that it waits for."""
    known = {row["id"] for row in await rows(visitor)}
    held = asyncio.create_task(run(visitor, experiment, DESKTOP))
    while not (new := [row for row in await rows(visitor) if row["id"] not in known]):
        assert not held.done(), held.result().body
    return held, new[0]


async def rows(visitor: Visitor) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await visitor.get(f"/resource/list/{visitor.name}/")).json()
    return found


async def used(visitor: Visitor) -> int:
    count: int = (await visitor.get(f"/used_quota/{visitor.name}/")).json()["max_simultaneous"]
    return count


def requested(api: Api, after: int) -> Any:  # noqa: ANN401 - a recorded event
    """The last request for a container since a position, as it is recorded."""
    found = [
        r for r in api.backend.store.read(after=after, limit=100).events if isinstance(r.event, ContainerRequested)
    ]
    return found[-1]


@pytest.mark.parametrize("path", LISTS)
async def test_d1_lists_hold_ones_own_containers_only(people: People, path: str) -> None:
    mine, theirs = (await run(people.ada)).json(), (await run(people.bob)).json()
    shown = await people.ada.get(path.format(people.ada.name))
    assert [row["id"] for row in shown.json()] == [mine["id"]]
    if "{}" in path:
        assert (await people.ada.get(path.format(people.bob.name))).status == 403
    assert (await people.ada.get(f"/containers/{theirs['id']}")).status == 404
    everything = await people.admin.get(path.format(people.bob.name))
    assert theirs["id"] in {row["id"] for row in everything.json()}


async def test_d1_credentials_are_told_to_the_owner_only(people: People) -> None:
    held, container = await busy(people.ada)
    assert container["guacamole_username"]
    assert container["guacamole_password"]
    for path in (*LISTS, f"/containers/{container['id']}"):
        answer = await people.admin.get(path.format(people.ada.name))
        (seen,) = [
            row
            for row in (answer.json() if "{}" in path or path in LISTS else [answer.json()])
            if row["id"] == container["id"]
        ]
        assert (seen["guacamole_username"], seen["guacamole_password"]) == ("", "")
        assert container["guacamole_password"].encode() not in answer.body
    await people.ada.get(f"/resource/stop/{people.ada.name}/{container['container_name']}/x/")
    await held


@pytest.mark.parametrize(
    ("limits", "text"),
    [
        ({"containers": 0}, "Max machines exceeded"),
        ({"millicores": 999}, "Max cpus exceeded"),
        ({"memory": 2 * GIB - 1}, "Max memory exceeded"),
        ({"disk": 5 * GIB - 1}, "Max hdd exceeded"),
        ({"containers": 0, "millicores": 0, "memory": 0, "disk": 0}, "Max machines exceeded"),
        ({"millicores": 0, "memory": 0, "disk": 0}, "Max cpus exceeded"),
        ({"memory": 0, "disk": 0}, "Max memory exceeded"),
    ],
)
async def test_d3_d5_what_is_asked_for_counts_and_the_refusal_is_409(
    people: People, limits: dict[str, int], text: str
) -> None:
    limit(people.ada, **limits)
    answer = await run(people.ada, image=DESKTOP)
    assert answer.status == 409
    assert (answer.json()["error"], answer.json()["detail"]) == (text, text)
    assert await rows(people.ada) == []


async def test_d3_a_session_is_launched_once(api: Api, people: People) -> None:
    granted = grant(api, people.ada)
    assert (await run(people.ada, granted.path)).status == 201
    limit(people.ada, containers=1)
    again = await run(people.ada, granted.path)
    assert (again.status, again.json()["error"]) == (409, "Resource already launched")


async def test_d3_what_is_not_there_is_404_before_anything_else(people: People) -> None:
    assert (await run(people.ada, image="no such image")).detail() == (404, "Not found.")
    assert (await run(people.ada, image="no such image", owner=people.bob)).status == 404


async def test_d3_what_is_not_usable_in_time_is_504_and_leaves_nothing(people: People) -> None:
    limit(people.ada, containers=1)
    answer = await run(people.ada, "again", DESKTOP)
    assert answer.status == 504
    assert answer.json()["error"]
    assert await rows(people.ada) == []
    assert await used(people.ada) == 0
    assert (await run(people.ada, "again")).status == 201


async def test_d4_stop_and_rm_are_done_when_they_answer_whatever_image_the_path_names(people: People) -> None:
    container = (await run(people.ada)).json()
    for verb, status in (("stop", "stopped"), ("stop", "stopped"), ("rm", "removed"), ("rm", "removed")):
        answer = await people.ada.get(f"/resource/{verb}/{people.ada.name}/{container['container_name']}/gone/")
        assert answer.status == 200
        assert answer.json() == {**container, "container_status": status}
        if verb == "rm":
            assert await rows(people.ada) == []


async def test_d4_rm_stops_first(people: People) -> None:
    container = (await run(people.ada)).json()
    answer = await people.ada.get(f"/resource/rm/{people.ada.name}/{container['container_name']}/{LINK}/")
    assert (answer.status, answer.json()["container_status"]) == (200, "removed")
    assert await used(people.ada) == 0


async def test_d4_what_is_busy_can_be_stopped_and_its_run_is_told(people: People) -> None:
    held, container = await busy(people.ada)
    assert container["container_status"] == "busy"
    answer = await people.ada.get(f"/resource/stop/{people.ada.name}/{container['container_name']}/{DESKTOP}/")
    assert (answer.status, answer.json()["container_status"]) == (200, "stopped")
    assert (await held).status == 409
    assert await used(people.ada) == 0


@pytest.mark.parametrize("verb", ["stop", "rm"])
async def test_d4_nobody_ends_what_is_not_theirs(people: People, verb: str) -> None:
    container = (await run(people.ada)).json()
    name = container["container_name"]
    assert (await people.bob.get(f"/resource/{verb}/{people.bob.name}/{name}/{LINK}/")).status == 404
    assert (await people.bob.get(f"/resource/{verb}/{people.ada.name}/{name}/{LINK}/")).status == 403
    assert (await people.admin.get(f"/resource/{verb}/{people.admin.name}/{name}/{LINK}/")).status == 404
    assert [row["container_status"] for row in await rows(people.ada)] == ["created"]


@pytest.mark.parametrize("verb", ["run/{}/own", "stop/{}/x", "rm/{}/x"])
async def test_d4b_another_name_in_the_path_is_refused(people: People, verb: str) -> None:
    answer = await people.bob.get(f"/resource/{verb.format(people.ada.name)}/{LINK}/")
    assert (answer.status, answer.json()["error"]) == (403, "username mismatch")


async def test_d4b_an_administrator_acts_for_the_owner_and_is_recorded(api: Api, people: People) -> None:
    granted, before = grant(api, people.ada), api.backend.store.head()
    container = (await run(people.admin, granted.path, owner=people.ada)).json()
    recorded = requested(api, before)
    assert (recorded.event.user_id, recorded.actor) == (people.ada.user_id, f"user:{people.admin.user_id}")
    assert [row["id"] for row in await rows(people.ada)] == [container["id"]]
    await people.admin.get(f"/resource/stop/{people.ada.name}/{container['container_name']}/{LINK}/")
    stops = [r for r in api.backend.store.load(recorded.stream) if isinstance(r.event, ContainerStopRequested)]
    assert [r.actor for r in stops] == [f"user:{people.admin.user_id}"]
    # what the administrator may do, the owner must be allowed: membership is the owner's
    other = grant(api, people.admin)
    assert (await run(people.admin, other.path, owner=people.ada)).status == 403


async def test_d5_forty_at_once_get_what_the_quota_has(people: People) -> None:
    limit(people.ada, containers=3)
    answers = await asyncio.gather(*(run(people.ada) for _ in range(40)))
    assert sorted(answer.status for answer in answers) == [201] * 3 + [409] * 37
    assert await used(people.ada) == 3


async def test_d5_withdrawing_an_image_takes_nothing_from_the_count(api: Api, people: People) -> None:
    name = uuid4().hex
    image = {"image": "https://example.org/", "protocol": "", "cpu": 0, "memory": "0G", "hdd": "0G"}
    answer = await people.admin.ask("POST", f"/images/{name}/", {**image, "resource_type": "static link"})
    assert answer.status == 201
    container = (await run(people.ada, image=name)).json()
    obey(api, WithdrawImage(image_id=api.backend.installation.naming.image(name), name=name))
    assert await used(people.ada) == 1
    assert (await run(people.ada)).status == 201
    end = f"{people.ada.name}/{container['container_name']}/{name}/"
    assert (await people.ada.get(f"/resource/stop/{end}")).status == 200
    assert (await people.ada.get(f"/resource/rm/{end}")).status == 200
    assert await used(people.ada) == 1


async def test_d7_every_answer_has_the_same_id(people: People) -> None:
    container = (await run(people.ada)).json()
    name = container["container_name"]
    answers = [
        (await people.ada.get(f"/containers/{container['id']}")).json(),
        *(await people.ada.get("/containers/")).json(),
        *await rows(people.ada),
        (await people.ada.get(f"/resource/stop/{people.ada.name}/{name}/x/")).json(),
        (await people.ada.get(f"/resource/rm/{people.ada.name}/{name}/x/")).json(),
    ]
    assert all(isinstance(each["id"], int) for each in answers)
    assert all(one["id"] == other["id"] for one, other in pairwise([container, *answers]))


async def test_d9_a_link_starts_nothing_and_a_post_does(api: Api, people: People) -> None:
    path = f"/resource/run/{people.ada.name}/{{}}/{LINK}/"
    async with api.signed_in(people.ada.name) as session:
        for headers in ({"Sec-Fetch-Mode": "navigate"}, {"Sec-Fetch-Site": "cross-site"}):
            async with session.get(path.format("own01"), headers=headers) as answer:
                assert answer.status == 403
        assert await rows(people.ada) == []
        async with session.post(path.format("own01"), headers={"X-CSRFToken": "none"}) as answer:
            assert answer.status == 403
        async with session.post(path.format("own01")) as answer:
            assert answer.status == 201
        async with session.get(path.format("own02"), headers={"Sec-Fetch-Site": "same-site"}) as answer:
            assert answer.status == 201
    assert len(await rows(people.ada)) == 2


async def test_d10_the_data_of_a_session_is_for_members(api: Api, people: People) -> None:
    granted = grant(api, people.ada)
    assert (await run(people.bob, granted.path)).status == 403
    assert (await run(people.admin, granted.path)).status == 403
    assert (await run(people.ada, f"{granted.proposal}~2")).status == 404
    assert (await run(people.ada, "no-such-proposal~1")).status == 404
    assert (await run(people.ada, f"{granted.proposal}~")).status == 404
    container = (await run(people.ada, granted.path)).json()
    assert (container["calipso_experiment"], container["container_info"]) == ("1", granted.proposal)


@pytest.mark.parametrize("label", ["abcde", "P1", "a~b~c", "日本", "x" * 200])
async def test_d10_a_word_of_ones_own_gives_no_data_of_others(api: Api, people: People, label: str) -> None:
    before = api.backend.store.head()
    container = (await run(people.ada, label)).json()
    assert (container["calipso_experiment"], container["container_info"]) == (label, label)
    assert requested(api, before).event.session is None


async def test_d11_no_value_is_a_500(api: Api, people: People) -> None:
    grant(api, people.ada)
    link = (await people.ada.get(f"/users/{people.ada.name}/experiments/")).json()["results"][0]["id"]
    bodies: tuple[object, ...] = ({"favorite": "yes"}, {"favorite": None}, {}, [], "1")
    for method in ("PUT", "PATCH"):
        for body in bodies:
            assert (await people.ada.ask(method, f"/favorite/{link}/", body)).status == 400
    for path in ("/containers/none", "/containers/999999999", "/containers/-1", f"/images/{uuid4().hex}/"):
        assert (await people.ada.get(path)).status == 404


async def test_d2_d8_roles_hold_at_once_and_promoting_again_is_no_fault(api: Api, people: People) -> None:
    path, body = f"/users/{people.bob.name}/admin", {"is_superuser": True}
    assert (await people.bob.ask("POST", path, body)).status == 403
    for _ in range(2):
        assert (await people.admin.ask("POST", path, body)).status == 200
    assert (await people.bob.ask("DELETE", f"/images/{uuid4().hex}/")).status == 404
    obey(api, GrantRole(user_id=people.ada.user_id, role=Role.ADMINISTRATOR))
    quota = {"max_simultaneous": 1, "memory": "1G", "cpu": 1, "hdd": "1G"}

    async def may() -> bool:
        return (await people.ada.ask("POST", f"/quota/{people.bob.name}/", quota)).status == 200

    await heard_of(may, "the role that another process granted")
    assert (await people.ada.ask("POST", f"/quota/{uuid4().hex}/", quota)).status == 404
    assert (await people.ada.ask("POST", f"/quota/{people.bob.name}/", {**quota, "cpu": "many"})).status == 400
    assert (await people.bob.get(f"/quota/{people.bob.name}/")).json() == quota


async def test_d16_no_experiment_is_listed_twice_and_marks_are_ones_own(api: Api, people: People) -> None:
    grant(api, people.ada, people.bob, people.admin)
    mark = "calipsouserexperiment__favorite"
    page = f"/users/{people.ada.name}/experiments/?ordering={mark}"
    (theirs,) = (await people.bob.get(f"/users/{people.bob.name}/experiments/")).json()["results"]
    assert (await people.bob.ask("PUT", f"/favorite/{theirs['id']}/", {"favorite": "1"})).status == 200
    for query, count in (("", 1), (f"&{mark}=0", 1), (f"&{mark}=1", 0)):
        found = (await people.ada.get(page + query)).json()
        assert (found["count"], len(found["results"])) == (count, count)
