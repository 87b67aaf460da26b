"""Answers a second of signed-in requests, beside those of a bare application of the same HTTP library."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from measures.catalogue import fill
from measures.results import Result, rate
from measures.servers import USER, Client, Server, bare, installation, processor_seconds, resident_megabytes
from measures.slices import Slice, in_turn

PATHS = {
    "http/settings": ("settings/", 0.6),
    "http/images": ("images/", 0.25),
    "http/quota": (f"quota/{USER}/", 0.25),
    "http/used_quota": (f"used_quota/{USER}/", 0.2),
    "http/list": (f"resource/list/{USER}/", 0.2),
    "http/experiments": (f"users/{USER}/experiments/", 0.1),
}
_SETTINGS = {"CALIPSO_MAX_RESOURCES_PER_USER": "50"}
_CONNECTIONS, _SECONDS, _ROUNDS = 16, 1.0, 5


@dataclass(frozen=True, kw_only=True)
class Served:
    """An installation with a signed-in user who has something, and the bare application beside it."""

    ours: Server
    client: Client
    floor: Server


@contextmanager
def served(folder: Path) -> Iterator[Served]:
    """Both servers, for all measurements of HTTP."""
    with installation(folder, _SETTINGS) as ours, bare() as floor:
        client = ours.sign_in()
        fill(ours, client)
        yield Served(ours=ours, client=client, floor=floor)


def measure(both: Served, name: str) -> Result:
    """Measure one of `PATHS`."""
    path, wanted = PATHS[name]
    floor = partial(_slice, both.floor, "/", {})
    ours = partial(_slice, both.ours, f"/{path}", both.client.headers)
    limit, measured = in_turn([floor, ours], rounds=_ROUNDS)
    return rate(name, measured, limit, wanted=wanted, rss_mb=resident_megabytes(both.ours.processes()))


def _slice(server: Server, path: str, headers: dict[str, str]) -> Slice:
    place = urlsplit(server.url)
    given = {"Host": place.netloc, **{name: text for name, text in headers.items() if name != "Content-Type"}}
    lines = [f"GET {path} HTTP/1.1", *(f"{name}: {text}" for name, text in given.items())]
    asked = {
        "host": place.hostname,
        "port": place.port,
        "request": "\r\n".join(lines) + "\r\n\r\n",
        "connections": _CONNECTIONS,
        "seconds": _SECONDS,
    }
    before = processor_seconds(server.processes())
    program = [sys.executable, str(Path(__file__).with_name("load.py"))]
    done = subprocess.run(program, input=json.dumps(asked), capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"GET {path}: {done.stderr}")
    answer = json.loads(done.stdout)
    latencies = answer["latencies"]
    used = processor_seconds(server.processes()) - before
    return Slice(len(latencies) / answer["seconds"], used, latencies)
