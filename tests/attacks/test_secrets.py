"""Canaries in the place of every secret: none of them is found in logs or answers, whatever goes wrong."""

import base64
import io
import logging
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr

import pytest
import structlog

from calipso import credentials, logs, secrecy
from calipso.backend import Backend
from tests.api.conftest import Api, basic, served, url_of

CANARY = "canary-0f3b-of"
MASTER = base64.b64encode(b"canary-of-the-master-key-32-byte").decode()


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """What a process logs, at its most talkative."""
    monkeypatch.setattr(secrecy, "_known", {})
    written, root = io.StringIO(), logging.getLogger()
    handlers, level, hook = root.handlers[:], root.level, sys.excepthook
    root.handlers.clear()
    with redirect_stderr(written):
        logs.configure("debug")
        root.setLevel(logging.DEBUG)
        try:
            yield written
        finally:
            structlog.reset_defaults()
            root.handlers[:] = handlers
            root.setLevel(level)
            sys.excepthook = hook


@pytest.fixture
def api(log: io.StringIO, make_backend: Callable[..., Backend], make_database: Callable[[], str]) -> Iterator[Api]:
    del log
    # the private server trusts everybody who reaches its socket, so any password may be sent
    store, guacamole = (url_of(make_database()) for _ in range(2))
    backend = make_backend(
        database_url=store.replace("@/", f":{CANARY}-database@/", 1),
        guacamole_database_url=guacamole.replace("@/", f":{CANARY}-guacamole@/", 1),
        nats_url=f"nats://relay:{CANARY}-nats@127.0.0.1:9",
        master_keys=f"1:{MASTER}\n",
        proxy_secret=f"{CANARY}-proxy",
        oidc_rp_client_secret=f"{CANARY}-oidc",
        local_access_username="calipso",
        local_access_password=f"{CANARY}-local-access",
        icat_password=f"{CANARY}-icat",
        backend_uo_login="http://127.0.0.1:9/login",
        backend_uo_is_authorized="http://127.0.0.1:9/authorised",
        guacamole_url="http://127.0.0.1:9/guacamole/",
    )
    secrecy.remember(backend.settings.secrets())
    with served(backend) as made:
        yield made
    backend.close()


async def test_no_secret_is_logged_or_answered(api: Api, log: io.StringIO) -> None:
    answers = []
    name = api.add_user(password=f"{CANARY}-password")
    async with api.anonymous() as session:
        for sent in (f"{CANARY}-password", f"{CANARY}-guess"):
            async with session.post("/login/", json={"username": name, "password": sent}) as answer:
                answers.append(await answer.text())
            headers = {"Authorization": basic(name, sent), "X-Calipso-Proxy-Secret": f"{CANARY}-proxy"}
            for path in (
                "/images/",
                "/login/type/",
                "/health",
                "/metrics",
                f"/resource/run/{name}/own/x/",
                "/enter/?t=x",
            ):
                async with session.get(path, headers=headers) as answer:
                    answers.append(f"{answer.headers}{await answer.text()}")
        async with session.post("/login/", json={"username": f"who-{CANARY}"[:20], "password": "x"}) as answer:
            answers.append(await answer.text())
    told = "".join(answers) + log.getvalue()
    assert "request" in log.getvalue()
    assert CANARY not in told
    assert MASTER not in told


async def test_what_breaks_tells_no_secret(api: Api, log: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error of a library that holds the address with the password, and one that nobody foresaw."""

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError(f"invalid dsn: {api.backend.settings.database_url} {MASTER}")

    monkeypatch.setattr(api.backend.reading_engine, "connect", broken)
    name = api.add_user(password=f"{CANARY}-password")
    async with api.basic(name, f"{CANARY}-password") as session, session.get("/images/") as answer:
        assert answer.status == 500
        told = await answer.text()
    assert "invalid dsn" in log.getvalue()
    assert CANARY not in told + log.getvalue()
    assert MASTER not in told + log.getvalue()


def test_lines_of_a_request_carry_its_id(log: io.StringIO) -> None:
    structlog.contextvars.bind_contextvars(request_id="an-id")
    try:
        structlog.get_logger().warning(
            "something", url=f"nats://{CANARY}-token@nats", why=ValueError(f"password={CANARY}")
        )
    finally:
        structlog.contextvars.clear_contextvars()
    logging.getLogger("nats").warning("cannot connect to nats://a:%s@nats", f"{CANARY}-nats")
    assert "request_id=an-id" in log.getvalue()
    assert "something" in log.getvalue()
    assert "nats://a:********@nats" in log.getvalue()
    assert CANARY not in log.getvalue()


@pytest.mark.parametrize("setting", ["CALIPSO_DATABASE_URL", "CALIPSO_GUACAMOLE_DATABASE_URL"])
def test_the_command_line_ends_without_a_secret(setting: str) -> None:
    environment = {
        "PATH": "/usr/bin",
        "CALIPSO_DATABASE_URL": "postgresql://127.0.0.1:9/calipso",
        "CALIPSO_MASTER_KEYS": credentials.generate_key_line(),
        setting: f"postgresql://calipso:{CANARY}@127.0.0.1:9/calipso?nonsense={CANARY}",
    }
    program = [sys.executable, "-m", "calipso", "migrate"]
    ended = subprocess.run(program, env=environment | _python_path(), capture_output=True, text=True, check=False)
    assert ended.returncode != 0
    assert CANARY not in ended.stdout + ended.stderr


def _python_path() -> dict[str, str]:
    return {"PYTHONPATH": ":".join(sys.path)}
