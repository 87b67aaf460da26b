"""HTTPS by the API itself: with which certificate, and what other clients of that port do to it."""

import asyncio
import os
import socket
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import aiohttp
import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from tests.api.conftest import PASSWORD, Api, served
from tests.conftest import PATIENCE, wait_until
from tests.runtimes.certificates import Authority, Pair
from yarl import URL

from calipso.backend import Backend
from calipso.cli import serve


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Whom clients of these tests trust."""
    return Authority(tmp_path_factory.mktemp("certificates"), "authority")


@pytest.fixture(scope="module")
def pair(authority: Authority) -> Pair:
    """The certificate of the API."""
    return authority.sign("api")


@pytest.fixture(scope="module")
def secured(make_backend: Callable[..., Backend], pair: Pair) -> Iterator[Api]:
    """A served installation that speaks TLS."""
    backend = make_backend(tls_certificate=pair.certificate, tls_key=pair.key)
    try:
        with served(backend) as made:
            yield made
    finally:
        backend.close()


@asynccontextmanager
async def client(api: Api, authority: Authority) -> AsyncIterator[aiohttp.ClientSession]:
    """A client that trusts the authority."""
    context = ssl.create_default_context(cafile=authority.file)
    connector, jar = aiohttp.TCPConnector(ssl=context), aiohttp.CookieJar(unsafe=True)
    async with aiohttp.ClientSession(api.url, connector=connector, cookie_jar=jar) as session:
        yield session


def place_of(api: Api) -> tuple[str, int]:
    url = URL(api.url)
    assert url.host is not None
    assert url.port is not None
    return url.host, url.port


async def test_signing_in_over_https(secured: Api, authority: Authority) -> None:
    assert secured.url.startswith("https://")
    body = {"username": secured.add_user(), "password": PASSWORD}
    async with client(secured, authority) as session:
        async with session.post("/login/", json=body) as answer:
            assert [bool(cookie["secure"]) for cookie in answer.cookies.values()] == [True] * 2
        async with session.get("/authenticated/") as answer:
            assert answer.status == 200


async def test_links_of_pages_are_https(secured: Api, authority: Authority) -> None:
    names = [secured.add_user() for _ in range(21)]
    following = None
    async with client(secured, authority) as session:
        while not following:  # until the read model has all of them
            headers = {"Authorization": aiohttp.encode_basic_auth(names[0], PASSWORD)}
            async with session.get("/users/?ordering=username", headers=headers) as answer:
                following = (await answer.json())["next"]
    assert following == f"{secured.url}/users/?ordering=username&page=2"


def test_readiness_is_found(secured: Api) -> None:
    configured = secured.backend.settings.model_copy(update={"port": URL(secured.url).port})
    url = serve._url(configured, "127.0.0.1")
    assert url == f"{secured.url}/"
    wait_until(lambda: serve._answers(f"{url}health/ready"), "readiness")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_versions_that_are_spoken(secured: Api, authority: Authority, version: ssl.TLSVersion) -> None:
    context = ssl.create_default_context(cafile=authority.file)
    context.minimum_version = context.maximum_version = version
    with (
        socket.create_connection(place_of(secured)) as bare,
        context.wrap_socket(bare, server_hostname="127.0.0.1") as wrapped,
    ):
        assert wrapped.version() == version.name.replace("_", ".")


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated:DeprecationWarning")
def test_an_old_version_is_refused(secured: Api) -> None:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    with (
        socket.create_connection(place_of(secured)) as bare,
        pytest.raises(ssl.SSLError, match=r"EOF|version|alert"),
    ):
        context.wrap_socket(bare)


async def test_others_on_that_port_harm_nothing(secured: Api, authority: Authority) -> None:
    silent = [await asyncio.open_connection(*place_of(secured)) for _ in range(20)]
    for sent in (b"GET /settings/ HTTP/1.1\r\nHost: x\r\n\r\n", b"\x16\x03\x01\x02\x00\x01", b"\0" * 5000):
        reader, writer = await asyncio.open_connection(*place_of(secured))
        writer.write(sent)
        if not sent.startswith(b"\x16"):  # the beginning of a handshake, which is awaited
            assert b"HTTP" not in await asyncio.wait_for(reader.read(), PATIENCE)
        silent.append((reader, writer))
    async with client(secured, authority) as session, session.get("/settings/") as answer:
        assert answer.status == 200
    # nobody may keep a connection open by saying nothing
    await asyncio.wait_for(asyncio.gather(*(reader.read() for reader, _ in silent)), PATIENCE)
    for _, writer in silent:
        writer.close()


def begun(backend: Backend, port: int, pair: Pair) -> subprocess.Popen[str]:
    """An API process of its own."""
    environment = {
        **os.environ,
        "CALIPSO_DATABASE_URL": backend.settings.database_url,
        "CALIPSO_MASTER_KEYS": backend.settings.master_keys.get_secret_value(),
        "CALIPSO_PORT": str(port),
        "CALIPSO_TLS_CERTIFICATE": str(pair.certificate),
        "CALIPSO_TLS_KEY": str(pair.key),
    }
    return subprocess.Popen(
        [sys.executable, "-m", "calipso", "api"],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.parametrize("fault", ["no-certificate", "no-key", "other-key", "sealed-key", "not-pem", "key-is-none"])
def test_files_that_cannot_be_used(
    secured: Api, authority: Authority, free_port: int, tmp_path: Path, fault: str
) -> None:
    pair = authority.sign("right")
    file = tmp_path / "file.pem"
    sealing = BestAvailableEncryption(b"a passphrase")
    key = load_pem_private_key(pair.key.read_bytes(), None)
    wrong, told = {
        "no-certificate": (replace(pair, certificate=file), f"CERTIFICATE: cannot read {file}: No such file"),
        "no-key": (replace(pair, key=tmp_path), f"KEY: cannot read {tmp_path}: Is a directory"),
        "other-key": (replace(pair, key=authority.sign("other").key), "is not the key of the certificate in"),
        "sealed-key": (replace(pair, key=file), f"KEY: {file} holds no private key (PEM) without a passphrase"),
        "not-pem": (replace(pair, certificate=pair.key), "holds no certificate (PEM)"),
        "key-is-none": (replace(pair, key=pair.certificate), "holds no private key (PEM)"),
    }[fault]
    if fault == "sealed-key":
        file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, sealing))
    process = begun(secured.backend, free_port, wrong)
    text, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == os.EX_CONFIG
    assert text.startswith("error: settings: CALIPSO_TLS_")
    assert told in text
    assert len(text.splitlines()) == 1


def test_an_expired_certificate_is_a_warning(secured: Api, authority: Authority, free_port: int) -> None:
    process = begun(secured.backend, free_port, authority.sign("past", left=timedelta(minutes=-1)))
    assert process.stdout is not None
    lines: list[str] = []

    def serves() -> bool:
        lines.append(process.stdout.readline() if process.stdout else "")
        return "event=serving" in lines[-1]

    try:
        wait_until(serves, "the API to serve")
    finally:
        process.terminate()
        process.communicate(timeout=PATIENCE)
    text = "".join(lines)
    assert "the certificate has expired" in text
    assert f"https://127.0.0.1:{free_port}" in text
    assert process.returncode == 0
