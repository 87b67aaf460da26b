"""Behind a real Apache."""

from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractContextManager, asynccontextmanager
from pathlib import Path

import pytest
from sanic import Blueprint, HTTPResponse, Request, Sanic
from sanic.response import json
from tests.api.conftest import Api
from tests.proxies.conftest import Browse, Certified
from tests.proxies.contract import Begin, FrontContract, upstream
from tests.proxies.fronts import SECRET, Front, apache
from yarl import URL

from calipso.api import server
from calipso.api.app import create_app
from calipso.api.proxies import origin_of
from calipso.backend import Backend

pytestmark = pytest.mark.proxies


@pytest.fixture(scope="module")
def front(api: Api, certified: Certified, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    port = URL(api.url).port
    assert port is not None
    with apache(tmp_path_factory.mktemp("apache"), port, certified.pair) as made:
        yield made


@pytest.fixture
def begin(certified: Certified, tmp_path: Path) -> Begin:
    def started(port: int) -> AbstractContextManager[Front]:
        return apache(tmp_path, port, certified.pair)

    return started


class TestApache(FrontContract):
    """The contract."""


@pytest.mark.parametrize("path", ["/umbrella/session/", "/umbrella/wuo/"])
async def test_whom_shibboleth_names(begin: Begin, browse: Browse, path: str) -> None:
    headers = {"X-Stand-In-Person": "ada", "EAAHash": "stolen", "uid": "somebody"}
    async with upstream() as behind:
        with begin(behind.port) as front:
            async with browse(headers=headers) as session, session.get(f"{front.url}{path}") as answer:
                assert answer.status == 200
    (asked,) = behind.asked
    assert asked.headers.getall("EAAHash") == ["hash-of-ada"]
    assert asked.headers.getall("uid") == ["ada"]
    assert asked.headers.getall("X-Calipso-Proxy-Secret") == [SECRET]


@asynccontextmanager
async def telling(backend: Backend) -> AsyncIterator[int]:
    """The application with one route, which tells what is believed; gives its port."""
    blueprint = Blueprint("telling")

    @blueprint.get("/umbrella/session/")
    async def tell(request: Request) -> HTTPResponse:
        origin = origin_of(request)
        person = request.headers.get("uid", "") if origin.is_trusted else ""
        return json({"person": person, "client": origin.client})

    app = create_app(backend, [blueprint])
    with server.listening("127.0.0.1", 0) as listener:
        made = await server._make_server(app, listener, None)
        await made.start_serving()  # type: ignore[no-untyped-call]  # the library has no types here
        try:
            yield listener.getsockname()[1]
        finally:
            await server._stop(made)
            Sanic.unregister_app(app)


async def test_whom_the_api_believes(api: Api, begin: Begin, browse: Browse) -> None:
    spoofed = {"EAAHash": "stolen", "uid": "somebody", "X-Forwarded-For": "192.0.2.66"}
    async with telling(api.backend) as port:
        around = f"http://127.0.0.1:{port}"

        async def told(url: str, address: str, **headers: str) -> tuple[str, str]:
            async with (
                browse(address, headers=spoofed | headers) as session,
                session.get(f"{url}/umbrella/session/") as answer,
            ):
                body = await answer.json()
                return body["person"], body["client"]

        with begin(port) as front:
            assert await told(front.url, "127.0.0.2", **{"X-Stand-In-Person": "ada"}) == ("ada", "127.0.0.2")
            assert await told(front.url, "127.0.0.2") == ("", "127.0.0.2")
        # another account of the machine of the proxy, then another machine that knows the secret
        assert await told(around, "127.0.0.1") == ("", "192.0.2.66")
        assert await told(around, "127.0.0.9", **{"X-Calipso-Proxy-Secret": SECRET}) == ("", "127.0.0.9")


@pytest.mark.parametrize("path", ["/settings/", "/umbrellas/session/", "/umbrella"])
async def test_elsewhere_nobody_is_named(begin: Begin, browse: Browse, path: str) -> None:
    async with upstream() as behind:
        with begin(behind.port) as front:
            async with (
                browse(headers={"X-Stand-In-Person": "ada"}) as session,
                session.get(f"{front.url}{path}") as answer,
            ):
                assert answer.status == 200
    assert not {"EAAHash", "uid"} & set(behind.asked[0].headers)


async def test_addresses_of_shibboleth_are_not_for_the_api(begin: Begin, browse: Browse) -> None:
    async with upstream() as behind:
        with begin(behind.port) as front:
            async with browse() as session, session.get(f"{front.url}/Shibboleth.sso/Logout") as answer:
                assert answer.status == 404
    assert not behind.asked
