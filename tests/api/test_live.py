"""Server-sent events over HTTP: the states of one's own containers, once each, until the login ends."""

import asyncio
from uuid import UUID, uuid4

import aiohttp
import msgspec
import pytest
from tests.api.conftest import Api
from tests.builders import image_spec

from calipso.commands.container import (
    ClaimContainer,
    RecordContainerRemoved,
    RecordContainerStarted,
    RecordContainerStopped,
    RemoveContainer,
    StopContainer,
)
from calipso.commands.image import AddImage
from calipso.commands.request import RequestContainer, TargetOffered
from calipso.events.naming import container_name
from calipso.events.values import Placement

SSE = {"Accept": "text/event-stream"}


def request(api: Api, name: str, image: str, label: str) -> UUID:
    naming, container_id = api.backend.installation.naming, uuid4()
    api.obey(
        RequestContainer(
            container_id=container_id,
            user_id=api.user_id(name),
            image_id=naming.image(image),
            image_name=image,
            label=label,
            info=label,
            session=None,
            targets=(TargetOffered(target_id=naming.target("docker"), name="docker"),),
        )
    )
    return container_id


def live(api: Api, container_id: UUID) -> None:
    """Start, stop and remove a container."""
    placement = Placement(runtime_id="9f", name="c")
    for command in (
        ClaimContainer(container_id=container_id, claimant="docker/0"),
        RecordContainerStarted(container_id=container_id, claimant="docker/0", placement=placement, image_digest=""),
        StopContainer(container_id=container_id),
        RecordContainerStopped(container_id=container_id),
        RemoveContainer(container_id=container_id),
        RecordContainerRemoved(container_id=container_id),
    ):
        api.obey(command)


@pytest.fixture(scope="module")
def image(api: Api) -> str:
    name = f"image-{uuid4().hex[:8]}"
    api.obey(AddImage(image_id=api.backend.installation.naming.image(name), name=name, spec=image_spec()))
    return name


async def told(answer: aiohttp.ClientResponse, number: int) -> list[dict[str, object]]:
    found: list[dict[str, object]] = []
    async with asyncio.timeout(20):
        while len(found) < number:
            line = await answer.content.readline()
            assert line, found
            if line.startswith(b"data: "):
                found.append(msgspec.json.decode(line.removeprefix(b"data: ")))
    return found


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
        async with asyncio.timeout(10):
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
