"""Streams of events when nothing happens, when there are too many, and when what they rest on ends."""

import asyncio
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
import pytest
from tests.api.conftest import Api, served
from tests.api.living import SSE, add_image, live, request, told, write_newer
from tests.conftest import PATIENCE, wait_until

from calipso.backend import Backend
from calipso.commands.user import GrantRole, RevokeRole
from calipso.embedded import Embedded
from calipso.erasing import erase
from calipso.events.naming import container_name
from calipso.events.user import Role


@pytest.fixture
def own(make_backend: Callable[..., Backend], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Api]:
    """A served installation that a test may break, and that bears few streams."""
    # whatever ends, ends because of what happened, and not because it is looked at now and then
    monkeypatch.setattr("calipso.api.live._KEEP_ALIVE_SECONDS", 2 * PATIENCE)
    backend = make_backend(max_held_requests=3, max_held_requests_per_user=2, backups=tmp_path)
    try:
        with served(backend) as made:
            yield made
    finally:
        backend.close()


async def begun(answer: aiohttp.ClientResponse) -> None:
    """Wait for the first line of a stream."""
    assert await answer.content.readline() == b": alive\n"


async def ended(answer: aiohttp.ClientResponse) -> bytes:
    """The rest of a stream, which ends in order."""
    async with asyncio.timeout(PATIENCE):
        return await answer.content.read()


async def gauge(api: Api) -> float:
    """The number of streams that are open, as monitoring sees it."""
    async with api.anonymous() as session, session.get("/metrics") as answer:
        lines = (await answer.text()).splitlines()
    prefix = 'calipso_held_requests{operation="follow"} '
    return float(next(line.removeprefix(prefix) for line in lines if line.startswith(prefix)))


async def test_a_line_comes_while_nothing_happens(own: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("calipso.api.live._KEEP_ALIVE_SECONDS", 1.2)  # the database is listened to by the second
    ada = own.add_user()
    async with own.basic(ada) as session, session.get("/events/", headers=SSE) as answer:
        async with asyncio.timeout(PATIENCE):
            for n in range(3):
                assert await answer.content.readline() == b": alive\n"
                position = int((await answer.content.readline()).removeprefix(b"id: "))
                assert await answer.content.readline() == b"\n"
                if n == 1:
                    await asyncio.to_thread(own.add_user)  # whatever else rings in between
        assert position <= own.backend.store.head()


async def test_streams_beyond_the_most_are_refused_and_heard_again_later(own: Api) -> None:
    ada, bob = own.add_user(), own.add_user()
    async with own.basic(ada) as hers, own.basic(bob) as his:
        async with hers.get("/events/", headers=SSE), hers.get("/events/", headers=SSE):
            async with hers.get("/events/", headers=SSE) as answer:
                assert (answer.status, answer.headers["Retry-After"]) == (429, "5")
            async with his.get("/events/", headers=SSE), his.get("/events/", headers=SSE) as answer:
                assert (answer.status, answer.headers["Retry-After"]) == (503, "5")
        async with asyncio.timeout(PATIENCE):
            while await gauge(own):  # noqa: ASYNC110 - what is awaited is the server's
                await asyncio.sleep(0.02)
        async with hers.get("/events/", headers=SSE) as answer:
            assert answer.status == 200


async def test_it_ends_in_order_and_at_once_with_the_server(
    make_backend: Callable[..., Backend], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("calipso.api.server._FINISH_SECONDS", PATIENCE)  # only then would they be cut off
    backend = make_backend()
    loop = asyncio.get_running_loop()
    async with AsyncExitStack() as stack:
        with served(backend) as api:
            session = await stack.enter_async_context(api.basic(api.add_user()))
            streams = [await session.get("/events/", headers=SSE) for _ in range(3)]
            for answer in streams:
                await begun(answer)
            began = loop.time()
        assert loop.time() - began < PATIENCE / 2
        for answer in streams:
            await ended(answer)
    backend.close()


async def signed_out_everywhere(api: Api, name: str) -> None:
    api.backend.logins.close_all(api.user_id(name))


async def erased(api: Api, name: str) -> None:
    erase(api.backend, api.user_id(name), "service:test")


@pytest.mark.parametrize("end", [signed_out_everywhere, erased])
async def test_it_ends_when_the_login_does(own: Api, end: Callable[[Api, str], Awaitable[None]]) -> None:
    ada = own.add_user()
    async with own.signed_in(ada) as session, session.get("/events/", headers=SSE) as answer:
        await begun(answer)
        await end(own, ada)
        await ended(answer)
        async with session.get("/events/", headers=SSE) as again:
            assert again.status == 403


async def test_it_ends_when_the_password_is_another(own: Api) -> None:
    ada = own.add_user()
    async with own.basic(ada) as session, session.get("/events/", headers=SSE) as answer:
        await begun(answer)
        own.backend.passwords.set(own.user_id(ada), "another horse, another battery")
        await ended(answer)


async def test_it_ends_for_who_follows_all_with_the_role(own: Api) -> None:
    ada = own.add_user()
    own.obey(GrantRole(user_id=own.user_id(ada), role=Role.ADMINISTRATOR))
    async with (
        own.basic(ada) as session,
        session.get("/events/?all=1", headers=SSE) as all_of_them,
        session.get("/events/", headers=SSE) as hers,
    ):
        await begun(all_of_them)
        await begun(hers)
        own.obey(RevokeRole(user_id=own.user_id(ada), role=Role.ADMINISTRATOR))
        await ended(all_of_them)
        mine = request(own, ada, add_image(own), "x")  # her own she may still see
        assert (await told(hers, 1))[0]["container_name"] == container_name(mine)


async def test_who_signs_out_is_told_no_more_of_what_was(own: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("calipso.api.live._BATCH", 1)
    ada, image = own.add_user(admin=True), add_image(own)
    for n in range(40):
        live(own, request(own, ada, image, f"own {n}"))
    async with own.signed_in(ada) as session:
        headers = SSE | {"Last-Event-ID": "0"}
        async with session.get("/events/?all=1", headers=headers) as answer:
            seen = await told(answer, 2)
            own.backend.logins.close_all(own.user_id(ada))
            rest = await ended(answer)
    assert len(seen) + rest.count(b"data: ") < 40 * 5


async def test_own_states_of_long_ago_come_in_the_order_of_the_store(own: Api) -> None:
    ada, bob, image = own.add_user(), own.add_user(), add_image(own)
    first = request(own, ada, image, "first")
    live(own, first)
    for n in range(30):
        live(own, request(own, bob, image, f"his {n}"))
    live(own, second := request(own, ada, image, "second"))
    head = own.backend.store.head()
    wait_until(lambda: own.backend.parts.position("containers") >= head, "the containers to be shown")
    async with own.basic(ada) as session, session.get("/events/", headers=SSE | {"Last-Event-ID": "0"}) as answer:
        seen = await told(answer, 10)
    assert [each["container_name"] for each in seen] == [container_name(first)] * 5 + [container_name(second)] * 5
    assert [each["position"] for each in seen] == sorted(int(str(each["position"])) for each in seen)


@pytest.fixture
def server() -> Iterator[Embedded]:
    """A PostgreSQL that a test may stop and start."""
    with tempfile.TemporaryDirectory(prefix="calipso-pg-", dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        embedded = Embedded(Path(folder) / "data")
        try:
            yield embedded
        finally:
            embedded.stop()


async def test_it_goes_on_when_the_store_was_away(make_backend: Callable[..., Backend], server: Embedded) -> None:
    backend = make_backend(database_url=server.start().database_url, guacamole_database_url="")
    with served(backend) as api:
        ada, image = api.add_user(), add_image(api)
        async with api.signed_in(ada) as session, session.get("/events/", headers=SSE) as answer:
            await begun(answer)
            await asyncio.to_thread(server.stop)
            async with asyncio.timeout(PATIENCE):
                while await answer.content.readline() != b": alive\n":
                    pass
            await asyncio.to_thread(server.start)
            hers = await asyncio.to_thread(request, api, ada, image, "after")
            (found,) = await told(answer, 1)
            assert (found["container_name"], found["container_status"]) == (container_name(hers), "busy")
    backend.close()


async def test_a_container_that_a_newer_program_wrote_of_hides_no_other(own: Api) -> None:
    ada, image = own.add_user(), add_image(own)
    async with own.basic(ada) as session, session.get("/events/", headers=SSE) as answer:
        await begun(answer)
        dreamed = request(own, ada, image, "dreamed")
        write_newer(own, dreamed)
        live(own, other := request(own, ada, image, "other"))
        seen = await told(answer, 6)
    assert {each["container_name"] for each in seen} == {container_name(dreamed), container_name(other)}
