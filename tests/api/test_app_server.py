"""One API process: how it begins, how it ends, what it logs."""

import asyncio
import contextlib
import gc
import http.client
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import pytest
from sanic import Blueprint, HTTPResponse, Request
from tests.api.conftest import PASSWORD, Api, basic, served
from tests.conftest import PATIENCE, wait_until

from calipso.api.app import BLUEPRINTS, create_app
from calipso.api.server import listening, runner, serving
from calipso.backend import Backend
from calipso.commands.image import AddImage
from calipso.errors import Invalid
from calipso.events.values import ImageSpec, Protocol, Resources, Runtime
from calipso.supervisor import GRACE_SECONDS

IMAGE = "never-started"


@pytest.fixture(scope="module")
def backend(make_backend: Callable[..., Backend]) -> Iterator[Backend]:
    """A prepared installation with an image, which nothing starts."""
    made = make_backend(guacamole_database_url="")
    spec = ImageSpec(
        reference="https://example.org/", runtime=Runtime.STATIC_LINK, protocol=Protocol.NONE, resources=Resources()
    )
    image_id = made.installation.naming.image(IMAGE)
    Api(url="", backend=made).obey(AddImage(image_id=image_id, name=IMAGE, spec=spec))
    yield made
    made.close()


class Process:
    """An API process of its own."""

    def __init__(self, backend: Backend, port: int, folder: Path, program: str = "api") -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.log = folder / f"log-{port}"
        environment = {
            **os.environ,
            "CALIPSO_DATABASE_URL": backend.settings.database_url,
            "CALIPSO_MASTER_KEYS": backend.settings.master_keys.get_secret_value(),
            "CALIPSO_LOG_LEVEL": "debug",  # nothing may be told at any level
            "CALIPSO_PORT": str(port),
        }
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "calipso", program], env=environment, stdout=log, stderr=log
            )

    def text(self) -> str:
        """What it printed."""
        return self.log.read_text()

    def until_serving(self) -> "Process":
        """Wait until it serves."""
        wait_until(lambda: "event=serving" in self.text() or self.process.poll() is not None, "the API to serve")
        assert self.process.poll() is None, self.text()
        return self

    def end(self, number: int = signal.SIGTERM) -> tuple[int, float]:
        """Ask it to end; gives its exit status and the seconds that it took."""
        began = time.monotonic()
        self.process.send_signal(number)
        return self.process.wait(timeout=PATIENCE), time.monotonic() - began

    def kill(self) -> None:
        """Kill it, if it lives."""
        self.process.kill()
        self.process.wait()


@pytest.fixture
def start(backend: Backend, tmp_path: Path) -> Iterator[Callable[..., Process]]:
    """Starts processes, which end with the test."""
    started: list[Process] = []

    def begin(port: int, program: str = "api", behind: Backend = backend) -> Process:
        started.append(Process(behind, port, tmp_path, program))
        return started[-1]

    yield begin
    for process in started:
        process.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_idle_process_ends(start: Callable[..., Process], free_port: int, number: int) -> None:
    process = start(free_port).until_serving()
    with socket.create_connection(("127.0.0.1", free_port)):
        status, seconds = process.end(number)
    assert (status, seconds < GRACE_SECONDS) == (0, True)


def test_idle_connections_are_not_waited_for(
    make_backend: Callable[..., Backend], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("calipso.api.server._FINISH_SECONDS", PATIENCE)
    made = make_backend(guacamole_database_url="")
    with contextlib.ExitStack() as stack:
        with served(made, projecting=False) as api:
            address = urlsplit(api.url)
            stack.enter_context(socket.create_connection((address.hostname, address.port)))
            began = time.monotonic()
        assert time.monotonic() - began < PATIENCE / 2
    made.close()


@pytest.mark.parametrize("turns", range(6))
def test_connections_accepted_at_the_very_end_are_closed(turns: int, backend: Backend) -> None:
    async def connect() -> socket.socket:
        with listening("127.0.0.1", 0) as listener:
            async with serving(create_app(backend), listener):
                connection = socket.create_connection(listener.getsockname())
                for _ in range(turns):
                    await asyncio.sleep(0)
        return connection

    with runner() as loop, loop.run(connect()) as connection, contextlib.suppress(ConnectionResetError):
        connection.settimeout(PATIENCE)
        assert connection.recv(1) == b""
    gc.collect()  # tells of a transport that was left open


def test_requests_leave_no_garbage(make_backend: Callable[..., Backend]) -> None:
    made, requests = make_backend(guacamole_database_url=""), []
    blueprint = Blueprint("taking")

    @blueprint.get("/taken/", ctx_open=True)
    async def take(request: Request) -> HTTPResponse:
        requests.append(weakref.ref(request))
        return HTTPResponse()

    gc.disable()
    try:
        with served(made, projecting=False, blueprints=[*BLUEPRINTS, blueprint]) as api:
            connection = http.client.HTTPConnection(str(urlsplit(api.url).netloc))
            for _ in range(3):
                connection.request("GET", "/taken/")
                assert connection.getresponse().read() == b""
            connection.close()
            assert len(requests) == 3
            wait_until(lambda: not any(request() for request in requests), "all requests to be let go")
    finally:
        gc.enable()
        made.close()


async def test_held_requests_are_told_when_it_ends(
    start: Callable[..., Process], backend: Backend, free_port: int
) -> None:
    process = start(free_port).until_serving()
    start(free_port, "project")
    name = Api(url=process.url, backend=backend).add_user()
    headers = {"Authorization": basic(name, PASSWORD), "Origin": "https://portal.example.org"}
    async with aiohttp.ClientSession(process.url, headers=headers) as session:

        async def run() -> tuple[int, str, str]:
            async with session.get(f"/resource/run/{name}/own/{IMAGE}/") as answer:
                return answer.status, str(answer.headers.get("Retry-After")), (await answer.json())["error"]

        async def rows() -> list[dict[str, str]]:
            async with session.get(f"/resource/list/{name}/") as answer:
                found: list[dict[str, str]] = await answer.json()
                return found

        held = asyncio.create_task(run())
        while not await rows():
            assert not held.done()
        status, seconds = await asyncio.to_thread(process.end)
        assert await held == (503, "5", "the server is stopping")
        assert (status, seconds < GRACE_SECONDS) == (0, True)
    assert "Traceback" not in process.text()


async def test_requests_that_are_nearly_done_are_finished(
    start: Callable[..., Process], backend: Backend, free_port: int
) -> None:
    process = start(free_port).until_serving()
    name = Api(url=process.url, backend=backend).add_user()
    async with aiohttp.ClientSession(process.url) as session:
        body = {"username": name, "password": PASSWORD}
        asked = [asyncio.create_task(session.post("/login/", json=body).__aenter__()) for _ in range(10)]
        await asyncio.to_thread(wait_until, lambda: "route=/login/" in process.text(), "the first sign-in")
        assert (await asyncio.to_thread(process.end))[0] == 0
        answers = [await task for task in asked]
        assert {answer.status for answer in answers} <= {200, 503}
        for answer in answers:
            answer.close()


def test_an_address_in_use_is_told_in_a_sentence(start: Callable[..., Process], free_port: int) -> None:
    with socket.create_server(("127.0.0.1", free_port)):
        process = start(free_port)
        assert process.process.wait(timeout=PATIENCE) == os.EX_CONFIG
    assert process.text().strip().endswith(f"cannot listen on 127.0.0.1:{free_port}: Address already in use")
    assert len(process.text().splitlines()) == 1


def test_an_address_that_becomes_free_is_taken(free_port: int) -> None:
    with ThreadPoolExecutor() as pool:
        with socket.create_server(("127.0.0.1", free_port)):
            future = pool.submit(listening, "127.0.0.1", free_port)
            assert wait([future], timeout=0.5).not_done == {future}
        future.result().close()


@pytest.mark.parametrize("host", ["no.such.host.invalid", "192.0.2.1"])
def test_an_address_that_is_not_ours(host: str) -> None:
    with pytest.raises(Invalid, match=f"CALIPSO_HOST, CALIPSO_PORT: cannot listen on {host}:0"):
        listening(host, 0)


@pytest.mark.parametrize(("host", "family"), [("127.0.0.1", socket.AF_INET), ("::1", socket.AF_INET6)])
def test_addresses_of_both_families(host: str, family: socket.AddressFamily) -> None:
    with listening(host, 0) as listener:
        assert listener.family == family


def test_a_database_that_is_not_prepared_is_told_in_a_sentence(
    start: Callable[..., Process], backend: Backend, database_url: str, free_port: int
) -> None:
    empty = Backend(backend.settings.model_copy(update={"database_url": database_url}))
    process = start(free_port, behind=empty)
    assert process.process.wait(timeout=PATIENCE) == 1
    assert process.text() == "error: the database is not available: it is not prepared: run `calipso migrate`\n"


def test_a_database_that_an_older_program_prepared_is_told_in_a_sentence(
    start: Callable[..., Process], make_backend: Callable[..., Backend], free_port: int
) -> None:
    older = make_backend()
    with older.database.connect() as connection:
        connection.execute("ALTER TABLE rm_containers.containers DROP COLUMN web_token")
    process = start(free_port, behind=older)
    older.close()
    assert process.process.wait(timeout=PATIENCE) == 1
    assert process.text() == (
        "error: the database is not available: it is not prepared for this version of the program "
        "(rm_containers.containers.web_token is missing): "
        "run `calipso migrate`, and `calipso rebuild --all` if that was done\n"
    )


async def test_logs_tell_no_secrets(start: Callable[..., Process], backend: Backend, free_port: int) -> None:
    process = start(free_port).until_serving()
    password, guess, searched = (f"secret-{secrets.token_hex(4)}" for _ in range(3))
    name = Api(url=process.url, backend=backend).add_user(password=password)
    async with aiohttp.ClientSession(process.url, cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
        async with session.post("/login/", json={"username": name, "password": guess}):
            pass
        async with session.post("/login/", json={"username": name, "password": password}) as answer:
            given = [cookie.value for cookie in answer.cookies.values()]
        for path in ("/images/", f"/users/?search={searched}", f"/users/{name}/", "/nothing"):
            async with session.get(path, headers={"Authorization": basic(name, guess)}) as answer:
                request_id = answer.headers["X-Request-ID"]
    headers = {"Authorization": basic(name, password)}
    async with (
        aiohttp.ClientSession(process.url, headers=headers) as session,
        session.post("/images/x/", data=searched) as answer,
    ):
        assert answer.status == 400
    assert process.end()[0] == 0
    lines = [line for line in process.text().splitlines() if "event=request" in line]
    assert len(lines) == 7
    last = next(line for line in lines if request_id in line)
    assert all(field in last for field in ("method=GET", "route=(none)", "status=404", "ms="))
    for secret in (password, guess, searched, basic(name, password), name, *given):
        assert secret not in process.text()
