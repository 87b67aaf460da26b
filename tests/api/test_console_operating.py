"""The pages for operators: usage, health, and dead letters with what becomes of them."""

import asyncio
import csv
import io
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta

import aiohttp
import pytest
from tests.api.conftest import Api, served
from tests.api.living import add_image, live, request, write_newer
from tests.api.pages import Page
from tests.api.visitors import Answer, People, obey, people_of
from tests.conftest import find_free_port, nats_server, wait_until

from calipso.backend import Backend
from calipso.bootstrap import relaying
from calipso.bus import DEAD_PREFIX, POSITION, RETRIES, Bus
from calipso.bus.dead_letters import DeadLetter, DeadLetters
from calipso.commands.target import CordonTarget
from calipso.commands.user import GrantRole
from calipso.events.audit import HistoryRead
from calipso.events.user import Role
from calipso.relay import to_message

DAY = datetime(2026, 11, 20, tzinfo=UTC)
PERIOD = "since=2026-11-19&until=2026-11-22"


@pytest.fixture(scope="module")
def own(make_backend: Callable[..., Backend], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """A served installation with NATS and a relay."""
    port = find_free_port()
    with ExitStack() as stack:
        stack.enter_context(nats_server(port, tmp_path_factory.mktemp("nats")))
        backend = make_backend(nats_url=f"nats://127.0.0.1:{port}", guacamole_database_url="")
        stack.callback(backend.close)
        yield stack.enter_context(served(backend, parts=[lambda: relaying.relay(backend)]))


@pytest.fixture(scope="module")
def people(own: Api) -> People:
    found = people_of(own)
    obey(own, GrantRole(user_id=found.bob.user_id, role=Role.AUDITOR))
    return found


@pytest.fixture(scope="module")
def used(own: Api, people: People) -> str:
    """An image of which containers ran at known times; gives its name."""
    image = add_image(own)
    made = [(request(own, people.ada.name, image, f"x{n}"), n) for n in range(3)]
    for container, _ in made:
        live(own, container)
    obey(own)
    with own.backend.database.connect() as connection:
        for container, number in made:  # held for four hours and ran for three, from 22:00 on, on the next day too
            begin = DAY + timedelta(hours=22, minutes=number)
            connection.execute(
                "UPDATE rm_containers.containers SET created = %s, started = %s, ended = %s, millicores = 2000, "
                "memory = 1 << 30 WHERE container_id = %s",
                (begin, begin + timedelta(hours=1), begin + timedelta(hours=4), container),
            )
    return image


# usage


async def test_usage_by_day_is_drawn_and_listed(people: People, used: str) -> None:
    assert used
    page = Page(await people.bob.get(f"/console/usage/?{PERIOD}"))
    assert page.title == "Usage"
    assert [figure.text for figure in page.root.one("dl").all("dd")] == [
        *("3", "9 of 12.0 h held", "18.0 of 24.0 CPU h held", "9 of 12.0 GiB h held")
    ]
    pictures = page.root.all("svg")
    assert [picture.all("title")[0].text for picture in pictures] == ["Container-hours", "CPU-hours", "Memory-hours"]
    assert "9 h ran, 12.0 h held in all; the most, 2026-11-21" in pictures[0].all("desc")[0].text
    titles = [bar.one("title").text for bar in pictures[0].all("g")]
    assert titles[0] == "2026-11-19: 0.0 h ran, 0.0 h held"
    assert titles[1].startswith("2026-11-20: 2.95 h ran, 5.95 h held")
    assert [row[0] for row in page.rows()] == ["2026-11-20", "2026-11-21"]
    assert sum(float(row[2]) for row in page.rows()) == pytest.approx(9)


@pytest.mark.parametrize("by", ["user", "experiment", "image", "runtime"])
async def test_usage_by_anything_is_drawn_and_listed(people: People, used: str, by: str) -> None:
    page = Page(await people.bob.get(f"/console/usage/?{PERIOD}&by={by}"))
    word = {"user": people.ada.name, "experiment": "(no experiment)", "image": used, "runtime": "docker_container"}[by]
    assert [row[:3] for row in page.rows()] == [[word, "3", "9.000"]]
    assert [bar.one("title").text for bar in page.root.all("svg")[0].all("g")] == [f"{word}: 9 h ran, 12.0 h held"]
    assert page.root.one("select").one("option", selected="").text == by


async def test_usage_as_csv_is_that_of_the_page(people: People, used: str) -> None:
    page = Page(await people.bob.get(f"/console/usage/?{PERIOD}&by=image"))
    (link,) = [link for link in page.links() if ".csv" in link]
    answer = await people.bob.get(link)
    assert (answer.status, answer.headers["Content-Type"]) == (200, "text/csv; charset=utf-8")
    assert answer.headers["Content-Disposition"] == 'attachment; filename="usage-2026-11-19-2026-11-22.csv"'
    (row,) = csv.DictReader(io.StringIO(answer.body.decode()))
    assert (row["image"], row["running_hours"], row["held_cpu_hours"]) == (used, "9.000", "24.000")
    several = await people.bob.get(f"/console/usage.csv?{PERIOD}&by=user,day")
    assert several.body.startswith(b"user,user_id,day,containers,")


async def test_a_period_without_usage_says_so(people: People) -> None:
    page = Page(await people.bob.get("/console/usage/?since=2020-01-01&until=2020-02-01"))
    assert "No container held anything within this period." in page.text
    assert page.root.all("svg") == []


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("since=yesterday", "since"),
        ("since=2026-11-20T14:00:00", "since"),
        ("until=2099-01-01", "until"),
        ("since=2026-11-02&until=2026-11-01", "until"),
        ("by=moon", "by"),
        ("by=day,user", "by"),
    ],
)
async def test_what_is_no_period_is_told_beside_its_field(people: People, query: str, field: str) -> None:
    page = Page(await people.bob.get(f"/console/usage/?{query}"), status=400)
    assert page.wrong.startswith("Not shown.")
    (marked,) = page.root.all("", **{"aria-invalid": "true"})
    assert marked.attributes["name"] == field
    assert page.root.all("svg") == []
    assert (await people.bob.get(f"/console/usage.csv?{query}")).status in {200, 400}


async def test_who_looks_at_usage_by_user_is_recorded(own: Api, people: People, used: str) -> None:
    assert used
    since = own.backend.store.head()
    Page(await people.bob.get(f"/console/usage/?{PERIOD}&by=runtime"))
    assert own.backend.store.head() == since
    Page(await people.bob.get("/console/usage/?since=2026-11-18&by=user"))
    recorded = own.backend.store.read(after=since, limit=10).events[-1].event
    assert isinstance(recorded, HistoryRead)
    assert (recorded.reader, recorded.what) == (people.bob.user_id, "usage")


# health


async def test_health_says_how_every_part_is(own: Api, people: People) -> None:
    own.backend.parts.report("target:docker", ok=False, detail="the engine does not answer")
    own.backend.parts.report("target:links")
    naming = own.backend.installation.naming
    obey(own, CordonTarget(target_id=naming.target("links"), name="links", reason="its disk is replaced"))
    await asyncio.to_thread(wait_until, lambda: own.backend.parts.position("relay") > 0, "the relay to tell of itself")
    page = Page(await people.bob.get("/console/health/"))
    told = {row[0]: row for number in range(3) for row in page.rows(number)}
    assert {"Event store", "NATS", "Relay", "Chain of hashes", "Dead letters", "users", "audit", "links"} <= told.keys()
    assert told["NATS"][1:] == ["well", "", "", "It answers."]
    assert told["links"][1:4] == ["cordoned", "static_link", "0 of 1000"]
    assert "`" not in page.text
    assert told["docker"][1] == "in trouble"
    assert "the engine does not answer" in told["docker"][4]
    assert "Look at docker" in " ".join(page.root.all("div", role="status")[0].text.split())


async def test_a_projection_that_stopped_leads_to_its_event(make_backend: Callable[..., Backend]) -> None:
    backend = make_backend()
    with served(backend) as api:
        people = people_of(api)
        container = request(api, people.ada.name, add_image(api), "x")
        position, _ = write_newer(api, container)
        stopped = "stopped before position"

        def is_stopped() -> bool:
            return any(part.name == "containers" and stopped in part.detail for part in backend.parts.all())

        await asyncio.to_thread(wait_until, is_stopped, "the projection to stop")
        page = Page(await people.admin.get("/console/health/"))
        row = next(row for row in page.rows(1) if row[0] == "containers")
        assert row[1] == "stopped"
        assert f"stopped before position {position}" in row[4]
        assert f"/console/events/{position}" in page.links()
        # NATS is not there, and health waits for it no longer than people do
        assert page.rows()[1][:2] == ["NATS", "away"]
    backend.close()


# dead letters


@pytest.fixture
async def bus(own: Api) -> AsyncIterator[Bus]:
    async with own.backend.bus("test", patience=5) as found:
        await found.ensure_streams()
        for letter in await DeadLetters(found).read():
            await DeadLetters(found).drop(letter.number)
        yield found


@pytest.fixture
async def letter(own: Api, bus: Bus, used: str) -> DeadLetter:
    """A message of a container's event that was given up."""
    assert used
    recorded = next(r for r in own.backend.store.read(after=0, limit=500).events if r.event.kind == "container")
    headers = {"Calipso-Reason": "<b>rejected", "Calipso-Tries": "12", "Calipso-Queue": "provision-docker"}
    headers[POSITION] = str(recorded.position)
    payload = to_message(recorded, "calipso").payload
    await bus.jetstream.publish(f"{DEAD_PREFIX}.calipso.container.ContainerRequested.docker", payload, headers=headers)
    (found,) = await DeadLetters(bus).read()
    return found


async def press(session: aiohttp.ClientSession, path: str, **form: str) -> Answer:
    session.headers.pop("X-CSRFToken", None)  # a form sends none
    headers = {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "navigate"}
    async with session.post(path, data=form, headers=headers, allow_redirects=False) as answer:
        return Answer(status=answer.status, body=await answer.read(), headers=dict(answer.headers))


async def test_a_dead_letter_is_shown_whole(people: People, letter: DeadLetter) -> None:
    page = Page(await people.admin.get("/console/dead-letters/"))
    section = page.root.one("section")
    facts = [fact.text for fact in section.one("dl").all("dd")]
    assert facts[0] == "<b>rejected"
    assert facts[1:3] == [str(letter.container_id), str(letter.position)]
    assert facts[4] == "provision-docker"
    assert '"type": "calipso.container.ContainerRequested"' in section.one("pre").text
    assert "after 12 tries" in section.text


@pytest.mark.parametrize(("verb", "outcome"), [("retry", "is tried again"), ("drop", "is dropped")])
async def test_a_form_says_what_becomes_of_it(
    people: People, bus: Bus, letter: DeadLetter, verb: str, outcome: str
) -> None:
    path = f"/console/dead-letters/{letter.number}/{verb}"
    async with people.admin.api.signed_in(people.admin.name) as session:
        async with session.get("/console/dead-letters/") as shown:
            page = Page(Answer(status=shown.status, body=await shown.read(), headers=dict(shown.headers)))
        form = next(form for form in page.root.all("form") if form.attributes["action"] == path)
        token = form.one("input").attributes["value"]
        Page(await press(session, path), status=403)  # another site does not know the token
        Page(await press(session, path, csrfmiddlewaretoken="guess"), status=403)
        assert await DeadLetters(bus).number() == 1
        answer = await press(session, path, csrfmiddlewaretoken=token)
        assert answer.status == 303
        after = Page(await people.admin.get(answer.headers["Location"]))
        assert f"Dead letter {letter.number} {outcome}" in after.root.all("p", role="status")[0].text
        assert await DeadLetters(bus).number() == 0
        again = await press(session, path, csrfmiddlewaretoken=token)
        assert "was not there any more" in Page(await people.admin.get(again.headers["Location"])).text


async def test_a_retried_message_lies_where_provisioners_look(people: People, bus: Bus, letter: DeadLetter) -> None:
    before = (await bus.jetstream.stream_info(RETRIES)).state.last_seq
    assert (await people.admin.ask("POST", f"/console/dead-letters/{letter.number}/retry")).status == 303
    message = await bus.jetstream.get_msg(RETRIES, seq=before + 1)
    assert (message.data, message.subject) == (
        letter.payload,
        "calipso.retry.calipso.container.ContainerRequested.docker",
    )


async def test_only_administrators_see_or_touch_them(people: People, bus: Bus, letter: DeadLetter) -> None:
    for visitor in (people.ada, people.bob):
        Page(await visitor.get("/console/dead-letters/"), status=403)
        Page(await visitor.ask("POST", f"/console/dead-letters/{letter.number}/drop"), status=403)
    assert (
        await people.nobody.ask("POST", f"/console/dead-letters/{letter.number}/drop")
    ).status == 303  # to the sign-in
    assert await DeadLetters(bus).number() == 1
    assert "/console/dead-letters/" not in Page(await people.bob.get("/console/health/")).links()
    assert "/console/dead-letters/" in Page(await people.admin.get("/console/health/")).links()


@pytest.mark.parametrize("path", ["x/retry", "-1/drop", f"{'9' * 30}/retry", "1%2F2/drop"])
async def test_what_is_no_number_is_told(people: People, path: str) -> None:
    Page(await people.admin.ask("POST", f"/console/dead-letters/{path}"), status=400)


async def test_many_are_told_in_pages(people: People, bus: Bus) -> None:
    for _ in range(51):
        await bus.jetstream.publish(f"{DEAD_PREFIX}.calipso.x.y", b"\xff{", headers={"Calipso-Reason": "x"})
    page = Page(await people.admin.get("/console/dead-letters/"))
    assert "51 messages were given up." in page.root.one("body").text
    assert len(page.root.all("section")) == 50
    assert page.root.all("section")[0].one("pre").text == "\\xff{"
    (further,) = [link for link in page.links() if "after=" in link]
    assert len(Page(await people.admin.get(further)).root.all("section")) == 1
