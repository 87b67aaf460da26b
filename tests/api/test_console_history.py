"""The pages of the console that look back, over HTTP: they tell what REST tells, and record the same."""

from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, quote, unquote, urlsplit
from uuid import uuid4

import pytest
from tests.api.conftest import Api
from tests.api.pages import Page
from tests.api.story import Story, tell
from tests.api.visitors import People, Visitor, obey, people_of

from calipso.commands.experiment import AddExperiment
from calipso.commands.user import EraseUser, GrantRole, RecordLogin
from calipso.events.experiment import ExperimentDetails
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


async def page(visitor: Visitor, path: str, *, status: int = 200) -> Page:
    return Page(await visitor.get(path), status=status)


async def readings(people: People, reader: Visitor) -> list[tuple[str, str | None]]:
    """What somebody read of whom, as it is recorded."""
    answer = await people.admin.get(f"/audit/events/?actor={reader.name}&type=HistoryRead&limit=1000")
    return [(each["data"]["what"], each["data"]["user_id"]) for each in answer.json()["results"]]


# the timeline


async def test_the_timeline_tells_what_rest_tells(people: People, story: Story) -> None:
    query = f"?container={story.container_id}&order=oldest"
    shown = await page(people.bob, f"/console/events/{query}")
    told = (await people.bob.get(f"/audit/events/{query}")).json()["results"]
    assert len(told) == 7
    assert [(row[0], row[3], row[4]) for row in shown.rows()] == [
        (str(event["position"]), event["type"], event["actor_name"]) for event in told
    ]
    for row, event in zip(shown.rows(), told, strict=True):
        assert row[2] == f"{event['sentence']} life"
        assert row[1] == event["time"][:19].replace("T", " ") + "Z"
    assert f"/console/containers/{story.container_id}" in shown.links()


async def test_the_timeline_goes_on_by_position(api: Api, people: People) -> None:
    ada = Visitor(api=api, name=api.add_user())
    obey(api, *[RecordLogin(user_id=ada.user_id, method="local")] * 5)
    path, seen = f"/console/events/?user={ada.name}&type=UserLoggedIn&limit=2", list[str]()
    while path:
        shown = await page(people.bob, path)
        seen += [row[0] for row in shown.rows()]
        obey(api, RecordLogin(user_id=ada.user_id, method="local"))
        following = shown.root.all("a", rel="next")
        path = following[0].attributes["href"] if following else ""
    assert len(seen) == 5
    assert seen == sorted(seen, key=int, reverse=True)
    assert "First page" in shown.text


async def test_the_question_stays_in_the_form(people: People) -> None:
    shown = await page(people.bob, f"/console/events/?user={people.ada.name}&kind=quota&since=2026-01-01")
    values = {e.attributes["name"]: e.attributes.get("value") for e in shown.root.all("input")}
    assert (values["user"], values["since"]) == (people.ada.name, "2026-01-01")
    kind = shown.root.one("select", name="kind")
    assert [e.text for e in kind.all("option") if "selected" in e.attributes] == ["quota"]


async def test_what_is_wrong_is_told_at_its_field(api: Api, people: People) -> None:
    future = (datetime.now(UTC) + timedelta(minutes=1)).isoformat().replace("+00:00", "Z")
    for query, status, field, reason in (
        ("since=2026-11-20T14:03:00", 400, "since", "has no time zone"),
        (f"until={future}", 400, "until", "lies in the future"),
        ("since=2026-01-02&until=2026-01-01", 400, "until", "must not be before since"),
        ("stream=1", 400, "stream", "is not a uuid"),
        (f"stream={uuid4()}", 404, "stream", "does not exist"),
        ("user=nobody-of-that-name", 404, "user", "does not exist"),
        ("container=calipso-1", 404, "container", "does not exist"),
        ("kind=dreams", 400, "kind", "is none of"),
        ("after=1.deadbeef", 400, "", "another installation"),
        (f"after=999999.{api.backend.installation.id.hex[:8]}", 400, "", "the history ends before this cursor"),
    ):
        shown = await page(people.bob, f"/console/events/?{query}", status=status)
        assert reason in shown.wrong, query
        marked = [e.attributes["name"] for e in shown.root.all() if e.attributes.get("aria-invalid") == "true"]
        assert marked == ([field] if field else []), query


async def test_nothing_that_somebody_wrote_becomes_a_part_of_the_page(api: Api, people: People) -> None:
    naming, number = api.backend.installation.naming, f"P<i>-{uuid4().hex[:6]}"
    title = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>"
    details = ExperimentDetails(title=title, description="", beam_line="B")
    experiment_id = naming.experiment(number)
    obey(api, AddExperiment(experiment_id=experiment_id, proposal_id=number, details=details))
    shown = await page(people.bob, f"/console/events/?experiment={quote(number)}")
    assert title in shown.rows()[0][2]
    one = await page(people.bob, f"/console/events/{shown.rows()[0][0]}")
    assert title in one.root.one("section", **{"aria-labelledby": "data"}).text
    assert {e.attributes.get("src") for e in one.root.all("img")} == {shown.root.all("img")[0].attributes["src"]}


# one event


async def test_an_event_is_told_with_cause_and_effect(people: People) -> None:
    answer = await people.admin.ask("POST", f"/users/{people.bob.name}/admin", {"is_superuser": True})
    assert answer.status == 200
    query = f"?correlation={answer.headers['X-Request-ID']}"
    (event,) = (await people.admin.get(f"/audit/events/{query}")).json()["results"]
    shown = await page(people.admin, f"/console/events/{event['position']}")
    assert shown.title == f"Event {event['position']}"
    facts = shown.root.one("section", **{"aria-labelledby": "facts"}).text
    for told in (event["id"], event["stream"], event["correlation_id"], event["actor_name"], "the request itself"):
        assert told in facts
    data = shown.root.one("section", **{"aria-labelledby": "data"})
    assert [e.text for e in data.all("dt")] == list(event["data"])
    (step,) = shown.root.one("section", **{"aria-labelledby": "chain"}).all("li", **{"aria-current": "true"})
    assert event["sentence"] in step.text


async def test_reading_of_one_is_recorded_and_of_oneself_is_not(api: Api, people: People) -> None:
    ada, reader = (Visitor(api=api, name=api.add_user(admin=admin)) for admin in (False, True))
    obey(api, *[RecordLogin(user_id=each.user_id, method="local") for each in (ada, reader)])
    for whom in (ada, reader):
        (event,) = (await people.admin.get(f"/audit/events/?user={whom.name}&type=UserLoggedIn")).json()["results"]
        await page(reader, f"/console/events/{event['position']}")
        await page(reader, f"/console/quota/?user={whom.name}")
        await page(reader, f"/console/as-of/?user={whom.name}&at={quote(event['time'])}")
    assert await readings(people, reader) == [(what, str(ada.user_id)) for what in ("event", "quota", "as-of")]


async def test_events_that_are_none(people: People) -> None:
    for number in ("0", "x", "-1", "9" * 18, "9" * 30):
        assert "does not exist" in (await page(people.bob, f"/console/events/{number}", status=404)).wrong


async def test_what_is_erased_is_said_to_be(api: Api, people: People) -> None:
    gone = Visitor(api=api, name=api.add_user())
    user_id = gone.user_id
    obey(api, EraseUser(user_id=user_id, identities=()))
    api.backend.subject_keys.destroy(user_id)
    shown = await page(people.bob, f"/console/events/?user={user_id}&type=UserRegistered")
    one = await page(people.bob, f"/console/events/{shown.rows()[0][0]}")
    assert "Erased for ever" in one.text
    assert (await page(people.bob, f"/console/quota/?user={user_id}")).title == f"Quota of {user_id}"
    assert gone.name not in one.text


async def test_an_event_of_a_newer_program(api: Api, people: People) -> None:
    dreamer = Visitor(api=api, name=api.add_user())
    obey(api, RecordLogin(user_id=dreamer.user_id, method="local"))
    with api.backend.database.connect() as connection:
        connection.execute(
            "INSERT INTO stored_events (originator_id, originator_version, topic, state, recorded_at, command_id, "
            "command_index) SELECT originator_id, originator_version + 1, 'calipso.user.UserDreamed', state, "
            "recorded_at, gen_random_uuid(), 0 FROM stored_events ORDER BY notification_id DESC LIMIT 1"
        )
    obey(api)
    shown = await page(people.bob, f"/console/events/?user={dreamer.name}")
    # that she was read about may be shown already
    [dreamed] = [row for row in shown.rows() if row[3] == "UserDreamed"]
    one = await page(people.bob, f"/console/events/{dreamed[0]}")
    assert "A newer version of this program wrote this event" in one.text


# a container


async def test_a_life_is_a_picture_and_a_table(people: People, story: Story) -> None:
    shown = await page(people.bob, f"/console/containers/{container_name(story.container_id)}")
    assert shown.title == container_name(story.container_id)
    states = ["requested", "starting", "running", "stopping", "stopped"]
    assert [row[0] for row in shown.rows()] == states
    assert [row[4] for row in shown.rows()] == ["service:test"] * 5
    assert shown.rows()[-1][2] == "still"
    picture = shown.root.one("svg", role="group")
    assert len(picture.all("rect")) == 5
    assert [e.all("title")[0].text.split()[0] for e in picture.all("a") if e.all("rect")] == states
    assert "running from" in picture.all("desc")[0].text
    assert len(picture.all("circle")) == 5
    for link in picture.all("a"):
        await page(people.bob, link.attributes["href"])


@pytest.mark.parametrize("form", ["name", "uuid", "id"])
async def test_a_container_is_found_by_whatever_names_it(people: People, story: Story, form: str) -> None:
    rows = (await people.ada.get("/containers/")).json()
    text = {"name": rows[0]["container_name"], "uuid": str(story.container_id), "id": str(rows[0]["id"])}[form]
    answer = await people.bob.get(f"/console/containers/?container={text}")
    assert (answer.status, answer.headers["Location"]) == (
        303,
        f"/console/containers/{container_name(story.container_id)}",
    )
    assert (await page(people.bob, f"/console/containers/{text}")).title == container_name(story.container_id)
    shown = await page(people.bob, "/console/containers/?container=none", status=404)
    assert shown.root.one("input", id="container").attributes["aria-invalid"] == "true"


# a quota


async def test_a_quota_over_time(people: People, story: Story) -> None:
    shown = await page(people.bob, f"/console/quota/?user={people.ada.name}")
    assert [row[3:] for row in shown.rows()] == [
        ["0 of 2", "0 CPU of 1 CPU", "0 GiB of 1 GiB", "0 GiB of 1 GiB"],
        ["0 of 5", "0 CPU of 10 CPU", "0 GiB of 30 GiB", "0 GiB of 80 GiB"],
        ["1 of 5", "1 CPU of 10 CPU", "1 GiB of 30 GiB", "1 GiB of 80 GiB"],
        ["0 of 5", "0 CPU of 10 CPU", "0 GiB of 30 GiB", "0 GiB of 80 GiB"],
    ]
    assert len(shown.root.all("svg", role="group")) == 4
    assert "At most 1 of 5" in shown.root.all("desc")[0].text
    until = await page(people.bob, f"/console/quota/?user={people.ada.name}&until={story.moment}")
    assert [row[3] for row in until.rows()] == ["1 of 5", "0 of 5"]
    for query, status, field in (
        ("user=nobody-of-that-name", 404, "user"),
        (f"user={people.ada.name}&since=2026-11-20T14:03:00", 400, "since"),
    ):
        wrong = await page(people.bob, f"/console/quota/?{query}", status=status)
        assert wrong.root.one("input", id=field).attributes["aria-invalid"] == "true"


# a moment


async def test_what_was_at_a_moment(people: People, story: Story) -> None:
    shown = await page(people.bob, f"/console/as-of/?at={story.moment}")
    assert [row[1:5] for row in shown.rows()] == [["running", people.ada.name, story.image, f"{story.proposal} ~ 1"]]
    assert shown.rows(1) == [[people.ada.name, "1", "1 CPU", "1 GiB", "1 GiB"]]
    one = await page(people.bob, f"/console/as-of/?at={story.moment}&user={people.ada.name}")
    assert [row[1:] for row in one.rows()] == [["5", "10 CPU", "30 GiB", "80 GiB"], ["1", "1 CPU", "1 GiB", "1 GiB"]]
    assert [row[1] for row in one.rows(1)] == ["running"]
    assert [row[0] for row in one.rows(2)] == [story.proposal]
    now = await page(people.bob, f"/console/as-of/?user={people.ada.name}")
    assert [row[1] for row in now.rows()] == ["2", "0"]
    assert "No container was active" in now.text
    assert f"{people.ada.name} was a member of no experiment" in now.text


async def test_moments_go_from_event_to_event(people: People, story: Story) -> None:
    shown = await page(people.bob, f"/console/as-of/?at={story.moment}")
    following = shown.root.one("a", rel="next").attributes["href"]
    (stopping,) = (await page(people.bob, following)).rows()
    assert stopping[1] == "stopping"
    back = await page(people.bob, (await page(people.bob, following)).root.one("a", rel="prev").attributes["href"])
    assert [row[1] for row in back.rows()] == ["running"]


async def test_the_slider_works_without_a_script(people: People, story: Story) -> None:
    shown = await page(people.bob, f"/console/as-of/?at={story.moment}")
    slider = shown.root.one("input", type="range").attributes
    assert int(slider["min"]) <= int(slider["value"]) <= int(slider["max"])
    moment = datetime.fromisoformat(unquote(story.moment))
    assert int(slider["value"]) == int(moment.timestamp())
    answer = await people.bob.get(f"/console/as-of/?second={slider['value']}&user={people.ada.name}")
    given = parse_qs(urlsplit(answer.headers["Location"]).query)
    assert given == {"at": [f"{moment:%Y-%m-%dT%H:%M:%S}Z"], "user": [people.ada.name]}
    await page(people.bob, answer.headers["Location"])
    await page(people.bob, "/console/as-of/?second=soon", status=400)
    (script,) = shown.root.all("script")
    assert (await people.bob.get(script.attributes["src"])).headers["Content-Type"].startswith("text/javascript")


@pytest.mark.parametrize("path", ["/console/as-of/", "/console/reach/"])
async def test_a_moment_that_is_none_is_told(people: People, path: str) -> None:
    future = (datetime.now(UTC) + timedelta(minutes=1)).isoformat().replace("+00:00", "Z")
    for text, reason in (("yesterday", "is not a time"), ("2026-11-20T14:03:00", "no time zone"), (future, "future")):
        shown = await page(people.bob, f"{path}?at={text}", status=400)
        assert reason in shown.wrong
        assert shown.root.one("input", id="at").attributes["aria-invalid"] == "true"


# who could reach


async def test_who_could_reach(people: People, story: Story) -> None:
    folder = f"/tmp/data/{story.proposal.removeprefix('P-')}"
    ways = [["could start", people.ada.name], ["opened", people.ada.name]]
    by_folder = await page(people.bob, f"/console/reach/?dataset={folder}&at={story.moment}")
    assert [row[:2] for row in by_folder.rows()] == ways
    assert "was open through Guacamole, from 10.0.0.7" in by_folder.rows()[1][5]
    assert [e.text for e in by_folder.root.all("summary")] == ["2 events", "4 events"]
    by_experiment = await page(people.bob, f"/console/reach/?experiment={story.proposal}&at={story.moment}")
    assert [row[0] for row in by_experiment.rows()] == [people.ada.name]
    assert [row[:2] for row in by_experiment.rows(1)] == ways
    now = await page(people.bob, f"/console/reach/?experiment={story.proposal}")
    assert "had no member" in now.text
    assert f"Nobody could reach {folder}" in now.text
    assert {("members", None), ("reach", None)} <= set(await readings(people, people.bob))
    wrong = await page(people.bob, "/console/reach/?dataset=tmp", status=400)
    assert wrong.root.one("input", id="dataset").attributes["aria-invalid"] == "true"
    wrong = await page(people.bob, "/console/reach/?experiment=none", status=404)
    assert wrong.root.one("input", id="experiment").attributes["aria-invalid"] == "true"
