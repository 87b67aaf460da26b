"""The real API on a port of its own, with projections behind it; no relay, no target."""

import asyncio
import queue
import threading
from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import quote, urlencode
from uuid import UUID, uuid4

import aiohttp
import pytest
from psycopg.conninfo import conninfo_to_dict
from sanic import Blueprint
from tests.conftest import PATIENCE

from calipso import credentials, settings
from calipso.api.app import BLUEPRINTS, create_app
from calipso.api.server import listening, runner, serving
from calipso.api.waiting import Waiting
from calipso.backend import Backend
from calipso.bootstrap.databases import migrate
from calipso.bootstrap.projecting import project
from calipso.commands.dispatch import cause_of
from calipso.commands.handling import USER_NAME
from calipso.commands.user import RegisterUser
from calipso.events.user import Role

PASSWORD = "correct horse battery staple"


def basic(name: str, password: str) -> str:
    """The Authorization header of a name and a password."""
    return f"Basic {b64encode(f'{name}:{password}'.encode()).decode()}"


def _unheard(*_: object) -> None:
    raise NotImplementedError("what is served elsewhere does not tell what it has heard")


class _Begun(NamedTuple):
    url: str
    loop: asyncio.AbstractEventLoop
    ending: asyncio.Event
    waiting: Waiting


@dataclass(frozen=True, kw_only=True)
class Api:
    """A served installation: `url` is where it answers, `base_path` below which path (without its last slash),
    `backend` how tests act on it beside HTTP; `heard` waits until the served process has heard that some projections
    show a position.
    """

    url: str
    backend: Backend
    base_path: str = ""
    heard: Callable[[Collection[str], int], None] = _unheard

    def obey(self, command: object) -> None:
        """Issue a command as the command line does."""
        self.backend.dispatcher.dispatch(command, cause_of("service:test"))

    def add_user(self, name: str = "", *, admin: bool = False, password: str = PASSWORD) -> str:
        """Open an account with a password; gives its name, by default one that nobody has."""
        name, user_id = name or f"user-{uuid4().hex[:8]}", uuid4()
        roles = frozenset({Role.ADMINISTRATOR} if admin else ())
        name_id = self.backend.installation.naming.user_name(name)
        self.obey(RegisterUser(user_id=user_id, name_id=name_id, name=name, roles=roles))
        self.backend.passwords.set(user_id, password)
        return name

    def user_id(self, name: str) -> UUID:
        """The uuid of an account."""
        found = self.backend.dispatcher.state(USER_NAME, self.backend.installation.naming.user_name(name))
        assert found is not None
        return found

    @asynccontextmanager
    async def anonymous(self, **options: object) -> AsyncIterator[aiohttp.ClientSession]:
        """A client that nobody has signed in; it keeps cookies."""
        jar = aiohttp.CookieJar(unsafe=True)
        async with aiohttp.ClientSession(self.url, cookie_jar=jar, **options) as session:  # type: ignore[arg-type]  # passed on
            yield session

    @asynccontextmanager
    async def signed_in(self, name: str, password: str = PASSWORD) -> AsyncIterator[aiohttp.ClientSession]:
        """A client signed in by cookie, which sends the token with every request."""
        async with self.anonymous() as session:
            async with session.post(
                f"{self.base_path}/login/", json={"username": name, "password": password}
            ) as answer:
                assert answer.status == 200, await answer.text()
                session.headers["X-CSRFToken"] = answer.cookies["csrftoken"].value
            yield session

    @asynccontextmanager
    async def basic(self, name: str, password: str = PASSWORD) -> AsyncIterator[aiohttp.ClientSession]:
        """A client that sends name and password with every request."""
        async with self.anonymous(headers={"Authorization": basic(name, password)}) as session:
            yield session


@contextmanager
def served(
    backend: Backend,
    *,
    projecting: bool = True,
    parts: Sequence[Callable[[], Coroutine[None, None, None]]] = (),
    blueprints: Sequence[Blueprint] = BLUEPRINTS,
) -> Iterator[Api]:
    """Serve a prepared installation within the block, and keep its projections up to date unless told otherwise.

    `parts` run beside it; `blueprints` are its routes.
    """
    told: queue.SimpleQueue[_Begun | BaseException] = queue.SimpleQueue()

    async def main() -> None:
        with listening("127.0.0.1", 0) as listener:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(project(backend) if projecting else asyncio.sleep(0))]
                tasks += [group.create_task(part()) for part in parts]
                app = create_app(backend, blueprints)
                async with serving(app, listener) as url:
                    ending = asyncio.Event()
                    told.put(_Begun(url, asyncio.get_running_loop(), ending, app.ctx.calipso.waiting))
                    await ending.wait()
                for task in tasks:
                    task.cancel()

    def run() -> None:
        try:
            with runner() as loop:
                loop.run(main())
        except BaseException as error:
            told.put(error)
            raise

    thread = threading.Thread(target=run, name="api")
    thread.start()
    begun = told.get(timeout=PATIENCE)
    if isinstance(begun, BaseException):
        raise begun
    url, loop, ending, waiting = begun

    def heard(names: Collection[str], position: int) -> None:
        shown = waiting.until_shown(tuple(names), position, "")
        asyncio.run_coroutine_threadsafe(shown, loop).result(timeout=PATIENCE)

    try:
        yield Api(url=url, backend=backend, heard=heard)
    finally:
        loop.call_soon_threadsafe(ending.set)
        thread.join(timeout=PATIENCE)
        assert not thread.is_alive()


def url_of(conninfo: str) -> str:
    """The URL that says the same as a connection string."""
    given = conninfo_to_dict(conninfo)
    query = {name: str(given[name]) for name in ("host", "port") if given.get(name)}
    user = quote(str(given.get("user") or ""))
    return f"postgresql://{user}@/{given['dbname']}?{urlencode(query)}"


@pytest.fixture(scope="session")
def make_backend(make_database: Callable[[], str]) -> Callable[..., Backend]:
    """Makes a prepared installation with databases of its own; takes settings."""

    def make(**given: object) -> Backend:
        made = Backend(
            settings.load(
                **{
                    "database_url": make_database(),
                    "guacamole_database_url": url_of(make_database()),
                    "nats_url": "nats://127.0.0.1:9",
                    "master_keys": credentials.generate_key_line(),
                    **given,
                }
            )
        )
        migrate(made, make_guacamole=True)
        return made

    return make


@pytest.fixture(scope="module")
def api(make_backend: Callable[..., Backend]) -> Iterator[Api]:
    """A served installation, shared by the tests of a module."""
    backend = make_backend(cors_origin_whitelist="https://portal.example.org,localhost:4200")
    try:
        with served(backend) as made:
            yield made
    finally:
        backend.close()


@pytest.fixture(scope="module")
def somebody(api: Api) -> str:
    """The name of an ordinary account."""
    return api.add_user()


@pytest.fixture(scope="module")
def administrator(api: Api) -> str:
    """The name of an account that administrates."""
    return api.add_user(admin=True)
