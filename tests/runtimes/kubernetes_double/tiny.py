"""The tiny images of the tests as programs of this process: what `ops/images/tiny/serve` does, by the same switches."""

import asyncio
import contextlib
import re
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

DOCKERFILE = Path(__file__).parents[3] / "ops" / "images" / "tiny" / "Dockerfile"
_REPOSITORY = "docker.io/calipso/tiny:1"
_IDLE = "docker.io/local/busybox:1"
_KILLED = 137
_PAGE = b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\ntiny\n"

Greeting = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def images() -> dict[str, dict[str, str]]:
    """The environment of every image that there is, by its reference."""
    stages: dict[str, dict[str, str]] = {"scratch": {}}
    now: dict[str, str] = {}
    for line in DOCKERFILE.read_text(encoding="utf-8").splitlines():
        if begun := re.fullmatch(r"FROM (\S+) AS (\S+)", line):
            now = stages[begun[2]] = dict(stages[begun[1]])
        elif line.startswith("ENV "):
            now |= dict(pair.partition("=")[::2] for pair in line.removeprefix("ENV ").split())
    variants = {name: found for name, found in stages.items() if name not in {"scratch", "base", "http"}}
    named = {f"{_REPOSITORY}-{name}": found for name, found in variants.items()}
    return {_REPOSITORY: stages["http"], **named, _IDLE: {"CALIPSO_TINY_SILENT": "1"}}


class Process:
    """One running container.

    Args:
        env: the image's switches.
        account: what `id` says.
        files: the files that were mounted, by path.
        listens: called when it begins to listen.
    """

    def __init__(
        self, env: Mapping[str, str], account: str, files: Mapping[str, bytes], listens: Callable[[], None]
    ) -> None:
        self.lines: list[str] = []
        self.ports: dict[int, Greeting] = {}
        self.files = files
        self._env = env
        self._listens = listens
        self._say(f"started as {account}")
        self._exit: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._main = asyncio.create_task(self._run())

    async def ended(self) -> int:
        """The exit code, once there is one."""
        return await asyncio.shield(self._exit)

    def is_running(self) -> bool:
        return not self._exit.done()

    def terminate(self) -> None:
        """Ask it to end."""
        if not self._env.get("CALIPSO_TINY_IGNORE_TERM") and self.is_running():
            self._say("ended by TERM")
            self._end(0)

    def kill(self) -> None:
        """End it by force."""
        self._end(_KILLED)

    async def _run(self) -> None:
        self._end(await self._main_program())

    def _end(self, code: int) -> None:
        if self.is_running():
            self._exit.set_result(code)
            self._main.cancel()
            self.ports.clear()

    async def _main_program(self) -> int:
        lines = int(self._env.get("CALIPSO_TINY_LOG_LINES", 0))
        for number in range(lines):
            self._say(f"line {number + 1} of {lines}")
        if code := self._env.get("CALIPSO_TINY_CRASH"):
            self._say(f"crashing with exit code {code}")
            return int(code)
        await asyncio.sleep(float(self._env.get("CALIPSO_TINY_DELAY", 0)))
        if not self._env.get("CALIPSO_TINY_SILENT"):
            self._serve()
        if token := self._env.get("CALIPSO_TINY_TOKEN"):
            self.lines.append(f"http://127.0.0.1:8888/?token={token}")
        if not (after := self._env.get("CALIPSO_TINY_CRASH_AFTER")):
            await asyncio.Event().wait()
        await asyncio.sleep(float(after or 0))
        code = self._env.get("CALIPSO_TINY_EXIT", "1")
        self._say(f"ending with exit code {code}")
        return int(code)

    def _serve(self) -> None:
        port, greeting = 8888, _page
        if self._env["CALIPSO_TINY_PROTOCOL"] == "vnc":
            port, greeting = 5901, _rfb
            has_read = "/run/secrets/vnc_password" in self.files
            self._say("vnc password file read" if has_read else "no vnc password file")
        self.ports[port] = greeting
        self._listens()
        self._say(f"ready on port {port}")

    def _say(self, text: str) -> None:
        self.lines.append(f"calipso tiny: {text}")


async def _page(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(asyncio.IncompleteReadError):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(_PAGE)
        await writer.drain()


async def _rfb(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"RFB 003.008\n")
    await writer.drain()
    while await reader.read(1024):
        pass
