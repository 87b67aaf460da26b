"""Runs of a link at a steady rate, by many users: the time from the request until it is stored.

Each user has asked once before, as in a process that serves for a while.
"""

import asyncio
import statistics
import tempfile
import time
from collections.abc import Mapping
from datetime import datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any

import aiohttp
from measures.results import Result
from measures.servers import Server, installation, processor_seconds, resident_megabytes

_RATE, _SECONDS, _USERS, _LIMIT = 300, 8, 400, 0.1
_FIRST_RATE = 50
_SETTINGS = {
    "CALIPSO_MAX_RESOURCES_PER_USER": "1000",
    "CALIPSO_MAX_HELD_REQUESTS": "10000",
    "CALIPSO_MAX_HELD_REQUESTS_PER_USER": "10000",
}


def measure(folder: Path) -> Result:
    """Measure `accept`: its 99th percentile in seconds, beside the limit of 0.1 s."""
    with installation(folder, _SETTINGS) as server:
        with tempfile.NamedTemporaryFile("w", suffix=".csv") as file:
            file.write("\n".join(["userlogin", *(f"user{number}" for number in range(_USERS))]) + "\n")
            file.flush()
            server.command("users", "import", file.name)
        headers = server.sign_in("admin").headers
        first = asyncio.run(_offer(server, headers, "first", rate=_FIRST_RATE, number=_USERS))
        before = processor_seconds(server.processes())
        answers = asyncio.run(_offer(server, headers, "bench", rate=_RATE, number=_RATE * _SECONDS))
        used = processor_seconds(server.processes()) - before
        memory = resident_megabytes(server.processes())
    refused = [answer for answer in (*first, *answers) if isinstance(answer, str)]
    if refused:
        raise SystemExit(f"accept: {len(refused)} were not accepted, the first with {refused[0]}")
    seconds = sorted(answer for answer in answers if isinstance(answer, float))
    return Result(
        name="accept",
        measured=statistics.quantiles(seconds, n=100)[98],
        limit=_LIMIT,
        unit="s",
        spread=(seconds[0], seconds[-1]),
        cpu_ms=used / len(seconds) * 1000,
        rss_mb=memory,
        wanted="<= 1",
        latencies=seconds,
    )


async def _offer(server: Server, headers: Mapping[str, str], name: str, *, rate: int, number: int) -> list[float | str]:
    """Send a number of requests at a rate (1/s), whatever becomes of those before."""
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(server.url, headers=headers, connector=connector) as session:
        begun = time.perf_counter()
        sent = []
        for each in range(number):
            await asyncio.sleep(max(0.0, begun + each / rate - time.perf_counter()))
            path = f"/resource/run/user{each % _USERS}/{name}{each}/manual/"
            sent.append(asyncio.create_task(_run(session, path)))
        return list(await asyncio.gather(*sent))


async def _run(session: aiohttp.ClientSession, path: str) -> float | str:
    """Seconds until it was stored, by the server's time on the same machine; or what was said against it."""
    at = time.time()
    async with session.post(path) as answer:
        body: Any = await answer.json(content_type=None)
        if answer.status != HTTPStatus.CREATED:
            return f"{answer.status}: {body}"
    return datetime.fromisoformat(body["creation_date"]).timestamp() - at
