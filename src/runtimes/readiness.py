"""Waits until a container can be used: its service greets in its protocol, and its log says what the image promises."""

import asyncio
import contextlib
import json
import re
import sys
from asyncio.subprocess import PIPE
from functools import partial
from urllib.parse import quote

from calipso.errors import Unavailable
from calipso.events.values import FailureReason, ImageSpec, Placement, Protocol
from calipso.runtimes.protocol import ContainerRuntime, Observation, Order, RuntimeFailed, Status

_PROBE_SECONDS = 2.0
_FIRST_PAUSE = 0.02
_LONGEST_PAUSE = 0.25
_GROWTH = 1.1
_PAUSES_PER_LOOK = 8
_LOG_LINES = 1000
_LOG_CHARACTERS = 64 * 1024
_SEARCH_SECONDS = 5.0

_GREETINGS = {Protocol.VNC: b"RFB 003.", Protocol.SSH: b"SSH-"}
# a connection request that offers TLS and CredSSP, as RDP clients send it (MS-RDPBCGR 2.2.1.1)
_RDP_REQUEST = bytes.fromhex("030000130ee000000000000100080003000000")
_RDP_ANSWER_BYTES = 7
_RDP_CODE_AT, _RDP_CONFIRM = 5, 0xD0
_HTTP_REQUEST = b"GET / HTTP/1.0\r\nUser-Agent: calipso\r\nConnection: close\r\n\r\n"
_HTTP_GREETING = b"HTTP/"
_QUERY = "!$&'()*+,-./:;=?@_~%"  # what may stand in an address after the question mark
_WEB = frozenset({Protocol.HTTP, Protocol.NONE})

# `re` cannot be interrupted and holds up every thread, so a pattern that explodes needs a process that can be ended
_SEARCH = """
import json, re, sys
pattern, text = json.load(sys.stdin)
found = re.search(pattern, text)
json.dump(found and found[0], sys.stdout)
"""


async def wait_until_usable(
    runtime: ContainerRuntime,
    order: Order,
    observation: Observation,
    *,
    first_pause: float = _FIRST_PAUSE,
    longest_pause: float = _LONGEST_PAUSE,
) -> Placement:
    """Wait until a container that was started can be used. It never gives up by itself: set a limit around it.

    Args:
        runtime: what made the container.
        order: what was asked for.
        observation: what the runtime said of it at its start.
        first_pause: seconds between the first looks, which become rarer.
        longest_pause: seconds between looks in the end.

    Raises:
        RuntimeFailed: its process ended, it is not there any more, or its log cannot be searched for the pattern.
    """
    image = order.request.image
    _check_pattern(image.logs_er)
    wait = _Wait(runtime, observation, first_pause, longest_pause)
    if observation.link:
        return wait.placement(observation.link)
    while not await probe(image.protocol, wait.observation.host, wait.observation.port):
        await wait.a_while()
    if not image.logs_er:
        return wait.placement(wait.address() if image.protocol is Protocol.HTTP else "")
    found = await _await_match(wait, image.logs_er)
    return wait.placement(_link_of_match(image, found, wait.address()))


async def probe(protocol: Protocol, host: str, port: int, timeout: float = _PROBE_SECONDS) -> bool:  # noqa: ASYNC109 - a probe is answered within its own time
    """Whether a service greets in its protocol.

    Args:
        protocol: what is expected; HTTP where it is `NONE`.
        host: where it is.
        port: its TCP port, 0 while there is none.
        timeout: seconds within which it must have greeted.
    """
    if not port:
        return False
    try:
        async with asyncio.timeout(timeout):
            reader, writer = await asyncio.open_connection(host, port)
            with contextlib.closing(writer):
                return await _greets(protocol, reader, writer)
    except (OSError, asyncio.IncompleteReadError):
        return False


async def search(pattern: str, text: str) -> str | None:
    """The first text that a regular expression matches, None when it matches nothing.

    Raises:
        RuntimeFailed: the search took too long.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-I", "-S", "-c", _SEARCH, stdin=PIPE, stdout=PIPE, stderr=PIPE
    )
    try:
        async with asyncio.timeout(_SEARCH_SECONDS):
            answer, complaint = await process.communicate(json.dumps([pattern, text]).encode())
    except TimeoutError as error:
        raise _rejected(f"searching the log for logs_er took more than {_SEARCH_SECONDS:.0f} s") from error
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        raise _rejected(f"the log cannot be searched for logs_er: {complaint.decode(errors='replace')[-200:]}")
    found: str | None = json.loads(answer)
    return found


class _Wait:
    """The pauses of one wait, in which the container is looked at more rarely than its port."""

    def __init__(
        self, runtime: ContainerRuntime, observation: Observation, first_pause: float, longest_pause: float
    ) -> None:
        self.observation = _check_alive(observation)
        self._runtime = runtime
        self._pause, self._longest_pause = first_pause, longest_pause
        self._look_at = _now() + _PAUSES_PER_LOOK * first_pause

    async def a_while(self) -> None:
        """Pause a little longer than the last time, and see now and then whether the process still lives."""
        await asyncio.sleep(self._pause)
        self._pause = min(self._pause * _GROWTH, self._longest_pause)
        if _now() >= self._look_at:
            await self._look()
            self._look_at = _now() + _PAUSES_PER_LOOK * self._pause

    async def log(self) -> str:
        """The end of the container's log; nothing while the target does not answer."""
        with contextlib.suppress(Unavailable):
            logs = partial(self._runtime.logs, self.observation.container_id, lines=_LOG_LINES)
            return "\n".join(await asyncio.to_thread(logs))[-_LOG_CHARACTERS:]
        return ""

    def address(self) -> str:
        """The address of the container's service for a browser."""
        host = self.observation.host
        return f"http://{f'[{host}]' if ':' in host else host}:{self.observation.port}/"

    def placement(self, link: str) -> Placement:
        """Where the container came to be."""
        seen = self.observation
        return Placement(runtime_id=seen.runtime_id, name=seen.name, host=seen.host, port=seen.port, link=link)

    async def _look(self) -> None:
        with contextlib.suppress(Unavailable):
            seen = await asyncio.to_thread(self._runtime.observe, self.observation.container_id)
            if seen is None:
                raise RuntimeFailed(reason=FailureReason.CRASHED, detail="it was removed before it was usable")
            self.observation = _check_alive(seen)


def _check_alive(observation: Observation) -> Observation:
    if observation.failure is not None:
        raise RuntimeFailed(reason=observation.failure, detail=observation.detail)
    if observation.status is Status.EXITED:
        detail = f"the process ended with exit code {observation.exit_code}"
        raise RuntimeFailed(
            reason=FailureReason.CRASHED, detail=f"{detail}: {observation.detail}" if observation.detail else detail
        )
    return observation


async def _greets(protocol: Protocol, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    if greeting := _GREETINGS.get(protocol):
        return await reader.readexactly(len(greeting)) == greeting
    if protocol is Protocol.RDP:
        writer.write(_RDP_REQUEST)
        return (await reader.readexactly(_RDP_ANSWER_BYTES))[_RDP_CODE_AT] == _RDP_CONFIRM
    writer.write(_HTTP_REQUEST)
    return await reader.readexactly(len(_HTTP_GREETING)) == _HTTP_GREETING


async def _await_match(wait: _Wait, pattern: str) -> str:
    searched = ""
    while True:
        text = await wait.log()
        if text != searched:
            searched = text
            if (found := await search(pattern, text)) is not None:
                return found
        await wait.a_while()


def _link_of_match(image: ImageSpec, found: str, address: str) -> str:
    """A pattern that matched other text than itself found what the address needs, such as a token."""
    if image.protocol not in _WEB or found in {"", image.logs_er}:
        return ""
    return f"{address}?{quote(found, safe=_QUERY)}"


def _check_pattern(pattern: str) -> None:
    try:
        re.compile(pattern)
    except re.error as error:
        raise _rejected(f"logs_er is not a regular expression: {error}") from error


def _rejected(detail: str) -> RuntimeFailed:
    return RuntimeFailed(reason=FailureReason.REJECTED, detail=detail)


def _now() -> float:
    return asyncio.get_running_loop().time()
