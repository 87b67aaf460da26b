"""A target behind TCP and TLS with certificates of a private authority on both sides."""

import contextlib
import ssl
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.runtimes.binding import usable
from tests.runtimes.certificates import Authority, Pair
from tests.runtimes.docker_binding import DockerBinding
from tests.runtimes.orders import order
from tests.runtimes.proxy import Proxy

from calipso.errors import Unavailable
from calipso.events.values import Protocol, Runtime
from calipso.runtimes.protocol import Target

pytestmark = pytest.mark.docker


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "authority")


@pytest.fixture
def client(authority: Authority) -> Pair:
    return authority.sign("client")


@pytest.fixture
def target(docker_binding: DockerBinding, authority: Authority, client: Pair) -> Iterator[Target]:
    """An engine that asks for a certificate of the authority."""
    server = authority.sign("server")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(authority.file))
    context.load_cert_chain(server.certificate, server.key)
    context.verify_mode = ssl.CERT_REQUIRED
    with contextlib.closing(Proxy(docker_binding.address.removeprefix("unix://"), context)) as proxy:
        yield Target(
            name="here",
            runtime=Runtime.DOCKER,
            address=f"tcp://127.0.0.1:{proxy.port}",
            tls_ca=authority.file,
            tls_cert=client.certificate,
            tls_key=client.key,
        )


def test_containers_are_made_through_tls(
    docker_binding: DockerBinding, target: Target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.setenv(variable, str(Authority(tmp_path, "of-others").file))
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    runtime = docker_binding.made(target)
    wanted = order(docker_binding.image("vnc", Protocol.VNC))
    assert usable(runtime, wanted).port
    assert list(runtime.list()) == [wanted.request.container_id]
    assert runtime.logs(wanted.request.container_id, lines=10)
    runtime.remove(wanted.request.container_id)
    assert runtime.list() == {}


def test_an_engine_of_another_authority_is_not_trusted(
    docker_binding: DockerBinding, target: Target, tmp_path: Path
) -> None:
    other = Authority(tmp_path, "other")
    with pytest.raises(Unavailable, match="CERTIFICATE_VERIFY_FAILED"):
        docker_binding.made(replace(target, tls_ca=other.file)).ping()


def test_we_are_refused_without_our_certificate(docker_binding: DockerBinding, target: Target) -> None:
    with pytest.raises(Unavailable, match="target here"):
        docker_binding.made(replace(target, tls_cert=None, tls_key=None)).ping()


def test_a_certificate_without_its_key_is_told(docker_binding: DockerBinding, target: Target) -> None:
    with pytest.raises(Unavailable, match="key"):
        docker_binding.made(replace(target, tls_key=None)).ping()
