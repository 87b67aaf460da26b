"""What is too much for one process is refused at once, and tells when to come back."""

import asyncio
import contextlib
import resource
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TypeVar
from urllib.parse import urlsplit
from uuid import uuid4

import aiohttp
import pytest
from prometheus_client import CollectorRegistry, Gauge
from tests.api.conftest import Api, served
from tests.builders import image_spec
from tests.conftest import PATIENCE

from calipso import settings
from calipso.api.load import Held, allow_files
from calipso.backend import Backend
from calipso.commands.image import AddImage
from calipso.errors import TooManyRequests, Unavailable
from calipso.events.values import Runtime

N = TypeVar("N", int, float)


def test_what_is_held_is_counted_by_user_and_in_all() -> None:
    gauge = Gauge("held", "", registry=CollectorRegistry())
    held = Held(settings.load(max_held_requests=3, max_held_requests_per_user=2), gauge)
    ada, bob, eve = uuid4(), uuid4(), uuid4()
    with contextlib.ExitStack() as stack:
        for user in (ada, ada, bob):
            stack.enter_context(held.by(user))
        with pytest.raises(TooManyRequests), held.by(ada):
            pass
        with pytest.raises(Unavailable), held.by(eve):
            pass
        assert next(iter(gauge.collect())).samples[0].value == 3
    with held.by(eve), held.by(eve):
        assert next(iter(gauge.collect())).samples[0].value == 2


@contextmanager
def bounded(make_backend: Callable[..., Backend], **given: int) -> Iterator[Api]:
    backend = make_backend(**given)
    try:
        with served(backend) as made:
            naming = backend.installation.naming
            spec = image_spec(runtime=Runtime.STATIC_LINK, reference="https://wiki.example/")
            made.obey(AddImage(image_id=naming.image("wiki"), name="wiki", spec=spec))
            yield made
    finally:
        backend.close()


async def until(ask: Callable[[], Awaitable[N]], is_wanted: Callable[[N], bool]) -> None:
    """Ask again and again until the answer is the one that is wanted."""
    async with asyncio.timeout(PATIENCE):
        while not is_wanted(await ask()):  # noqa: ASYNC110 - what is awaited is another process', as it were
            await asyncio.sleep(0.05)


async def held(api: Api) -> float:
    """The number of held runs, as monitoring sees it."""
    async with api.anonymous() as session, session.get("/metrics") as answer:
        lines = (await answer.text()).splitlines()
    prefix = 'calipso_held_requests{operation="run"} '
    return next(float(line.removeprefix(prefix)) for line in lines if line.startswith(prefix))


@asynccontextmanager
async def running(api: Api, session: aiohttp.ClientSession, name: str, number: int) -> AsyncIterator[None]:
    """Runs that nobody provisions, and that are held until the client goes away."""
    before = await held(api)
    tasks = [asyncio.create_task(_run(session, name, f"own{n}")) for n in range(number)]
    await until(lambda: held(api), lambda found: found >= before + number)
    yield
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def listed(session: aiohttp.ClientSession, name: str) -> int:
    async with session.get(f"/resource/list/{name}/") as answer:
        return len(await answer.json())


async def _run(session: aiohttp.ClientSession, name: str, label: str) -> tuple[int, str | None, dict[str, object]]:
    async with session.post(f"/resource/run/{name}/{label}/wiki/") as answer:
        return answer.status, answer.headers.get("Retry-After"), await answer.json()


async def test_runs_beyond_the_most_are_refused_and_heard_again_later(make_backend: Callable[..., Backend]) -> None:
    with bounded(make_backend, max_held_requests=3, max_held_requests_per_user=2) as api:
        ada, bob = api.add_user("ada"), api.add_user("bob")
        async with api.signed_in(ada) as hers, api.signed_in(bob) as his:
            async with running(api, hers, ada, 2), running(api, his, bob, 1):
                status, after, body = await _run(hers, ada, "more")
                assert (status, after) == (429, "5")
                assert body["error"] == "2 requests of this user wait for their outcome; try again in 5 s"
                status, after, body = await _run(his, bob, "more")
                assert (status, after) == (503, "5")
                assert "too many requests wait for their outcome" in str(body["error"])
                # what is not held is served, and refusals reserved nothing
                await until(lambda: listed(hers, ada), lambda found: found == 2)
            await until(lambda: held(api), lambda found: found == 0)
            async with running(api, hers, ada, 0), hers.get("/images/") as answer:
                assert answer.status == 200


@contextmanager
def idle(api: Api, number: int) -> Iterator[list[socket.socket]]:
    """Connections on which nothing is asked."""
    address = urlsplit(api.url)
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(socket.create_connection((address.hostname, address.port))) for _ in range(number)]


async def test_connections_beyond_the_most_are_answered_and_ended(
    make_backend: Callable[..., Backend], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("calipso.api.load._TO_REFUSE", 3)
    with bounded(make_backend, max_connections=4) as api:
        name = api.add_user()
        with idle(api, 4):
            async with api.anonymous() as session:
                async with session.get("/settings/") as answer:
                    assert (answer.status, answer.headers["Retry-After"]) == (503, "5")
                    assert answer.headers["Connection"] == "close"
                async with session.get("/health/live") as answer:
                    assert answer.status == 200
            with idle(api, 3), pytest.raises(aiohttp.ClientConnectionError):
                async with api.anonymous() as session, session.get("/settings/"):
                    pass

        async def status() -> int:
            async with api.basic(name) as session, session.get("/images/") as answer:
                return answer.status

        await until(status, lambda found: found == 200)


def test_a_process_may_open_as_many_files_as_its_connections_need() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (1024, before[1]))
        allow_files(settings.load(max_connections=600))
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == min(2100, before[1])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
