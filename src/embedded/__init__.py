"""The embedded default: a private PostgreSQL and a private NATS server with their data in one folder.

data/postgres   data/postgres.log    the cluster, its socket and its log
data/nats       data/nats.log        the streams and the log
data/nats.conf                       the settings of the NATS server with its token, made anew at each start
data/run                             who serves the folder, and where its servers are
data/programs                        a copy of PostgreSQL's programs, where its account cannot reach the installed ones
"""

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from calipso.embedded.account import EmbeddedError, account_name
from calipso.embedded.nats import Nats
from calipso.embedded.postgres import Postgres
from calipso.embedded.process import write_private

__all__ = ["Addresses", "Embedded", "EmbeddedError", "addresses"]

_DATABASE = "calipso"
_GUACAMOLE_DATABASE = "guacamole"
_LOCK_SECONDS = 0.5


@dataclass(frozen=True, kw_only=True)
class Addresses:
    """Where the private servers are.

    Args:
        database_url: the libpq URL of the database for events and read models.
        guacamole_database_url: the libpq URL of the database for Guacamole's tables, on the same server.
        nats_url: the NATS URL, with user and token.
    """

    database_url: str
    guacamole_database_url: str
    nats_url: str


class Embedded:
    """The two servers as children of this process, which the kernel ends when this process is killed.

    Call `start` and `check` from one thread that lives as long as the process: that is what the kernel watches.

    Args:
        data: the folder for everything; made when it is missing.
    """

    def __init__(self, data: Path) -> None:
        self._data = data.absolute()
        self._lock: IO[str] | None = None
        self._postgres: Postgres | None = None
        self._nats: Nats | None = None

    def start(self) -> Addresses:
        """Start both servers, make the databases that are missing, and return when both answer.

        Raises:
            EmbeddedError: the folder is served already, cannot be used, or a server does not start.
        """
        try:
            with _told_plainly():
                return self._start()
        except BaseException:
            self.stop()
            raise

    def check(self) -> None:
        """Start again what has died, on the same addresses. Returns at once; the server answers a moment later."""
        for server in (self._postgres, self._nats):
            if server is not None:
                server.check()

    def stop(self) -> None:
        """End both servers in order and wait for their end; harmless when they do not run."""
        for server in (self._nats, self._postgres):
            if server is not None:
                server.stop()
        self._nats = self._postgres = None
        if self._lock is not None:
            _addresses_file(self._data).unlink(missing_ok=True)
            self._lock.close()
            self._lock = None

    def _start(self) -> Addresses:
        self._data.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._data = self._data.resolve()
        self._lock = _take_lock(self._data)
        _addresses_file(self._data).unlink(missing_ok=True)
        self._postgres, self._nats = Postgres(self._data), Nats(self._data)
        self._postgres.start(_DATABASE, _GUACAMOLE_DATABASE)
        self._nats.start()
        found = Addresses(
            database_url=self._postgres.url(_DATABASE),
            guacamole_database_url=self._postgres.url(_GUACAMOLE_DATABASE),
            nats_url=self._nats.url,
        )
        write_private(_addresses_file(self._data), json.dumps(asdict(found)))
        return found


def addresses(data: Path) -> Addresses:
    """Where the servers of a folder are that another process serves.

    Raises:
        EmbeddedError: nothing serves the folder, or it is only starting, or its files are not for this account.
    """
    folder = data.absolute().resolve()
    with _told_plainly():
        if not _is_served(folder):
            raise EmbeddedError(f"nothing runs on the folder {folder}: start it with `calipso serve --data {folder}`")
        try:
            return Addresses(**json.loads(_addresses_file(folder).read_text()))
        except FileNotFoundError:
            raise EmbeddedError(f"what runs on the folder {folder} is only starting, or stopping: try again") from None


def _addresses_file(data: Path) -> Path:
    return data / "run" / "addresses.json"


def _lock_file(data: Path) -> Path:
    return data / "run" / "lock"


def _take_lock(data: Path) -> IO[str]:
    """The lock of a folder, which ends with this process, however it ends."""
    _lock_file(data).parent.mkdir(mode=0o700, exist_ok=True)
    file = _lock_file(data).open("a+")
    deadline = time.monotonic() + _LOCK_SECONDS  # `addresses` takes it for a moment
    while not _try_lock(file, fcntl.LOCK_EX):
        if time.monotonic() > deadline:
            file.seek(0)
            holder = file.read().strip()
            file.close()
            raise EmbeddedError(f"the folder {data} is served already, by process {holder}")
        time.sleep(0.05)
    file.truncate(0)
    file.write(f"{os.getpid()}\n")
    file.flush()
    return file


def _is_served(data: Path) -> bool:
    try:
        with _lock_file(data).open() as file:
            return not _try_lock(file, fcntl.LOCK_SH)
    except FileNotFoundError:
        return False


def _try_lock(file: IO[str], kind: int) -> bool:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def _told_plainly() -> Iterator[None]:
    """Turn what the system refuses (no permission, read-only, full, not a folder) into a sentence."""
    try:
        yield
    except OSError as error:
        who = account_name(os.geteuid())
        place = error.filename or "the data folder"
        raise EmbeddedError(f"{place} cannot be used by the account {who}: {error.strerror}") from error
