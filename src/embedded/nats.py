"""The private NATS server of the embedded default: the program from a wheel, JetStream in a folder, loopback only."""

import json
import secrets
import signal
import socket
import sysconfig
from pathlib import Path
from typing import TypedDict

from calipso.embedded.process import Child, Program, write_private

_HOST = "127.0.0.1"
_USER = "calipso"
_START_SECONDS = 60.0
_STOP_SECONDS = 15.0
_LOG_BYTES = 10 << 20


class _Kept(TypedDict):
    """What stays the same from one start to the next."""

    name: str
    token: str
    port: int


class Nats:
    """A NATS server of which this process is the parent.

    Args:
        data: the absolute folder for everything: `nats` has the streams, `nats.conf` the settings, `nats.log` the log.
    """

    def __init__(self, data: Path) -> None:
        self._data = data
        self._settings = data / "nats.conf"
        self._kept: _Kept = {"name": "", "token": "", "port": 0}
        self._child = Child(self._program())

    def start(self) -> None:
        """Start it on the port it had, or another when that is taken, and return when it answers.

        Raises:
            EmbeddedError: something about the folder or the machine hinders it.
        """
        self._kept = self._read_kept()
        (self._data / "nats").mkdir(mode=0o700, exist_ok=True)
        self._child.await_end_of_remains(patience=_START_SECONDS)
        self._kept["port"] = _free_port(self._kept["port"])
        write_private(self._settings, self._settings_text())
        self._child.start(self._answers, patience=_START_SECONDS)

    def check(self) -> None:
        """Start it again when it died; returns at once."""
        self._child.revive()

    def stop(self) -> None:
        """End it in order."""
        self._child.stop(patience=_STOP_SECONDS)

    @property
    def url(self) -> str:
        """Its address with user and token."""
        return f"nats://{_USER}:{self._kept['token']}@{_HOST}:{self._kept['port']}"

    def _program(self) -> Program:
        return Program(
            name="nats-server",
            argv=[str(Path(sysconfig.get_path("scripts")) / "nats-server"), "-c", str(self._settings)],
            mark=str(self._settings),
            folder=self._data,
            log=self._data / "nats.log",
            ends_on=signal.SIGTERM,
            forced_on=signal.SIGKILL,
        )

    def _read_kept(self) -> _Kept:
        try:
            settings = json.loads(self._settings.read_text())
            return {
                "name": settings["server_name"],
                "token": settings["authorization"]["password"],
                "port": settings["port"],
            }
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return {"name": f"calipso-{secrets.token_hex(4)}", "token": secrets.token_hex(24), "port": 0}

    def _settings_text(self) -> str:
        """The settings as JSON, which the server's own format includes."""
        settings = {
            "server_name": self._kept["name"],
            "host": _HOST,
            "port": self._kept["port"],
            "jetstream": {"store_dir": str(self._data / "nats")},
            "authorization": {"user": _USER, "password": self._kept["token"]},
            "log_file": str(self._data / "nats.log"),
            "logfile_size_limit": _LOG_BYTES,
            "logfile_max_num": 2,
        }
        return json.dumps(settings, indent=2, ensure_ascii=False) + "\n"

    def _answers(self) -> bool:
        """Whether it is this server that greets, with its streams loaded."""
        try:
            with socket.create_connection((_HOST, self._kept["port"]), timeout=1) as connection:
                greeting = json.loads(connection.makefile("rb").readline().removeprefix(b"INFO "))
        except (OSError, ValueError):
            return False
        return bool(greeting.get("server_name") == self._kept["name"] and greeting.get("jetstream"))


def _free_port(wanted: int) -> int:
    """The wanted port when it is free, otherwise one that the kernel chooses."""
    if wanted and _is_free(wanted):
        return wanted
    with socket.create_server((_HOST, 0)) as server:
        return int(server.getsockname()[1])


def _is_free(port: int) -> bool:
    try:
        # create_server sets SO_REUSEADDR: connections of the last run may still be closing
        socket.create_server((_HOST, port)).close()
    except OSError:
        return False
    return True
