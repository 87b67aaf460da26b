"""Running servers to measure: an installation with the demo's facility, and a bare application beside it."""

import contextlib
import http.client
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

USER = "scientist"
_START_SECONDS = 90

_BARE = """
import sys
from sanic import HTTPResponse, Sanic
app = Sanic("bare")
@app.get("/")
async def answer(request):
    return HTTPResponse(b'{"local_auth":true}', content_type="application/json")
app.run(host="127.0.0.1", port=int(sys.argv[1]), single_process=True, access_log=False, motd=False)
"""


@dataclass(frozen=True)
class Server:
    """A running server: where it answers, what it is measured by, and the password of its users."""

    url: str
    processes: Callable[[], list[int]]
    postgres: Callable[[], list[int]] = list
    password: str = ""
    command: Callable[..., None] = print

    def sign_in(self, name: str = USER) -> "Client":
        """A client with a login."""
        client = Client(self.url)
        client.ask("POST", "/login/", json.dumps({"username": name, "password": self.password}))
        return client


class Client:
    """A kept connection, which keeps cookies too."""

    def __init__(self, url: str, basic: tuple[str, str] | None = None) -> None:
        parts = urlsplit(url)
        self.connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=60)
        self.headers = {"Content-Type": "application/json"}
        if basic:
            self.headers["Authorization"] = "Basic " + b64encode(":".join(basic).encode()).decode()

    def ask(self, method: str, path: str, body: str | None = None) -> bytes:
        """Ask, and end the program when the answer is no success."""
        self.connection.request(method, path, body, self.headers)
        answer = self.connection.getresponse()
        content = answer.read()
        if answer.status >= http.HTTPStatus.BAD_REQUEST:
            sys.exit(f"{method} {path} was answered with {answer.status}: {content[:300]!r}")
        for cookie in answer.headers.get_all("Set-Cookie") or []:
            name, _, value = cookie.partition(";")[0].partition("=")
            self.headers["Cookie"] = "; ".join(filter(None, [self.headers.get("Cookie", ""), f"{name}={value}"]))
            if name == "csrftoken":
                self.headers["X-CSRFToken"] = value
        return content


@contextlib.contextmanager
def installation(
    folder: Path, given: Mapping[str, str], *, has_demo: bool = True, seconds: float = _START_SECONDS
) -> Iterator[Server]:
    """`calipso serve`.

    Args:
        folder: for its data, with a short path that other accounts can reach.
        given: settings, by their names in the environment.
        has_demo: whether the demo's facility is in it.
        seconds: how long it may take to be ready, which it is when its read models show what is stored.
    """
    port, password = free_port(), secrets.token_urlsafe(12)
    env = {**os.environ, "CALIPSO_DEMO_PASSWORD": password, **given}
    calipso = [sys.executable, "-m", "calipso"]
    data = ["--data", str(folder / "d")]
    with (folder / "log").open("wb") as log:
        command = [*calipso, "serve", "--port", str(port), *data, *(["--demo"] if has_demo else [])]
        process = subprocess.Popen(command, env=env, stdout=log, stderr=log, start_new_session=True)
    try:
        deadline = time.monotonic() + seconds
        while b"ready http" not in (folder / "log").read_bytes():
            if process.poll() is not None or time.monotonic() > deadline:
                sys.exit("the server did not start:\n" + (folder / "log").read_text()[-2000:])
            time.sleep(0.1)
        yield Server(
            f"http://127.0.0.1:{port}",
            lambda: named("api", process.pid),
            lambda: named("postgres", process.pid),
            password,
            lambda *words: subprocess.run([*calipso, *words, *data], env=env, check=True, stdout=subprocess.DEVNULL),
        )
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(timeout=60)


@contextlib.contextmanager
def bare() -> Iterator[Server]:
    """An application of the same HTTP library that answers a constant."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-c", _BARE, str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + _START_SECONDS
        while socket.socket().connect_ex(("127.0.0.1", port)):
            if time.monotonic() > deadline:
                sys.exit("the bare application did not start")
            time.sleep(0.1)
        yield Server(f"http://127.0.0.1:{port}", lambda: [process.pid])
    finally:
        process.kill()
        process.wait()


def named(part: str, above: int) -> list[int]:
    """The processes below another one that have a word in their command lines."""
    parents: dict[int, int] = {}
    lines: dict[int, str] = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            number = int(status.parent.name)
            parents[number] = int(status.read_text().rpartition(")")[2].split()[1])
            lines[number] = (status.parent / "cmdline").read_text().replace("\0", " ")

    def is_below(number: int) -> bool:
        while number in parents:
            number = parents[number]
            if number == above:
                return True
        return False

    return [number for number in parents if part in f" {lines.get(number, '')}" and is_below(number)]


def processor_seconds(processes: list[int]) -> float:
    """What all threads of these processes used until now."""
    total = 0
    for process in processes:
        for thread in Path(f"/proc/{process}/task").glob("*/schedstat"):
            with contextlib.suppress(OSError):  # it may have ended since
                total += int(thread.read_text().split()[0])
    return total / 1e9


def resident_megabytes(processes: list[int]) -> float:
    """The most memory that these processes ever had together."""
    total = 0
    for process in processes:
        with contextlib.suppress(OSError):
            lines = Path(f"/proc/{process}/status").read_text().splitlines()
            total += sum(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
    return total / 1024


def free_port() -> int:
    """A port that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
