"""Runs of a link at a steady rate, by many users: the time from the request until it is stored.

Each user has asked once before, as in a process that serves for a while.
"""

import asyncio
import json
import statistics
import tempfile
import time
from collections.abc import Mapping
from datetime import datetime
from http import HTTPStatus
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit

import httptools
import uvloop
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
        first = uvloop.run(_offer(server, headers, "first", rate=_FIRST_RATE, number=_USERS))
        before = processor_seconds(server.processes())
        answers = uvloop.run(_offer(server, headers, "bench", rate=_RATE, number=_RATE * _SECONDS))
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
    client = _Client(server.url, headers)
    begun = time.perf_counter()
    sent = []
    for each in range(number):
        await asyncio.sleep(max(0.0, begun + each / rate - time.perf_counter()))
        sent.append(asyncio.create_task(_run(client, f"/resource/run/user{each % _USERS}/{name}{each}/manual/")))
    answers = await asyncio.gather(*sent)
    client.close()
    return answers


async def _run(client: "_Client", path: str) -> float | str:
    """Seconds until it was stored, by the server's time on the same machine; or what was said against it."""
    at = time.time()
    status, body = await client.post(path)
    if status != HTTPStatus.CREATED:
        return f"{status}: {body!r}"
    return datetime.fromisoformat(json.loads(body)["creation_date"]).timestamp() - at


class _Client:
    """Posts without a body, on connections that are kept.

    No library's client: it shares the processors with what it measures, and took half as much as that for each request.
    """

    def __init__(self, url: str, headers: Mapping[str, str]) -> None:
        parts = urlsplit(url)
        self._address = str(parts.hostname), int(parts.port or 80)
        self._head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self._idle: list[_Connection] = []

    async def post(self, path: str) -> tuple[int, bytes]:
        """The status and the body of the answer."""
        connection = self._kept() or await self._connected()
        request = f"POST {path} HTTP/1.1\r\nHost: {self._address[0]}\r\nContent-Length: 0\r\n{self._head}\r\n"
        answer = await connection.ask(request.encode())
        if connection.is_kept:
            self._idle.append(connection)
        return answer

    def _kept(self) -> "_Connection | None":
        """A connection that the server has not ended meanwhile."""
        while self._idle:
            if (connection := self._idle.pop()).is_kept:
                return connection
        return None

    async def _connected(self) -> "_Connection":
        _, connection = await asyncio.get_running_loop().create_connection(_Connection, *self._address)
        return connection

    def close(self) -> None:
        """End all connections."""
        for connection in self._idle:
            connection.transport.close()


class _Connection(asyncio.Protocol):
    """One request at a time; also what the library that parses its answers calls."""

    transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_kept = False
        if not self._answer.done():
            self._answer.set_exception(exc or ConnectionResetError("the server ended the connection"))

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def ask(self, request: bytes) -> asyncio.Future[tuple[int, bytes]]:
        self._parser, self._body = httptools.HttpResponseParser(self), b""
        self._answer = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        return self._answer

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        self.is_kept = self._parser.should_keep_alive()
        self._answer.set_result((self._parser.get_status_code(), self._body))
