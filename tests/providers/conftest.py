"""The demo's provider of experiments and its ICAT as processes of their own, and APIs that ask them."""

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.api.conftest import Api, make_backend, served
from tests.api.visitors import Visitor
from tests.conftest import PATIENCE, wait_until

from calipso.backend import Backend
from calipso.commands.image import AddImage
from calipso.events.envelope import Event
from calipso.events.values import ImageSpec, Protocol, Resources, Runtime

__all__ = ["make_backend"]

PROGRAMS = Path(__file__).parents[2] / "ops" / "demo"
PASSWORD = "our secret at the providers"
PAGE_SIZE = 3
TROUBLES = ("hang", "html", "redirect", "huge", "error", "close", "shape")
SETTINGS: Mapping[str, object] = {
    "page_size_experiments": PAGE_SIZE,
    "experiments_datasets_root": "/datasets",
    "experiments_output": "/output",
    "outside_timeout": 120,
    "run_limit": 0.1,
    # whether somebody is a member is decided before this, and nobody need wait for a container
    "max_resources_per_user": 0,
}

Given = dict[str, Any]
"""An experiment or a session as a provider gives it."""


@dataclass(frozen=True, kw_only=True)
class Server:
    """A running program of the demo; `data` is its file."""

    url: str
    data: Path

    def write(self, value: object) -> None:
        """Let it know this."""
        # it reads at any moment
        written = self.data.with_suffix(".new")
        written.write_text(json.dumps(value))
        written.rename(self.data)

    def tell(self, path: str, text: str = "") -> None:
        """Send it a word."""
        request = urllib.request.Request(f"{self.url}/{path}", data=text.encode(), method="POST")  # noqa: S310 - our own
        urllib.request.urlopen(request, timeout=PATIENCE).close()  # noqa: S310 - our own

    def trouble(self, kind: str) -> None:
        """Let it be in a trouble, or in none."""
        self.tell("trouble", kind)

    def known(self) -> Any:  # noqa: ANN401 - whatever it knows
        """What it knows."""
        return json.loads(self.data.read_text())

    def asked(self) -> list[str]:
        """What it was asked since this was asked last; ICAT only."""
        with urllib.request.urlopen(f"{self.url}/asked", timeout=PATIENCE) as answer:  # noqa: S310 - our own
            found: list[str] = json.loads(answer.read())
        return found


@contextmanager
def running(name: str, folder: Path, known: object) -> Iterator[Server]:
    """A program of the demo within the block."""
    data = folder / "data.json"
    data.write_text(json.dumps(known))
    environment = {
        "CALIPSO_DEMO_LOCAL_ACCESS_PASSWORD": PASSWORD,
        "CALIPSO_DEMO_ICAT_PASSWORD": PASSWORD,
    }
    process = subprocess.Popen(
        [sys.executable, PROGRAMS / name, "--port", "0", "--data", data],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        assert line.startswith("ready "), line
        yield Server(url=line.split()[1].rstrip("/"), data=data)
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()


def dynamic_settings(url: str) -> dict[str, object]:
    """The settings by which a provider is asked."""
    return {
        **SETTINGS,
        "dynamic_experiments_data_retrieval": True,
        "dynamic_experiments_data_retrieval_endpoint": f"{url}/experiments/$USERNAME",
        "local_access_username": "calipso",
        "local_access_password": PASSWORD,
    }


@contextmanager
def asking_api(make: Callable[..., Backend], given: Mapping[str, object]) -> Iterator[Api]:
    """An API of these settings, with an image in its catalogue."""
    backend = make(**given)
    try:
        with served(backend) as api:
            image_id = api.backend.installation.naming.image("desktop")
            spec = ImageSpec(
                reference="desktop:12", runtime=Runtime.DOCKER, protocol=Protocol.VNC, resources=Resources(memory=1)
            )
            api.obey(AddImage(image_id=image_id, name="desktop", spec=spec))
            yield api
    finally:
        backend.close()


@pytest.fixture(scope="session")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The demo's provider of experiments."""
    with running("experiments", tmp_path_factory.mktemp("experiments"), {}) as server:
        yield server


@pytest.fixture(scope="session")
def asking(provider: Server, make_backend: Callable[..., Backend]) -> Iterator[Api]:
    """An API that asks the provider."""
    with asking_api(make_backend, dynamic_settings(provider.url)) as api:
        yield api


@pytest.fixture
def user(asking: Api, provider: Server) -> Iterator["User"]:
    """Somebody of the provider; afterwards it is out of trouble."""
    name = asking.add_user()
    obey(asking)
    yield User(api=asking, name=name, provider=provider)
    provider.trouble("")


@dataclass(frozen=True, kw_only=True)
class User(Visitor):
    """Somebody whose experiments a provider knows."""

    provider: Server

    def given(self, *experiments: Given) -> None:
        """Let the provider give these experiments to the user."""
        self.provider.write(self.provider.known() | {self.name: experiments})

    async def list(self, query: str = "") -> Any:  # noqa: ANN401 - the page
        """The page of experiments."""
        answer = await self.get(f"/users/{self.name}/experiments/{query}")
        assert answer.status == 200, answer.body
        return answer.json()

    async def numbers(self, query: str = "") -> Sequence[str]:
        """The public numbers on a page."""
        return [each["proposal_id"] for each in (await self.list(query))["results"]]

    async def run(self, experiment: str) -> tuple[int, str]:
        """Status and error of a run; of a member it is refused with 409, for there is no quota."""
        answer = await self.ask("POST", f"/resource/run/{self.name}/{experiment}/desktop/")
        return answer.status, answer.json()["error"]


def experiment(number: str, *sessions: Given, **changes: object) -> Given:
    """An experiment as a provider gives it."""
    texts = {"subject": f"Ice {number}", "body": "Cold.", "beam_line": "BL13", "uid": "5001", "gid": "."}
    return {"proposal_id": number, **texts, "sessions": sessions or (session(f"{number}-1"),), **changes}


def session(number: str, **changes: object) -> Given:
    """A session as a provider gives it."""
    dates = {"start_date": "2026-02-01T08:00:00Z", "end_date": "2026-02-03T20:00:00Z"}
    path = {f"/datasets/{number}": {"bind": "/raw", "mode": "ro"}}
    texts = {"subject": "Visit", "body": "", "data_set_path": json.dumps(path)}
    return {"session_number": number, **dates, **texts, **changes}


def obey(api: Api, *commands: object) -> None:
    """Issue commands, and wait until the read models that the API asks for them show what is stored."""
    for command in commands:
        api.obey(command)
    head, names = api.backend.store.head(), {"users", "experiments"}
    wait_until(
        lambda: names <= {part.name for part in api.backend.parts.all() if part.position >= head}, "the read models"
    )


def head_of(api: Api) -> int:
    """The position of the last event."""
    return api.backend.store.head()


def events_after(api: Api, position: int) -> list[Event]:
    """What was stored since, oldest first."""
    return [recorded.event for recorded in api.backend.store.read(after=position, limit=1000).events]


def kinds_after(api: Api, position: int) -> list[str]:
    """The names of what was stored since."""
    return [type(event).__name__ for event in events_after(api, position)]
