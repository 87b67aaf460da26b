"""An installation behind a web server, and clients at addresses of their own."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from ssl import create_default_context

import aiohttp
import pytest
from tests.api.conftest import Api, make_backend, served
from tests.proxies.fronts import SECRET
from tests.runtimes.certificates import Authority, Pair

from calipso.backend import Backend
from calipso.commands.image import AddImage
from calipso.events.values import ImageSpec, Protocol, Resources, Runtime

__all__ = ["make_backend"]

NEVER_STARTED = "never-started"
RUN_LIMIT = 4.0

Browse = Callable[..., AbstractAsyncContextManager[aiohttp.ClientSession]]


@dataclass(frozen=True, kw_only=True)
class Certified:
    """Whom clients trust, and the certificate of the web servers."""

    authority: Path
    pair: Pair


@pytest.fixture(scope="session")
def certified(tmp_path_factory: pytest.TempPathFactory) -> Certified:
    """The certificate of the web servers."""
    authority = Authority(tmp_path_factory.mktemp("certificates"), "authority")
    return Certified(authority=authority.file, pair=authority.sign("front"))


@pytest.fixture(scope="module")
def api(make_backend: Callable[..., Backend]) -> Iterator[Api]:
    """An installation that believes proxies on 127.0.0.1, with an image that nothing starts."""
    backend = make_backend(
        trusted_proxies="127.0.0.1", proxy_secret=SECRET, run_limit=RUN_LIMIT, guacamole_database_url=""
    )
    spec = ImageSpec(
        reference="https://example.org/", runtime=Runtime.STATIC_LINK, protocol=Protocol.NONE, resources=Resources()
    )
    image_id = backend.installation.naming.image(NEVER_STARTED)
    try:
        with served(backend) as made:
            made.obey(AddImage(image_id=image_id, name=NEVER_STARTED, spec=spec))
            yield made
    finally:
        backend.close()


@pytest.fixture
def browse(certified: Certified) -> Browse:
    """Makes clients at an address of this machine; they keep cookies."""

    @asynccontextmanager
    async def begin(address: str = "127.0.0.2", **options: object) -> AsyncIterator[aiohttp.ClientSession]:
        connector = aiohttp.TCPConnector(
            local_addr=(address, 0), ssl=create_default_context(cafile=certified.authority)
        )
        jar = aiohttp.CookieJar(unsafe=True)
        async with aiohttp.ClientSession(connector=connector, cookie_jar=jar, **options) as session:  # type: ignore[arg-type]  # passed on
            try:
                yield session
            finally:
                # a server that refused a body may not read the end of the connection before the loop ends
                await connector.close(abort_ssl=True)

    return begin
