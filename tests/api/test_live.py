"""Server-sent events over HTTP: the states of one's own containers, once each, resumable."""

import asyncio

import pytest
from tests.api.conftest import Api
from tests.api.living import SSE, add_image, live, request, told
from tests.conftest import PATIENCE

from calipso.events.naming import container_name


@pytest.fixture(scope="module")
def image(api: Api) -> str:
    return add_image(api)


async def test_own_states_come_as_they_change_and_can_be_resumed(api: Api, image: str) -> None:
    ada, bob = api.add_user(), api.add_user()
    async with api.signed_in(ada) as session:
        async with session.get("/events/", headers=SSE) as answer:
            assert (answer.status, answer.content_type) == (200, "text/event-stream")
            assert await answer.content.readline() == b": alive\n"
            his, hers = request(api, bob, image, "his"), request(api, ada, image, "<b>hers")
            live(api, his)
            live(api, hers)
            seen = await told(answer, 5)
        assert {each["container_name"] for each in seen} == {container_name(hers)}
        assert {each["calipso_experiment"] for each in seen} == {"<b>hers"}
        assert [each["container_status"] for each in seen] == ["busy", "created", "busy", "stopped", "removed"]
        for n in range(4):
            headers = SSE | {"Last-Event-ID": str(seen[n]["position"])}
            async with session.get("/events/", headers=headers) as answer:
                assert await told(answer, 4 - n) == seen[n + 1 :]


async def test_it_ends_with_the_login(api: Api) -> None:
    ada = api.add_user()
    async with api.signed_in(ada) as session, session.get("/events/", headers=SSE) as answer:
        assert await answer.content.readline() == b": alive\n"
        async with session.get("/logout/") as out:
            assert out.status < 400
        async with asyncio.timeout(PATIENCE):
            await answer.content.read()


async def test_administrators_alone_follow_all(api: Api, administrator: str, image: str) -> None:
    ada = api.add_user()
    async with api.basic(ada) as session, session.get("/events/?all=1", headers=SSE) as answer:
        assert answer.status == 403
    async with api.basic(administrator) as session, session.get("/events/?all=1", headers=SSE) as answer:
        hers = request(api, ada, image, "x")
        assert (await told(answer, 1))[0]["container_name"] == container_name(hers)


async def test_what_is_no_position_is_told(api: Api) -> None:
    headers = SSE | {"Last-Event-ID": "x"}
    async with api.basic(api.add_user()) as session, session.get("/events/", headers=headers) as answer:
        assert (answer.status, (await answer.json())["field"]) == (400, "Last-Event-ID")


async def test_who_resumes_beyond_the_end_comes_from_another_store(api: Api) -> None:
    headers = SSE | {"Last-Event-ID": str(2**62)}
    async with api.basic(api.add_user()) as session, session.get("/events/", headers=headers) as answer:
        body = await answer.json()
        assert (answer.status, body["field"]) == (400, "Last-Event-ID")
        assert "was a backup restored?" in body["error"]


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("text/event-stream", "text/event-stream"),
        ("text/event-stream, */*;q=0.1", "text/event-stream"),
        ("application/json;q=0.5, text/event-stream", "text/event-stream"),
        ("application/json, text/event-stream;q=0.5", "application/cloudevents-batch+json"),
        ("text/event-stream;q=0, */*", "application/cloudevents-batch+json"),
        ("text/event-stream-of-mine", "application/cloudevents-batch+json"),
        ("text/*", "application/cloudevents-batch+json"),
        ("*/*", "application/cloudevents-batch+json"),
    ],
)
async def test_only_who_names_the_kind_gets_a_stream(api: Api, administrator: str, accept: str, kind: str) -> None:
    async with api.basic(administrator) as session, session.get("/events/", headers={"Accept": accept}) as answer:
        assert (answer.status, answer.content_type) == (200, kind)


async def test_proxies_are_told_to_keep_nothing_back(api: Api, somebody: str) -> None:
    async with api.basic(somebody) as session, session.get("/events/", headers=SSE) as answer:
        assert (answer.headers["X-Accel-Buffering"], answer.headers["Cache-Control"]) == ("no", "no-store")
