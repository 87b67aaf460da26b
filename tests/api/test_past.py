"""The past over HTTP: `?at=`, members, and who could reach a data set."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.api.conftest import Api
from tests.api.story import Story, tell
from tests.api.visitors import People, Visitor, obey, people_of

from calipso.commands.user import GrantRole
from calipso.events.naming import container_name
from calipso.events.user import Role


@pytest.fixture(scope="module")
def people(api: Api) -> People:
    found = people_of(api)
    obey(api, GrantRole(user_id=found.bob.user_id, role=Role.AUDITOR))
    return found


@pytest.fixture(scope="module")
def story(api: Api, people: People) -> Story:
    return tell(api, people)


async def ask(visitor: Visitor, path: str) -> Any:  # noqa: ANN401 - JSON
    answer = await visitor.get(path)
    assert answer.status == 200, answer.body
    return answer.json()


async def test_what_was_shown_then_is_shown(people: People, story: Story) -> None:
    ada, at = people.ada, f"?at={story.moment}"
    for path in ("/containers/", "/activecontainers/", f"/resource/list/{ada.name}/", f"/users/{ada.name}/containers/"):
        (then,) = await ask(ada, f"{path}{at}")
        assert (then["container_name"], then["container_status"]) == (container_name(story.container_id), "created")
        assert then["image"] is not None
        now = await ask(ada, path)
        assert [each["container_status"] for each in now] == (["stopped"] if path == "/containers/" else [])
    assert (await ask(ada, f"/containers/{then['id']}{at}"))["container_status"] == "created"
    assert (await ask(ada, f"/containers/{then['id']}"))["container_status"] == "stopped"
    assert (await ask(ada, f"/used_quota/{ada.name}/{at}"))["max_simultaneous"] == 1
    assert (await ask(ada, f"/used_quota/{ada.name}/"))["max_simultaneous"] == 0
    assert (await ask(ada, f"/quota/{ada.name}/{at}"))["max_simultaneous"] == 5
    assert (await ask(ada, f"/quota/{ada.name}/"))["max_simultaneous"] == 2
    found = await ask(ada, f"/users/{ada.name}/experiments/{at}&search=ice")
    assert [each["proposal_id"] for each in found["results"]] == [story.proposal]
    assert (await ask(ada, f"/users/{ada.name}/experiments/"))["count"] == 0
    assert story.image in {each["public_name"] for each in await ask(ada, f"/images/{at}")}
    assert (await ask(ada, f"/images/{story.image}/{at}"))["public_name"] == story.image
    assert (await ada.get(f"/images/{story.image}/")).status == 404


async def test_auditors_look_back_at_others_and_are_recorded(people: People, story: Story) -> None:
    ada, auditor, at = people.ada, people.bob, f"?at={story.moment}"
    assert len(await ask(auditor, f"/resource/list/{ada.name}/{at}")) == 1
    assert (await auditor.get(f"/resource/list/{ada.name}/")).status == 403
    assert container_name(story.container_id) in {c["container_name"] for c in await ask(auditor, f"/containers/{at}")}
    assert await ask(auditor, "/containers/") == []
    readings = (await ask(people.admin, f"/audit/events/?actor={auditor.name}&kind=audit"))["results"]
    looked = {(each["data"]["what"], each["data"]["user_id"]) for each in readings}
    assert {("resource/list", str(ada.user_id)), ("containers", None)} <= looked


async def test_an_ordinary_user_looks_back_at_their_own_only(api: Api, people: People, story: Story) -> None:
    eve = Visitor(api=api, name=api.add_user())
    obey(api)
    at = f"?at={story.moment}"
    assert (await eve.get(f"/resource/list/{people.ada.name}/{at}")).status == 403
    assert await ask(eve, f"/containers/{at}") == []
    (then,) = await ask(people.ada, f"/containers/{at}")
    assert (await eve.get(f"/containers/{then['id']}{at}")).status == 404
    assert (await eve.get(f"/audit/reach/?dataset=/tmp/data{at.replace('?', '&')}")).status == 403
    assert (await eve.get("/audit/members/?experiment=P1")).status == 403


@pytest.mark.parametrize("path", ["/containers/", "/images/", "/containers/1", "/audit/reach/?dataset=/tmp/data"])
async def test_a_time_that_is_none_is_told(people: People, path: str) -> None:
    future = (datetime.now(UTC) + timedelta(minutes=1)).isoformat().replace("+00:00", "Z")
    for text in ("", "yesterday", "2026-11-20T14:03:00", future):
        joined = "&" if "?" in path else "?"
        answer = await people.admin.get(f"{path}{joined}at={text}")
        assert answer.field() == (400, "at"), (text, answer.body)


async def test_who_could_reach_a_data_set(people: People, story: Story) -> None:
    word = story.proposal.removeprefix("P-")
    found = await ask(people.bob, f"/audit/reach/?dataset=/tmp/data/{word}&at={story.moment}")
    member, opened = found["ways"]
    assert (member["how"], member["user"], member["openings"]) == ("could_start", people.ada.name, None)
    assert (opened["how"], opened["container"]) == ("opened", container_name(story.container_id))
    assert [(o["address"], o["account"], o["then"]) for o in opened["openings"]] == [("10.0.0.7", "", True)]
    assert [each["type"] for each in opened["evidence"]] == [
        "MemberAdded", "ContainerRequested", "ContainerStarting", "ContainerStarted",
    ]  # fmt: skip
    assert "was open through Guacamole, from 10.0.0.7" in opened["why"]
    assert found["note"] == ""
    assert (await ask(people.bob, f"/audit/reach/?dataset=/tmp/data/{word}"))["ways"] == []
    (reading, *_) = (await ask(people.admin, f"/audit/events/?actor={people.bob.name}&type=HistoryRead&order=newest"))[
        "results"
    ]
    assert (reading["data"]["what"], reading["data"]["asked"]) == ("reach", {"experiments": "", "at": "now"})
    assert (await people.bob.get("/audit/reach/?dataset=tmp")).field() == (400, "dataset")
    assert (await people.bob.get("/audit/reach/")).field() == (400, "dataset")


async def test_members_at_a_moment(people: People, story: Story) -> None:
    path = f"/audit/members/?experiment={story.proposal}"
    then = await ask(people.bob, f"{path}&at={story.moment}")
    assert [(each["user"], each["evidence"]["type"]) for each in then["members"]] == [(people.ada.name, "MemberAdded")]
    now = await ask(people.bob, path)
    assert (now["offered"], now["members"]) == (True, [])
    assert then["folders"] == now["folders"] == [f"/tmp/data/{story.proposal.removeprefix('P-')}"]
    assert (await people.bob.get("/audit/members/?experiment=none")).status == 404


async def test_usage(people: People, story: Story) -> None:
    found = await ask(people.bob, "/audit/usage/?by=image,user,experiment")
    row = next(row for row in found["rows"] if row["image"] == story.image)
    assert list(row)[:5] == ["user", "user_id", "experiment", "image", "containers"]
    assert (row["user"], row["experiment"], row["containers"]) == (people.ada.name, story.proposal, 1)
    assert 0 < row["running_hours"] < row["held_hours"]
    assert (await ask(people.bob, f"/audit/usage/?until={found['since']}"))["rows"] == []
    assert (await people.ada.get("/audit/usage/")).status == 403
    assert (await people.bob.get("/audit/usage/?by=moon")).field() == (400, "by")
    assert (await people.bob.get("/audit/usage/?until=9999-01-01")).field() == (400, "until")


async def test_metrics_tell_usage_by_runtime_and_image_and_of_nobody(people: People, story: Story) -> None:
    answer = await people.nobody.get("/metrics")
    lines = [
        line for line in answer.body.decode().splitlines() if line.startswith("calipso_usage_") and story.image in line
    ]
    labels = f'image="{story.image}",runtime="docker_container",time="held"'
    assert len(lines) == 6
    assert any(line.startswith("calipso_usage_seconds_total{") and labels in line for line in lines)
    assert people.ada.name not in answer.body.decode()
