"""The web service of a container through the API: as it is, for its owner, and nothing of ours for it."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from io import BytesIO
from typing import Any
from uuid import UUID, uuid4

import aiohttp
import pytest
from tests.api.conftest import Api, make_backend, served  # noqa: F401 - fixtures
from tests.api.visitors import People, Visitor, obey, people_of
from tests.conftest import find_free_port
from tests.portal import service
from yarl import URL

from calipso import credentials
from calipso.backend import Backend
from calipso.commands.container import ClaimContainer, RecordContainerStarted, RecordContainerStopped, StopContainer
from calipso.commands.image import AddImage
from calipso.commands.request import RequestContainer, TargetOffered
from calipso.events.values import ImageSpec, Placement, Protocol, Resources, Runtime

OWN = "http://portal.example.org"


@pytest.fixture(scope="module", params=["/", "/calipso/"])
def api(make_backend: Callable[..., Backend], request: pytest.FixtureRequest) -> Iterator[Api]:  # noqa: F811 - the fixture
    backend = make_backend(base_path=request.param, max_resources_per_user=100)
    try:
        with served(backend) as made:
            yield replace(made, base_path=request.param.rstrip("/"))
    finally:
        backend.close()


@pytest.fixture(scope="module")
def people(api: Api) -> People:
    return people_of(api)


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with service.serving() as found:
        yield found


@dataclass(frozen=True, kw_only=True)
class Notebook:
    """A container with a web service that runs."""

    owner: Visitor
    container_id: UUID
    shown: Mapping[str, Any]

    @property
    def path(self) -> str:
        return f"/web/{self.container_id}/"

    @property
    def outer(self) -> str:
        return f"{self.owner.api.base_path}{self.path}"

    @property
    def own(self) -> str:
        """Its address as the API tells it."""
        return f"{self.owner.api.url}{self.outer}"

    @asynccontextmanager
    async def browser(self, visitor: Visitor | None = None, **headers: str) -> AsyncIterator[aiohttp.ClientSession]:
        async with self.owner.api.signed_in((visitor or self.owner).name) as session:
            del session.headers["X-CSRFToken"]
            session.headers["Host"] = "portal.example.org"
            session.headers.update({name.replace("_", "-"): value for name, value in headers.items()})
            yield session

    def at(self, rest: str) -> URL:
        return URL(f"{self.own}{rest}", encoded=True)


async def start(
    owner: Visitor,
    port: int,
    *,
    parameters: Mapping[str, str] | None = None,
    runtime: Runtime = Runtime.DOCKER,
    link: str | None = None,
) -> Notebook:
    api, name, container_id = owner.api, uuid4().hex, uuid4()
    naming = api.backend.installation.naming
    spec = ImageSpec(
        reference="jupyter:7",
        runtime=runtime,
        protocol=Protocol.HTTP,
        resources=Resources(millicores=1, memory=1, disk=1),
        parameters=parameters or {},
    )
    image = AddImage(image_id=naming.image(name), name=name, spec=spec)
    request = RequestContainer(
        container_id=container_id,
        user_id=owner.user_id,
        image_id=image.image_id,
        image_name=name,
        label=name,
        info=name,
        targets=(TargetOffered(target_id=naming.target("docker"), name="docker"),),
    )
    place = f"http://127.0.0.1:{port}/" if link is None else link
    placement = Placement(runtime_id="9f86", name="calipso-9f86", host="127.0.0.1", port=port, link=place)
    claimed = ClaimContainer(container_id=container_id, claimant="docker/0")
    started = RecordContainerStarted(
        container_id=container_id, claimant="docker/0", placement=placement, image_digest="sha256:9f86"
    )
    obey(api, image, request, claimed, started)
    found = next(each for each in (await owner.get("/containers/")).json() if each["public_name"] == name)
    return Notebook(owner=owner, container_id=container_id, shown=found)


async def test_the_service_is_asked_as_the_browser_asked(people: People, port: int) -> None:
    notebook = await start(people.ada, port)
    assert notebook.shown["host_port"] == notebook.own
    async with (
        notebook.browser(Referer="https://x/", X_Own="1") as session,
        session.get(notebook.at("a%20b/%C3%A9;c?d=1&d=%2F")) as answer,
    ):
        told = await answer.json()
        assert (answer.status, answer.headers["X-Own"]) == (200, "kept")
    assert (told["method"], told["path"]) == ("GET", f"{notebook.outer}a%20b/%C3%A9;c?d=1&d=%2F")
    sent = told["headers"]
    assert sent["host"] == sent["x-forwarded-host"] == "portal.example.org"
    assert (sent["x-forwarded-proto"], sent["x-forwarded-for"]) == ("http", "127.0.0.1")
    assert sent["x-forwarded-prefix"] == notebook.outer.rstrip("/")
    assert (sent["referer"], sent["x-own"]) == ("https://x/", "1")


@pytest.mark.parametrize("method", ["PUT", "POST", "PATCH", "DELETE"])
async def test_what_is_sent_is_passed_on_in_any_size(people: People, port: int, method: str) -> None:
    notebook, size = await start(people.ada, port), 5 * 2**20

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(size // len(service.PIECE)):
            yield service.PIECE

    async with notebook.browser(Origin=OWN, Sec_Fetch_Site="same-origin") as session:
        for body in (BytesIO(b"\0" * size), pieces()):
            async with session.request(method, notebook.at("upload"), data=body) as answer:
                told = await answer.json()
                assert (answer.status, told["method"], told["size"]) == (200, method, size)


async def test_a_service_without_a_path_of_its_own(people: People, port: int) -> None:
    notebook = await start(people.ada, port, parameters={"prefix": "strip"})
    async with notebook.browser() as session:
        async with session.get(notebook.at("deep/page?x=1")) as answer:
            assert (await answer.json())["path"] == "/deep/page?x=1"
        for place, seen in (
            ("/login?next=%2F", f"http://portal.example.org{notebook.outer}login?next=%2F"),
            (f"http://127.0.0.1:{port}/login", f"http://portal.example.org{notebook.outer}login"),
            ("relative/page", "relative/page"),
            ("https://elsewhere.example.org/", "https://elsewhere.example.org/"),
        ):
            async with session.get(notebook.at("redirect"), params={"to": place}, allow_redirects=False) as answer:
                assert (answer.status, answer.headers["Location"]) == (302, seen)


async def test_neither_our_cookies_nor_credentials_reach_it(people: People, port: int) -> None:
    notebook = await start(people.ada, port)
    async with notebook.browser(Authorization="token t", EAAHash="x", X_Real_IP="1.2.3.4") as session:
        session.cookie_jar.update_cookies({"theme": "dark"}, URL(notebook.owner.api.url))
        async with session.get(notebook.at("")) as answer:
            sent = (await answer.json())["headers"]
    assert sent["cookie"] == "theme=dark"
    assert sent["authorization"] == "token t"
    assert not {"eaahash", "x-real-ip", "x-csrftoken"} & set(sent)
    told = json.loads((await people.ada.get(notebook.path)).body)
    assert "authorization" not in told["headers"]


async def test_what_it_answers_stays_below_its_path(people: People, port: int) -> None:
    notebook = await start(people.ada, port)
    async with notebook.browser() as session, session.get(notebook.at("")) as answer:
        assert answer.headers.getall("Set-Cookie") == [f"theme=dark; HttpOnly; Path={notebook.outer}"]
        dropped = {"Access-Control-Allow-Origin", "Service-Worker-Allowed", "Clear-Site-Data"}
        assert not dropped & set(answer.headers)


async def test_answers_come_as_they_are_said(people: People, port: int) -> None:
    notebook = await start(people.ada, port)
    async with notebook.browser() as session, session.get(notebook.at("stream")) as answer:
        assert answer.headers["Content-Type"] == "text/event-stream"
        assert await answer.content.readuntil(b"\n\n") == b"data: one\n\n"
        async with session.get(notebook.at("more")) as other:
            assert other.status == 204
        assert await answer.content.readuntil(b"\n\n") == b"data: two\n\n"
        assert await answer.content.read() == b""


async def test_a_large_answer(people: People, port: int) -> None:
    notebook, size = await start(people.ada, port), 0
    async with notebook.browser() as session, session.get(notebook.at("large?pieces=800")) as answer:
        async for piece in answer.content.iter_any():
            size += len(piece)
    assert size == 800 * len(service.PIECE)


async def test_an_answer_that_breaks_off_is_not_taken_for_whole(people: People, port: int) -> None:
    notebook = await start(people.ada, port)
    async with notebook.browser() as session:
        with pytest.raises(aiohttp.ClientError):
            async with session.get(notebook.at("cut")) as answer:
                await answer.read()
        async with session.get(notebook.at("")) as answer:
            assert answer.status == 200


async def test_head(people: People, port: int) -> None:
    notebook = await start(people.ada, port)
    answer = await people.ada.ask("HEAD", notebook.path)
    assert (answer.status, answer.body, answer.headers["X-Own"]) == (200, b"", "kept")


async def test_messages_go_both_ways(people: People, port: int) -> None:
    notebook = await start(people.ada, port)
    async with (
        notebook.browser(Origin=OWN) as session,
        session.ws_connect(notebook.at("socket?k=1"), protocols=("first", "other")) as socket,
    ):
        assert socket.protocol == "first"
        told = await socket.receive_json()
        assert told["path"] == f"{notebook.outer}socket?k=1"
        assert "cookie" not in told["headers"]
        assert told["headers"]["origin"] == OWN
        await socket.send_str("hello")
        assert await socket.receive_str() == "echo hello"
        await socket.send_bytes(b"abc" * 10**6)
        assert await socket.receive_bytes() == b"cba" * 10**6
        await socket.send_str("end")
        assert (await socket.receive()).type is aiohttp.WSMsgType.CLOSE
        assert socket.close_code == 4001


async def test_a_browser_that_goes_away_ends_the_other_side(people: People, port: int) -> None:
    notebook = await start(people.ada, port)
    async with notebook.browser(Origin=OWN) as session:
        for _ in range(20):
            async with session.ws_connect(notebook.at("socket")) as socket:
                await socket.receive_json()
                await socket.send_str("x")
        async with session.get(notebook.at("")) as answer:
            assert answer.status == 200


@pytest.mark.parametrize("rest", ["", "socket"])
async def test_nobody_else_gets_there(people: People, port: int, rest: str) -> None:
    notebook = await start(people.ada, port)
    upgrade = {"Connection": "Upgrade", "Upgrade": "websocket"} if rest else {}
    for visitor in (people.bob, people.admin):
        async with notebook.browser(visitor) as session, session.get(notebook.at(rest), headers=upgrade) as answer:
            assert answer.status == 404
    async with people.ada.api.anonymous() as session, session.get(notebook.at(rest), headers=upgrade) as answer:
        assert answer.status == 403


async def test_whoever_signs_out_is_out_at_once(people: People, port: int) -> None:
    notebook = await start(people.ada, port)
    async with notebook.browser() as session:
        async with session.get(notebook.at("")) as answer:
            assert answer.status == 200
        async with session.get(f"{people.ada.api.base_path}/logout/") as answer:
            assert answer.status == 200
        async with session.get(notebook.at("")) as answer:
            assert answer.status == 403


@pytest.mark.parametrize(
    ("method", "headers", "status"),
    [
        ("GET", {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}, 200),
        ("GET", {"Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "navigate"}, 200),
        ("GET", {"Sec-Fetch-Site": "same-origin", "Origin": OWN}, 200),
        ("GET", {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}, 403),
        ("GET", {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors"}, 403),
        ("GET", {"Origin": "https://evil.example.org"}, 403),
        ("POST", {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}, 403),
        ("POST", {"Origin": "https://evil.example.org"}, 403),
        ("POST", {"Origin": "null"}, 403),
        ("POST", {"Origin": OWN, "Sec-Fetch-Site": "same-origin"}, 200),
    ],
)
async def test_other_sites_cannot_use_it(
    people: People, port: int, method: str, headers: dict[str, str], status: int
) -> None:
    notebook = await start(people.ada, port)
    async with notebook.browser() as session, session.request(method, notebook.at(""), headers=headers) as answer:
        assert answer.status == status


@pytest.mark.parametrize("origin", ["https://evil.example.org", "null", "http://portal.example.org.evil.example"])
async def test_other_sites_cannot_open_its_sockets(people: People, port: int, origin: str) -> None:
    notebook = await start(people.ada, port)
    async with notebook.browser(Origin=origin) as session:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await session.ws_connect(notebook.at("socket"))
    assert refused.value.status == 403


async def test_a_token_is_in_the_address_of_the_owner_alone(people: People, port: int) -> None:
    notebook = await start(people.ada, port, parameters={"token": "token"}, link=f"http://127.0.0.1:{port}/?a=1")
    backend = people.ada.api.backend
    secret = credentials.vnc_password(backend.keys, backend.keys.current, notebook.container_id)
    own = notebook.own
    assert notebook.shown["host_port"] == f"{own}?a=1&token={secret}"
    assert (await people.admin.get(f"/containers/{notebook.shown['id']}")).json()["host_port"] == own
    entered = await people.ada.ask("POST", f"/containers/{notebook.shown['id']}/enter")
    assert entered.json() == {"url": f"{own}?a=1&token={secret}"}


async def test_a_service_that_is_away(people: People) -> None:
    notebook = await start(people.ada, find_free_port())
    async with notebook.browser(Origin=OWN) as session:
        async with session.get(notebook.at("")) as answer:
            assert answer.status == 503
            assert "the container is not available" in (await answer.json())["error"]
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await session.ws_connect(notebook.at("socket"))
        assert refused.value.status == 503


async def test_a_container_that_has_ended(people: People, port: int) -> None:
    notebook = await start(people.ada, port)
    api, container_id = people.ada.api, notebook.container_id
    obey(api, StopContainer(container_id=container_id), RecordContainerStopped(container_id=container_id))
    answer = await people.ada.get(notebook.path)
    assert (answer.status, answer.json()["error"]) == (
        409,
        "container: it is stopped; it can be opened while it is running",
    )
    assert (await people.ada.get(f"/web/{uuid4()}/")).status == 404
    assert (await people.ada.get("/web/1/")).status == 404


async def test_many_at_once(people: People, port: int) -> None:
    notebook = await start(people.ada, port)
    async with notebook.browser() as session:

        async def ask(number: int) -> str:
            async with session.get(notebook.at(f"page{number}")) as answer:
                return str((await answer.json())["path"])

        assert await asyncio.gather(*map(ask, range(200))) == [f"{notebook.outer}page{n}" for n in range(200)]
