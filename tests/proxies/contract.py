"""What holds behind every web server that `ops` has a file for."""

import asyncio
import io
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, asynccontextmanager
from dataclasses import dataclass, field

import pytest
from aiohttp import web
from tests.api.conftest import PASSWORD, Api, basic
from tests.conftest import PATIENCE
from tests.proxies.conftest import NEVER_STARTED, RUN_LIMIT, Browse
from tests.proxies.fronts import PREFIX, SECRET, Front
from yarl import URL

from calipso.accounts import ATTEMPTS_LIMIT

SPOOFED = {
    "X-Forwarded-For": "192.0.2.66",
    "X-Forwarded-Host": "evil.example",
    "X-Forwarded-Port": "666666",
    "X-Forwarded-Prefix": "/evil",
    "X-Forwarded-Proto": "http",
    "X-Forwarded-Server": "evil.example",
    "X-Real-IP": "192.0.2.66",
    "Forwarded": "for=192.0.2.66;host=evil.example",
    "X-Calipso-Proxy-Secret": "guessed",
    "EAAHash": "stolen",
    "uid": "somebody",
}
UNDERSCORED = {name.replace("-", "_"): value for name, value in SPOOFED.items() if "-" in name}

Begin = Callable[[int], AbstractContextManager[Front]]


@dataclass
class Upstream:
    """A server that tells what arrives at it."""

    port: int = 0
    asked: list[web.Request] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    go_on: asyncio.Event = field(default_factory=asyncio.Event)

    async def tell(self, request: web.Request) -> web.StreamResponse:
        """Keep a request; answer it with a stream of events when it asks for one."""
        self.asked.append(request)
        if request.path.endswith("/socket"):
            return await _echo(request)
        self.bodies.append(await request.read())
        if not request.path.endswith("/events"):
            return web.json_response({})
        answer = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await answer.prepare(request)
        await answer.write(b"data: first\n\n")
        await self.go_on.wait()
        await answer.write(b"data: second\n\n")
        return answer


async def _echo(request: web.Request) -> web.WebSocketResponse:
    socket = web.WebSocketResponse(protocols=("chat",))
    await socket.prepare(request)
    async for message in socket:
        await socket.send_str(f"echo {message.data}")
    return socket


@asynccontextmanager
async def upstream() -> AsyncIterator[Upstream]:
    """A server that tells what arrives at it."""
    made, app = Upstream(), web.Application(client_max_size=2**24)
    app.router.add_route("*", "/{path:.*}", made.tell)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        made.port = runner.addresses[0][1]
        yield made
    finally:
        await runner.cleanup()


class FrontContract:
    """Subclasses are in modules with a fixture `front`, before the API, and `begin`, which takes another port."""

    async def test_signing_in(self, front: Front, api: Api, browse: Browse) -> None:
        body = {"username": api.add_user(), "password": PASSWORD}
        async with browse() as session:
            async with session.post(f"{front.url}/login/", json=body) as answer:
                assert answer.status == 200
                assert [(bool(cookie["secure"]), cookie["path"]) for cookie in answer.cookies.values()] == [
                    (True, "/"),
                    (True, "/"),
                ]
            async with session.get(f"{front.url}/authenticated/") as answer:
                assert answer.status == 200
            async with session.get(f"{front.url}/logout/") as answer:
                assert bool(answer.cookies["sessionid"]["secure"])

    async def test_links_of_pages(self, front: Front, api: Api, browse: Browse) -> None:
        names = [api.add_user() for _ in range(21)]
        headers = {"Authorization": basic(names[0], PASSWORD), **SPOOFED}
        following = ""
        async with browse(headers=headers) as session:
            while not following:  # until the read model has all of them
                async with session.get(f"{front.url}/users/?search=user-&page=1&ordering=username") as answer:
                    following = (await answer.json())["next"] or ""
            assert following == f"{front.url}/users/?ordering=username&page=2&search=user-"
            async with session.get(following) as answer:
                assert (await answer.json())["previous"] == f"{front.url}/users/?ordering=username&search=user-"

    async def test_a_missing_slash_leads_to_the_outer_address(self, front: Front, browse: Browse) -> None:
        async with browse() as session:
            async with session.get(f"{front.url}/settings?a=b", allow_redirects=False) as answer:
                assert answer.status == 301
                assert answer.headers["Location"] in {f"{PREFIX}/settings/?a=b", f"{front.url}/settings/?a=b"}
            async with session.get(f"{front.url}/settings") as answer:
                assert (answer.status, str(answer.url)) == (200, f"{front.url}/settings/")

    async def test_questions_of_browsers(self, front: Front, browse: Browse) -> None:
        async with browse() as session:
            async with session.options(f"{front.url}/login/") as answer:
                assert answer.headers["Allow"] == "OPTIONS, POST"
            async with session.head(f"{front.url}/settings/") as answer:
                assert (answer.status, await answer.read()) == (200, b"")
            async with session.get(f"https://{front.authority}/settings/") as answer:
                assert answer.status == 404

    @pytest.mark.parametrize("path", ["/health", "/health/ready", "/metrics", "/metrics?x", "/%6detrics", "//metrics"])
    async def test_what_is_for_monitoring_is_not_published(self, front: Front, browse: Browse, path: str) -> None:
        async with browse() as session, session.get(URL(front.url + path, encoded=True)) as answer:
            assert answer.status == 404

    async def test_guesses_are_counted_by_client(self, front: Front, api: Api, browse: Browse) -> None:
        name = api.add_user()

        async def status_of(address: str, password: str, **headers: str) -> int:
            body = {"username": name, "password": password}
            async with (
                browse(address) as session,
                session.post(f"{front.url}/login/", json=body, headers=headers) as answer,
            ):
                return answer.status

        for number in range(ATTEMPTS_LIMIT):
            spoofed = {"X-Forwarded-For": f"198.51.100.{number}", "Forwarded": f"for=198.51.100.{number}"}
            assert await status_of("127.0.0.3", "wrong", **spoofed) == 401
        assert await status_of("127.0.0.3", PASSWORD) == 429
        assert await status_of("127.0.0.4", PASSWORD) == 200

    async def test_a_held_request(self, front: Front, api: Api, browse: Browse) -> None:
        name, began = api.add_user(), time.monotonic()
        headers = {"Authorization": basic(name, PASSWORD)}
        async with browse(headers=headers) as session:
            path = f"/resource/run/{name}/own/{NEVER_STARTED}/"
            async with session.post(f"{front.url}{path}") as answer:
                assert answer.status == 504
                assert "error" in await answer.json()
        assert time.monotonic() - began >= RUN_LIMIT

    async def test_a_body_that_is_too_large(self, front: Front, browse: Browse) -> None:
        async with browse() as session:
            async with session.post(f"{front.url}/login/", data=io.BytesIO(b"x" * (2**20 + 1))) as answer:
                assert answer.status == 413, await answer.text()
            async with session.post(f"{front.url}/login/", data=io.BytesIO(b"x" * 2**20)) as answer:
                assert answer.status == 400

    async def test_around_the_front_nothing_is_believed(self, front: Front, api: Api, browse: Browse) -> None:
        url = f"http://127.0.0.1:{front.upstream}"
        headers = {**SPOOFED, "X-Calipso-Proxy-Secret": SECRET, "X-Forwarded-Proto": "https"}
        body = {"username": api.add_user(), "password": PASSWORD}
        async with browse("127.0.0.9", headers=headers) as session:
            async with session.get(f"{url}/settings", allow_redirects=False) as answer:
                assert answer.headers["Location"] == "/settings/"
            async with session.post(f"{url}/login/", json=body) as answer:
                assert [bool(cookie["secure"]) for cookie in answer.cookies.values()] == [False] * 2

    async def test_what_arrives(self, begin: Begin, browse: Browse) -> None:
        async with upstream() as behind:
            with begin(behind.port) as front:
                async with (
                    browse(headers={**SPOOFED, **UNDERSCORED, "Cookie": "a=b"}) as session,
                    session.get(URL(f"{front.url}/images/a%20b%25%C3%A9/?x=%2F", encoded=True)) as answer,
                ):
                    assert answer.status == 200
        asked = behind.asked[0]
        assert asked.raw_path == "/images/a%20b%25%C3%A9/?x=%2F"
        assert asked.headers["Cookie"] == "a=b"
        assert asked.headers.getall("X-Forwarded-For") == ["127.0.0.2"]
        assert asked.headers.getall("X-Forwarded-Proto") == ["https"]
        assert asked.headers.getall("X-Forwarded-Host") == [front.authority]
        assert asked.headers.getall("X-Forwarded-Prefix") == [PREFIX]
        assert asked.headers["Host"] == front.authority
        told = " ".join(value for name, value in asked.headers.items() if name != "X-Forwarded-Proto")
        assert not [value for value in SPOOFED.values() if value != "http" and value in told]
        assert not [name for name in asked.headers if "_" in name]

    async def test_web_services_of_containers(self, begin: Begin, browse: Browse) -> None:
        async with upstream() as behind:
            with begin(behind.port) as front:
                await _use_services(front, behind, browse)

    async def test_events_pass_as_they_come(self, begin: Begin, browse: Browse) -> None:
        async with upstream() as behind:
            with begin(behind.port) as front:
                async with browse() as session, session.get(f"{front.url}/events") as answer:
                    assert await asyncio.wait_for(answer.content.readuntil(b"\n\n"), PATIENCE) == b"data: first\n\n"
                    behind.go_on.set()
                    assert await asyncio.wait_for(answer.content.readuntil(b"\n\n"), PATIENCE) == b"data: second\n\n"

    @pytest.mark.parametrize(
        "framing",
        [
            b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
            b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
            b"Content-Length : 5\r\n\r\nhello",
        ],
    )
    async def test_nothing_is_smuggled(self, begin: Begin, framing: bytes) -> None:
        smuggled = b"GET /calipsoplus-services/smuggled HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        async with upstream() as behind:
            with begin(behind.port) as front:
                await _send(front, b"POST /calipsoplus-services/login/ HTTP/1.1\r\nHost: x\r\n" + framing + smuggled)
        # a front that goes on with the connection passes on two whole requests, not one within another
        assert not [body for body in behind.bodies if b"smuggled" in body]
        for asked in behind.asked:
            assert not ({"Content-Length", "Transfer-Encoding"} <= set(asked.headers))


async def _send(front: Front, request: bytes) -> None:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    reader, writer = await asyncio.open_connection("127.0.0.1", front.port, ssl=context)
    writer.write(request)
    try:
        await asyncio.wait_for(reader.read(65536), PATIENCE)
    finally:
        # at once: a front that refused may not read its end before the loop ends
        writer.transport.abort()


async def _use_services(front: Front, behind: Upstream, browse: Browse) -> None:
    async with browse() as session:
        below = f"{front.url}/web/1/"
        async with session.ws_connect(f"{below}socket?a=1", protocols=("chat",), headers=SPOOFED) as socket:
            await socket.send_str("hello")
            assert (await socket.receive_str(), socket.protocol) == ("echo hello", "chat")
        (asked,) = behind.asked
        assert (asked.raw_path, asked.headers["X-Forwarded-Prefix"]) == ("/web/1/socket?a=1", PREFIX)
        assert not {"EAAHash", "uid"} & set(asked.headers)
        address = URL(f"{below}a%2Fb%20c;d?e=%2F", encoded=True)
        async with session.put(address, data=io.BytesIO(b"x" * 5 * 2**20)) as answer:
            assert answer.status == 200
        assert behind.asked[-1].raw_path == "/web/1/a%2Fb%20c;d?e=%2F"
        assert len(behind.bodies[-1]) == 5 * 2**20
        for path in ("/web/../metrics", "/web/%2e%2e/metrics", "/web/../../web/1/"):
            async with session.get(URL(front.url + path, encoded=True)) as answer:
                assert answer.status == 404
