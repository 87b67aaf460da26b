"""The demo's User Office as a process of its own, and an API that asks it."""

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.api.conftest import Api, api, make_backend, served  # noqa: F401 - fixtures
from tests.conftest import PATIENCE

from calipso.backend import Backend

PROGRAM = Path(__file__).parents[2] / "ops" / "demo" / "user_office"
OFFICE_PASSWORD = "their secret at the User Office"
ACCOUNT_PASSWORD = "our secret at the User Office"
NAMES = ("ada", "bob", "eve", "announced", "local", "promoted", "slow", "both")
TROUBLES = ("hang", "html", "redirect", "huge", "error", "close")
HASHES = {name: f"{name.lower()}-0123456789abcdef" for name in NAMES}

NUMBERS = {"ada": (4711, 4712), "eve": (0, 0)}


@dataclass(frozen=True, kw_only=True)
class Office:
    """A running User Office."""

    url: str

    def trouble(self, kind: str) -> None:
        """Let it be in a trouble, or in none."""
        request = urllib.request.Request(f"{self.url}/trouble", data=kind.encode(), method="POST")  # noqa: S310 - our own
        urllib.request.urlopen(request, timeout=PATIENCE).close()  # noqa: S310 - our own


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    """The demo's User Office."""
    users = {
        name.lower(): {"password": OFFICE_PASSWORD, "hash": HASHES[name], "authorized": name != "bob"} for name in NAMES
    } | {f"grace-{kind}": {"password": OFFICE_PASSWORD} for kind in TROUBLES}
    for name, (uid, gid) in NUMBERS.items():
        users[name] |= {"uid": uid, "gid": gid}
    file = tmp_path_factory.mktemp("office") / "users.json"
    file.write_text(json.dumps(users))
    process = subprocess.Popen(
        [sys.executable, PROGRAM, "--port", "0", "--users", file],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "CALIPSO_DEMO_LOCAL_ACCESS_PASSWORD": ACCOUNT_PASSWORD},
    )
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        assert line.startswith("ready "), line
        yield Office(url=line.split()[1].rstrip("/"))
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()


@pytest.fixture(scope="module")
def asking(office: Office, make_backend: Callable[..., Backend]) -> Iterator[Api]:  # noqa: F811 - the fixture
    """An API that asks the User Office, behind a proxy on this machine."""
    backend = make_backend(
        backend_uo_login=f"{office.url}/login",
        backend_uo_hash=f"{office.url}/hash",
        backend_uo_is_authorized=f"{office.url}/is_authorized",
        backend_default_authorization=False,
        local_access_username="calipso",
        local_access_password=ACCOUNT_PASSWORD,
        outside_timeout=120,
        trusted_proxies="127.0.0.0/8",
        frontend_calipso="https://portal.example.org/",
        backend_calipso="https://calipso.example.org/services/",
        umbrella_logout="https://umbrella.example.org/out",
    )
    try:
        with served(backend) as made:
            yield made
    finally:
        backend.close()


@pytest.fixture(autouse=True)
def _no_trouble(office: Office) -> Iterator[None]:
    yield
    office.trouble("")
