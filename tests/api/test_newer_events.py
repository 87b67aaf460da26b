"""A store that a newer program has written to: what this one can read it tells, and what it cannot it names."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import aiohttp
import pytest
from tests.api.conftest import Api, served
from tests.api.living import add_image, live, request, write_newer
from tests.conftest import PATIENCE, nats_server, wait_until

from calipso.backend import Backend
from calipso.bootstrap import relaying
from calipso.events.naming import container_name


@pytest.fixture
def own(make_backend: Callable[..., Backend]) -> Iterator[Api]:
    """A served installation whose store a test may write to by hand."""
    backend = make_backend()
    try:
        with served(backend) as made:
            yield made
    finally:
        backend.close()


async def ask(session: aiohttp.ClientSession, path: str) -> tuple[int, Any]:
    async with session.get(path) as answer:
        return answer.status, await answer.json(content_type=None)


def named(position: int, event_id: UUID) -> str:
    return f"event {event_id} at position {position} cannot be read: "


ADVICE = "; run the version of the program that wrote it, or a later one"


async def test_the_feed_gives_what_is_before_and_names_the_first_that_it_cannot_read(own: Api) -> None:
    admin = own.add_user(admin=True)
    somebody = own.user_id(own.add_user())
    before = own.backend.store.head()
    position, event_id = write_newer(own, somebody)
    own.add_user()
    async with own.basic(admin) as session:
        async with session.get("/events/") as answer:
            events = await answer.json(content_type=None)
            assert (answer.status, int(answer.headers["Calipso-Position"])) == (200, before)
            assert int(events[-1]["position"]) == before
        status, body = await ask(session, f"/events/?after={before}")
        assert (status, body["status"]) == (503, 503)
        assert body["error"].startswith(named(position, event_id))
        assert body["error"].endswith(ADVICE)
        status, events = await ask(session, f"/events/?after={position}")  # who has dealt with it otherwise goes on
        assert (status, len(events)) == (200, 2)


async def test_every_page_of_the_audit_answers_or_says_why_not(own: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("calipso.api.shown.SHOWN_WITHIN_SECONDS", 0.5)
    admin, image = own.add_user(admin=True), add_image(own)
    live(own, container := request(own, admin, image, "x"))
    position, _ = write_newer(own, container)
    head = own.backend.store.head()
    wait_until(lambda: own.backend.parts.position("audit") >= head, "the audit to tell of it")
    async with own.basic(admin) as session:
        status, body = await ask(session, "/audit/events/?limit=1000")
        assert (status, [each["readable"] for each in body["results"]].count(False)) == (200, 1)
        name = container_name(container)
        for path in (
            "/audit/usage/",
            "/audit/usage/?by=user,day",
            "/audit/members/?experiment=none",
            f"/audit/reach/?dataset=/tmp/data&at={body['results'][-1]['time']}",
            f"/containers/?at={body['results'][-1]['time']}",
            f"/resource/stop/{admin}/{name}/{image}/",
        ):
            status, body_ = await ask(session, path)
            assert status in {200, 404, 503}, (path, body_)
            if status == 503:
                assert str(position) in body_["error"], (path, body_)
                assert "newer" in body_["error"], (path, body_)


async def test_the_process_goes_on_serving(own: Api) -> None:
    admin, image = own.add_user(admin=True), add_image(own)
    container = request(own, admin, image, "x")
    async with own.basic(admin) as session:
        async with session.get("/events/?all=1", headers={"Accept": "text/event-stream"}) as answer:
            await answer.content.readline()  # now the process reads what is stored
            write_newer(own, container)
            other = request(own, admin, image, "y")
            async with asyncio.timeout(PATIENCE):
                while container_name(other).encode() not in await answer.content.readline():
                    pass
        assert (await ask(session, "/images/"))[0] == 200
        assert own.backend.parts.position("relay") == 0


async def test_the_relay_publishes_what_is_before_and_says_at_which_event_it_waits(
    make_backend: Callable[..., Backend], tmp_path: Path, free_port: int
) -> None:
    backend = make_backend(nats_url=f"nats://127.0.0.1:{free_port}", guacamole_database_url="")
    with nats_server(free_port, tmp_path / "nats"), served(backend, parts=[lambda: relaying.relay(backend)]) as api:
        last = api.backend.store.head()
        position, event_id = write_newer(api, api.user_id(api.add_user()))

        def is_told() -> bool:
            return any(part.name == "relay" and not part.ok for part in backend.parts.all())

        await asyncio.to_thread(wait_until, is_told, "the relay to tell that it waits")
        (part,) = [part for part in backend.parts.all() if part.name == "relay"]
        assert part.detail.startswith(named(position, event_id))
        async with backend.bus("test", patience=5) as bus:
            assert last < ((await bus.tail()).position or 0) == position - 1
    backend.close()


async def test_a_projection_that_stops_says_at_which_event_and_what_to_do(own: Api) -> None:
    admin, image = own.add_user(admin=True), add_image(own)
    container = request(own, admin, image, "x")
    position, event_id = write_newer(own, container)

    def detail() -> str:
        return next((part.detail for part in own.backend.parts.all() if part.name == "containers"), "")

    await asyncio.to_thread(wait_until, lambda: bool(detail()), "the projection to stop")
    assert detail().startswith(f"stopped before position {position}: {named(position, event_id)}")
    assert detail().endswith(ADVICE)
