"""Everything on one machine: the embedded default, and every process of ours beside it."""

import secrets
import ssl
import sys
import threading
import time
import urllib.request
from http import HTTPStatus
from pathlib import Path
from typing import Annotated

import typer

from calipso import credentials, logs, secrecy, settings
from calipso.backend import Backend
from calipso.bootstrap.databases import migrate
from calipso.cli.demo import fill
from calipso.embedded import Embedded
from calipso.errors import Invalid
from calipso.settings.places import MASTER_KEY_FILE
from calipso.supervisor import Supervisor

_READY_POLL_SECONDS = 0.1


def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on.  [default: 127.0.0.1]")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on.  [default: 8000]")] = None,
    data: Annotated[
        Path | None, typer.Option(envvar="CALIPSO_DATA", help="Folder of the embedded servers.  [default: ./data]")
    ] = None,
    demo: Annotated[
        bool, typer.Option("--demo", help="Fill in a small facility: users, experiments, catalogue.")
    ] = False,
) -> None:
    """Run everything: PostgreSQL and NATS (unless given by settings), the API, projections, relay and provisioners.

    Prints `ready` and the address, as in `ready http://HOST:PORT/`, when it serves; Ctrl-C stops everything in order.
    """
    # a folder given here decides, also for what the processes find in the environment
    given = {name: value for name, value in (("host", host), ("port", port), ("data", data)) if value is not None}
    configured = settings.load(**given)
    logs.configure(configured.effective_log_level)
    secrecy.remember(configured.secrets())
    embedded = _embedded(configured)
    makes_guacamole = embedded is not None and not configured.guacamole_database_url
    try:
        if embedded is not None:
            configured = _start(embedded, configured)
        backend = Backend(configured)
        try:
            migrate(backend, make_guacamole=makes_guacamole)
            if demo:
                fill(backend)
        finally:
            backend.close()
        status = _supervise(configured, embedded)
    finally:
        if embedded is not None:
            embedded.stop()
    raise typer.Exit(status)


def _embedded(configured: settings.Settings) -> Embedded | None:
    given = [bool(configured.database_url), bool(configured.nats_url)]
    if all(given):
        return None
    if any(given):
        raise Invalid("settings", "give both CALIPSO_DATABASE_URL and CALIPSO_NATS_URL, or none of them")
    return Embedded(configured.data)


def _start(embedded: Embedded, configured: settings.Settings) -> settings.Settings:
    print(f"starting PostgreSQL and NATS in {configured.data.absolute()}", flush=True)
    found = embedded.start()
    return configured.model_copy(
        update={
            "database_url": found.database_url,
            "guacamole_database_url": configured.guacamole_database_url or found.guacamole_database_url,
            "nats_url": found.nats_url,
            "master_keys": settings.secret(_master_keys(configured)),
        }
    )


def _master_keys(configured: settings.Settings) -> str:
    """The master keys that are set, else those of the data folder, made at its first start."""
    if given := configured.master_keys.get_secret_value():
        return given
    file = configured.data / MASTER_KEY_FILE
    if not file.exists():
        # written aside and renamed, so that a crash leaves no half key
        fresh = file.with_name(f".{MASTER_KEY_FILE}.{secrets.token_hex(4)}")
        fresh.touch(mode=0o600)
        fresh.write_text(credentials.generate_key_line())
        fresh.rename(file)
    return file.read_text()


def _supervise(configured: settings.Settings, embedded: Embedded | None) -> int:
    program = [sys.executable, "-m", "calipso"]
    parts = {
        "api": [*program, "api"],
        "project": [*program, "project"],
        "relay": [*program, "relay"],
        **{f"provision {t.name}": [*program, "provision", t.name] for t in configured.effective_targets()},
    }
    threading.Thread(target=_tell_ready, args=(configured,), name="ready", daemon=True).start()
    return Supervisor(parts, _environment(configured), embedded.check if embedded else lambda: None).run()


def _environment(configured: settings.Settings) -> dict[str, str]:
    return {
        "CALIPSO_HOST": configured.host,
        "CALIPSO_PORT": str(configured.port),
        "CALIPSO_DATA": str(configured.data.absolute()),
        "CALIPSO_DATABASE_URL": configured.database_url,
        "CALIPSO_GUACAMOLE_DATABASE_URL": configured.guacamole_database_url,
        "CALIPSO_NATS_URL": configured.nats_url,
    } | _keys_environment(configured)


def _keys_environment(configured: settings.Settings) -> dict[str, str]:
    """Keys that the settings give are inherited; those of the data folder are named by their file, not shown."""
    file = configured.data.absolute() / MASTER_KEY_FILE
    is_own = file.exists() and file.read_text() == configured.master_keys.get_secret_value()
    return {"CALIPSO_MASTER_KEYS_FILE": str(file)} if is_own else {}


def _tell_ready(configured: settings.Settings) -> None:
    """Print one line when the API serves; the address is our own."""
    host = "127.0.0.1" if configured.host in {"0.0.0.0", "::"} else configured.host  # noqa: S104 - only compared
    while not _answers(f"{_url(configured, host)}health/ready"):
        time.sleep(_READY_POLL_SECONDS)
    print(f"ready {_url(configured, configured.host)}", flush=True)


def _url(configured: settings.Settings, host: str) -> str:
    scheme = "https" if configured.tls_certificate else "http"
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{configured.port}{configured.base_path}"


def _answers(url: str) -> bool:
    # the certificate is for the names that browsers use; a default context would load all of the system's, each time
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    # a name that is always allowed for health
    asked = urllib.request.Request(url, headers={"Host": "localhost"})  # noqa: S310 - an address of our own
    try:
        with urllib.request.urlopen(asked, timeout=2, context=context) as answer:  # noqa: S310 - as above
            return bool(answer.status == HTTPStatus.OK)
    except (OSError, ValueError):
        return False
