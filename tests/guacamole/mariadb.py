"""A MariaDB of the tests' own, that listens on a socket only."""

import os
import pwd
import shutil
import subprocess
from pathlib import Path
from uuid import uuid4

from sqlalchemy import Engine, create_engine, text
from sqlalchemy.pool import NullPool
from tests.conftest import wait_until


class MariaDB:
    """A server with its data in a folder, which its account can enter."""

    def __init__(self, folder: Path) -> None:
        self.socket = folder / "socket"
        as_user = ["--user=mysql"] if os.geteuid() == 0 else []
        if as_user:
            os.chown(folder, pwd.getpwnam("mysql").pw_uid, -1)
        self._options = [f"--datadir={folder / 'data'}", *as_user]
        self._process: subprocess.Popen[bytes] | None = None
        subprocess.run(
            [
                *(_program("mariadb-install-db"), "--no-defaults", "--auth-root-authentication-method=normal"),
                *("--skip-test-db", *self._options),
            ],
            check=True,
            capture_output=True,
        )

    def start(self) -> None:
        """Start it and wait until it answers."""
        self._process = subprocess.Popen(
            [
                *(_program("mariadbd"), "--no-defaults", f"--socket={self.socket}", "--skip-networking"),
                *("--sql-mode=STRICT_ALL_TABLES", "--default-time-zone=+05:00", *self._options),
                *("--innodb-flush-log-at-trx-commit=0", "--innodb-doublewrite=0", "--innodb-flush-method=nosync"),
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_until(self._answers, "MariaDB to answer")

    def stop(self) -> None:
        """End it and wait for its end."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait()
            self._process = None

    def make_database(self) -> str:
        """Make an empty database; gives its name."""
        name = f"test_{uuid4().hex}"
        with self.engine("").begin() as connection:
            connection.execute(text(f"CREATE DATABASE {name} CHARACTER SET utf8mb3"))
        return name

    def url(self, database: str) -> str:
        """The address of a database, as the settings take it."""
        return f"mysql://root@/{database}?unix_socket={self.socket}"

    def engine(self, database: str) -> Engine:
        """An engine for a database."""
        return create_engine(self.url(database).replace("mysql://", "mysql+pymysql://"), poolclass=NullPool)

    def _answers(self) -> bool:
        ping = [_program("mariadb-admin"), f"--socket={self.socket}", "ping"]
        return subprocess.run(ping, capture_output=True, check=False).returncode == 0


def _program(name: str) -> str:
    found = shutil.which(name, path=f"/usr/sbin:/usr/bin:{os.environ['PATH']}")
    assert found, f"the program {name} is missing: install MariaDB's server"
    return found
