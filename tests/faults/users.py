"""Random users, who launch, stop and remove containers, look around, hang up, and have their quota changed."""

import asyncio
import random
import threading
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import Any, TypeVar

import aiohttp
from tests.conftest import PATIENCE
from tests.faults.installation import ADMINISTRATOR, IMAGES, PASSWORD, RUN_LIMIT, USERS
from tests.faults.told import Told

T = TypeVar("T")

_LONGEST_PAUSE = 1.5
_HANG_UP_WITHIN = 2.0
_HOLDING_SECONDS = RUN_LIMIT + 15
_LABELS = "abcdef"


class Users:
    """All users, in a thread of their own.

    Args:
        urls: of the processes of the API; each request goes to one of them.
        seed: of what they do.
    """

    def __init__(self, urls: Sequence[str], seed: int) -> None:
        self.told = Told()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="users", daemon=True)
        self._thread.start()
        self._busy = asyncio.Event()
        self._tasks = [self._loop.create_task(self._life(_User(name, urls, seed, self.told))) for name in USERS]
        self._tasks.append(self._loop.create_task(self._life(_Administrator(ADMINISTRATOR, urls, seed, self.told))))

    def act(self) -> None:
        """Let them do what they like."""
        self._loop.call_soon_threadsafe(self._busy.set)

    def rest(self) -> None:
        """Let them begin nothing more; what is held is waited for by them, not here."""
        self._loop.call_soon_threadsafe(self._busy.clear)

    def close(self) -> None:
        """End them."""
        self._call(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _call(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE)

    async def _end(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _life(self, user: "_User") -> None:
        jar = aiohttp.CookieJar(unsafe=True)
        timeout = aiohttp.ClientTimeout(total=_HOLDING_SECONDS)
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(cookie_jar=jar, timeout=timeout, connector=connector) as session:
            user.session = session
            while True:
                await self._busy.wait()
                self.told.in_hand += 1
                try:
                    await user.do_something()
                finally:
                    self.told.in_hand -= 1
                await asyncio.sleep(user.random.uniform(0, _LONGEST_PAUSE))


class _User:
    """One scientist."""

    session: aiohttp.ClientSession

    def __init__(self, name: str, urls: Sequence[str], seed: int, told: Told) -> None:
        self.name = name
        self.random = random.Random(f"{seed} {name}")
        self._urls = urls
        self._told = told
        self._is_signed_in = False
        self._known: list[str] = []

    def acts(self) -> Mapping[Callable[[], Awaitable[None]], int]:
        """What this user does, each with its weight."""
        return {self._run: 8, self._hang_up: 1, self._stop: 3, self._remove: 5, self._look: 3}

    async def do_something(self) -> None:
        """Do one thing; trouble is counted, and means nothing more to a user than to try something else."""
        acts = self.acts()
        act = self.random.choices(list(acts), list(acts.values()))[0]
        try:
            if not self._is_signed_in:
                await self._sign_in()
            await act()
        except (aiohttp.ClientError, TimeoutError, OSError):
            self._told.operations["no answer"] += 1

    async def ask(self, kind: str, path: str, **options: Any) -> tuple[int, Any]:  # noqa: ANN401 - the library's
        """Ask one of the processes of the API; gives status and JSON."""
        method = "POST" if "json" in options else "GET"
        async with self.session.request(method, f"{self.random.choice(self._urls)}/{path}", **options) as answer:
            body = await answer.json(content_type=None)
            self._told.operations[f"{kind} {answer.status}"] += 1
            return answer.status, body

    async def _sign_in(self) -> None:
        status, _ = await self.ask("sign in", "login/", json={"username": self.name, "password": PASSWORD})
        self._is_signed_in = status == 200

    async def _run(self) -> None:
        image = self.random.choices(list(IMAGES), [weight for _, weight in IMAGES.values()])[0]
        status, body = await self.ask("run", f"resource/run/{self.name}/{self.random.choice(_LABELS)}/{image}/")
        if status == 201:
            self._told.started.add(body["container_name"])
            self._known.append(body["container_name"])

    async def _hang_up(self) -> None:
        try:
            async with asyncio.timeout(self.random.uniform(0, _HANG_UP_WITHIN)):
                await self._run()
        except TimeoutError:
            self._told.operations["run hung up"] += 1

    async def _stop(self) -> None:
        if name := await self._chosen():
            status, _ = await self.ask("stop", f"resource/stop/{self.name}/{name}/tiny/")
            if status == 200:
                self._told.stopped.add(name)

    async def _remove(self) -> None:
        if name := await self._chosen():
            status, _ = await self.ask("rm", f"resource/rm/{self.name}/{name}/tiny/")
            if status == 200:
                self._told.removed.add(name)
                self._known = [known for known in self._known if known != name]

    async def _look(self) -> None:
        for kind in ("used_quota", "resource/list"):
            await self.ask("look", f"{kind}/{self.name}/")

    async def _chosen(self) -> str:
        """One of the containers that are listed now or were used before; empty when there is none."""
        status, rows = await self.ask("look", f"resource/list/{self.name}/")
        listed = [str(row["container_name"]) for row in rows] if status == 200 else []
        return self.random.choice([*listed, *listed, *self._known, ""][: max(1, 2 * len(listed) + len(self._known))])


class _Administrator(_User):
    """Somebody who changes the quotas of the others."""

    def acts(self) -> Mapping[Callable[[], Awaitable[None]], int]:
        """What administrators do."""
        return {self._assign: 1}

    async def _assign(self) -> None:
        most = self.random.randint(1, 4)
        limits = {"max_simultaneous": most, "cpu": 10, "memory": f"{most * 60}M", "hdd": "80G"}
        token = {cookie.key: cookie.value for cookie in self.session.cookie_jar}.get("csrftoken", "")
        path = f"quota/{self.random.choice(USERS)}/"
        await self.ask("assign quota", path, json=limits, headers={"X-CSRFToken": token})
        await asyncio.sleep(2)
