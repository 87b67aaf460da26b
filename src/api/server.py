"""Runs one API process."""

import socket

import structlog

from calipso.api.app import create_app
from calipso.backend import Backend
from calipso.errors import Unavailable

_log = structlog.get_logger()

_BACKLOG = 1024


def run(backend: Backend) -> None:
    """Serve until SIGINT or SIGTERM.

    Raises:
        Unavailable: the address is in use, or not of this machine; or the store does not answer.
    """
    host, port = backend.settings.host, backend.settings.port
    backend.installation  # noqa: B018 - a database that is not prepared is told now, not at the first request
    app = create_app(backend, on_ready=lambda: _log.info("serving", host=host, port=port))
    app.run(sock=listening_socket(host, port), single_process=True, motd=False, access_log=False)


def listening_socket(host: str, port: int) -> socket.socket:
    """A socket that listens on an address.

    Raises:
        Unavailable: the address is in use, or not of this machine.
    """
    try:
        family, kind, number, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        made = socket.socket(family, kind, number)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(address)
        made.listen(_BACKLOG)
    except OSError as error:
        raise Unavailable(f"the address {host}:{port}", error.strerror or str(error)) from error
    return made
