"""A certified OpenID provider on loopback, and installations whose users sign in by it."""

import json
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.api.conftest import Api, make_backend, served
from tests.conftest import find_free_port
from tests.openid.browser import Browser, browsing
from tests.openid.installing import NODE, install

from calipso.backend import Backend

__all__ = ["make_backend"]

_SOURCES = Path(__file__).parent / "provider"
CLIENT = "calipso"
SECRET = "a secret of +&%: signs that must be encoded"
PORTAL = "http://portal.example.org"


@dataclass(frozen=True, kw_only=True)
class Facility:
    """An installation and the provider of its users, known by its issuer."""

    api: Api
    issuer: str


@dataclass(frozen=True, kw_only=True)
class Registration:
    """How a provider is set up: its own options, and what it knows of us besides names and addresses."""

    options: Mapping[str, object] = field(default_factory=dict)
    client: Mapping[str, object] = field(default_factory=dict)


MakeFacility = Callable[..., AbstractContextManager[Facility]]


@pytest.fixture(scope="session")
def provider_program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The provider, beside the modules that it needs."""
    folder = tmp_path_factory.mktemp("provider")
    (folder / "node_modules").symlink_to(install(_SOURCES))
    program = folder / "provider.mjs"
    program.write_text((_SOURCES / "provider.mjs").read_text())
    return program


@contextmanager
def provider(program: Path, port: int, api_url: str, registered: Registration) -> Iterator[str]:
    """A provider at which an installation is registered, within the block; gives its issuer."""
    client = {
        "client_id": CLIENT,
        "client_secret": SECRET,
        "redirect_uris": [f"{api_url}/oidc/callback/"],
        "post_logout_redirect_uris": [f"{PORTAL}/bye"],
        **registered.client,
    }
    client = {name: value for name, value in client.items() if value != ""}
    settings = json.dumps({"port": port, "clients": [client], **registered.options})
    with subprocess.Popen([NODE, program, settings], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        try:
            assert process.stdout is not None
            issuer = process.stdout.readline().decode().strip()
            assert issuer, "the provider does not start"
            yield issuer
        finally:
            process.kill()


@pytest.fixture(scope="session")
def make_facility(make_backend: Callable[..., Backend], provider_program: Path) -> MakeFacility:
    """Makes an installation with a provider; takes settings, in whose texts ISSUER stands for it."""

    @contextmanager
    def make(registered: Registration | None = None, **given: object) -> Iterator[Facility]:
        port = find_free_port()
        issuer = f"http://127.0.0.1:{port}"
        default = {"oidc_enabled": True, "oidc_op_issuer": "ISSUER", "oidc_rp_client_id": CLIENT}
        default |= {"oidc_rp_client_secret": SECRET, "redirect_after_oidc_url": f"{PORTAL}/hello"}
        default |= {"logout_redirect_url": f"{PORTAL}/bye", **given}
        filled = {name: v.replace("ISSUER", issuer) if isinstance(v, str) else v for name, v in default.items()}
        backend = make_backend(**filled)
        try:
            with served(backend) as api, provider(provider_program, port, api.url, registered or Registration()):
                yield Facility(api=api, issuer=issuer)
        finally:
            backend.close()

    return make


@pytest.fixture(scope="module")
def facility(make_facility: MakeFacility) -> Iterator[Facility]:
    """An installation that discovers its provider, shared by the tests of a module."""
    with make_facility() as made:
        yield made


@pytest.fixture
async def browser(facility: Facility) -> AsyncIterator[Browser]:
    """A browser that has never been at the shared installation."""
    async with browsing(facility.api) as made:
        yield made
