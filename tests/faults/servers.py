"""The private PostgreSQL and NATS of the embedded default, started, ended and broken by the harness."""

import os
import shutil
import signal
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from calipso.embedded.nats import Nats
from calipso.embedded.postgres import Postgres

DATABASES = ("calipso", "guacamole", "guacamole_rebuilt")


class PostgresServer:
    """PostgreSQL with the databases of one installation.

    Args:
        data: the folder for everything.
    """

    def __init__(self, data: Path) -> None:
        self._data = data
        self._server = Postgres(data)

    def start(self) -> None:
        """Start it and wait until it answers."""
        self._server.start(*DATABASES)

    def stop(self) -> None:
        """End it in order; what is connected is cut off."""
        self._server.stop()

    def crash(self, number: int) -> None:
        """End it without order: SIGQUIT to have it replay its log, SIGKILL to leave its children for a moment."""
        pid = int((self._data / "postgres" / "postmaster.pid").read_text().split()[0])
        os.kill(pid, number)
        self._server.stop()

    def url(self, database: str) -> str:
        """The address of a database, past all links."""
        return self._server.url(database)

    @property
    def socket(self) -> Path:
        """Where its socket is."""
        return self._data / "postgres" / ".s.PGSQL.5432"


class NatsServer:
    """NATS with JetStream.

    Args:
        data: the folder for everything.
    """

    def __init__(self, data: Path) -> None:
        self._data = data
        self._server = Nats(data)

    def start(self) -> None:
        """Start it where it was before, and wait until it answers."""
        self._server.start()

    def stop(self) -> None:
        """End it in order."""
        self._server.stop()

    def kill(self) -> None:
        """Kill it without warning."""
        for child in psutil.Process().children():
            if str(self._data / "nats.conf") in child.cmdline():
                child.send_signal(signal.SIGKILL)
        self._server.stop()

    def lose(self) -> None:
        """Lose all its data; it must have ended."""
        shutil.rmtree(self._data / "nats")

    @property
    def url(self) -> str:
        """Its address, past all links."""
        return self._server.url

    @property
    def place(self) -> tuple[str, int]:
        """Host and port."""
        parts = urlsplit(self.url)
        return str(parts.hostname), int(parts.port or 0)
