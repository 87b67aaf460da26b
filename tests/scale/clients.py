"""A burst of requests by well-behaved clients: whoever is told to come back later does so, at another replica."""

import asyncio
import random
import re
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import aiohttp
from tests.faults.told import Told
from tests.scale.installation import IMAGE, Login

_PATIENCE_SECONDS = 900
_RECONNECT_SECONDS = 1.0
_ALREADY = "already launched"


@dataclass(kw_only=True)
class Answers:
    """What clients were told.

    `statuses` counts every answer, those to come back later too; `outcomes` the last one of each request: accepted,
    refused by the quota, or anything else by its status. `seconds` are those from the first attempt to the last answer
    of what was accepted, with all waits.
    """

    told: Told = field(default_factory=Told)
    statuses: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    began: float = 0.0
    ended: float = 0.0


async def burst(urls: Sequence[str], logins: Sequence[Login], requests: int, within: float) -> Answers:
    """Send so many requests within some seconds, in turn for each user, and bring each to its end."""
    answers = Answers()
    timeout, connector = aiohttp.ClientTimeout(total=_PATIENCE_SECONDS), aiohttp.TCPConnector(limit=0)
    async with (
        aiohttp.ClientSession(timeout=timeout, connector=connector, cookie_jar=aiohttp.DummyCookieJar()) as client,
        asyncio.TaskGroup() as group,
    ):
        answers.began = time.time()
        start = time.monotonic()
        for number in range(requests):
            await asyncio.sleep(max(0.0, start + number * within / requests - time.monotonic()))
            login = logins[number % len(logins)]
            group.create_task(_Request(client, urls, login, number, answers).bring_to_its_end())
    answers.ended = time.time()
    return answers


@dataclass(frozen=True)
class _Request:
    client: aiohttp.ClientSession
    urls: Sequence[str]
    login: Login
    number: int
    answers: Answers

    async def bring_to_its_end(self) -> None:
        self.answers.told.in_hand += 1
        began = time.monotonic()
        attempt = self.number
        while (outcome := await self._ask(self.urls[attempt % len(self.urls)])) == "later":
            attempt += 1
        self.answers.outcomes[outcome] += 1
        if outcome == "accepted":
            self.answers.seconds.append(time.monotonic() - began)
        self.answers.told.in_hand -= 1

    async def _ask(self, url: str) -> str:
        address = f"{url}/resource/run/{self.login.name}/own{self.number}/{IMAGE}/"
        try:
            async with self.client.post(address, headers=self.login.headers) as answer:
                body = await answer.json(content_type=None)
                status, later = answer.status, answer.headers.get("Retry-After")
        except (aiohttp.ClientError, OSError) as error:
            self.answers.statuses[type(error).__name__] += 1
            await asyncio.sleep(_RECONNECT_SECONDS)
            return "later"
        self.answers.statuses[str(status) if status == 201 else f"{status} {_general(body['error'])}"] += 1
        if status in {429, 503} and later:
            await asyncio.sleep(int(later) * random.uniform(1, 1.5))
            return "later"
        return self._outcome(status, body)

    def _outcome(self, status: int, body: dict[str, str]) -> str:
        if status == 201:
            self.answers.told.started.add(body["container_name"])
            return "accepted"
        # an answer that was lost, or "it holds, but is not shown yet": the repeated request finds its own success
        if status == 409 and _ALREADY in body["error"].lower():
            return "accepted before"
        if status == 409 and "exceeded" in body["error"].lower():
            return "refused"
        return f"{status}: {body['error']}"


def _general(error: str) -> str:
    """A text without the ids in it, so that equal ones can be counted."""
    return re.sub(r"[0-9a-f-]{32,36}", "...", error)[:100]
