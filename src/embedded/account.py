"""The account that the private servers run as, and what it can reach."""

import contextlib
import os
import pwd
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from calipso.errors import CalipsoError

_ACCOUNT = "pgserver"


class EmbeddedError(CalipsoError):
    """The embedded default cannot run, or does not run; the message is a sentence for its operator."""


@dataclass(frozen=True, kw_only=True)
class Account:
    """The account of the system that a server runs as, by its numbers."""

    uid: int
    gid: int

    @property
    def name(self) -> str:
        """Its name, or the number when it has none."""
        return account_name(self.uid)

    def may(self, test: str, path: Path) -> bool:
        """What `test(1)` says to the account, for instance `-x` for a folder that it may pass through."""
        argv = ["test", test, str(path)]
        return subprocess.run(argv, check=False, user=self.uid, group=self.gid, extra_groups=[]).returncode == 0  # noqa: S603


def account_for(cluster: Path) -> Account | None:
    """Whom PostgreSQL runs as, which refuses root and a cluster that is not its own; None for this process' account.

    Raises:
        EmbeddedError: this process may not use the cluster, or cannot make the account that root needs.
    """
    owner = cluster.stat() if cluster.exists() else None
    if os.geteuid() == 0:
        return Account(uid=owner.st_uid, gid=owner.st_gid) if owner is not None and owner.st_uid else _server_account()
    if owner is not None and owner.st_uid != os.geteuid():
        raise EmbeddedError(f"{cluster} belongs to {account_name(owner.st_uid)}: run this as that account or as root")
    return None


def _server_account() -> Account:
    """The system account for a server that root starts, made when it is missing."""
    told = ""
    for attempt in (1, 2):
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(_ACCOUNT)
            return Account(uid=entry.pw_uid, gid=entry.pw_gid)
        if attempt == 1:
            told = _add_account()
    raise EmbeddedError(f"PostgreSQL refuses to run as root, and the account {_ACCOUNT} cannot be made for it: {told}")


def _add_account() -> str:
    useradd = shutil.which("useradd", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin")
    if useradd is None:
        return "there is no useradd here"
    argv = [useradd, "--system", "--no-create-home", "--home-dir=/nonexistent", "--shell=/usr/sbin/nologin", _ACCOUNT]
    return subprocess.run(argv, check=False, capture_output=True, text=True).stderr.strip()  # noqa: S603


def require_way(data: Path, account: Account) -> None:
    """Let the server's account into our own folder, and check that it may pass through those above.

    Those are not ours to change. The wheel's own functions open them, and all that lies in them, to everybody.

    Raises:
        EmbeddedError: a folder is in the way.
    """
    if not account.may("-x", data) and data.stat().st_uid == 0:
        os.chown(data, -1, account.gid)
        data.chmod(data.stat().st_mode | 0o010)
    for folder in (*reversed(data.parents), data):
        if not account.may("-x", folder):
            raise EmbeddedError(
                f"PostgreSQL runs as the account {account.name}, which may not pass through the folder {folder}: "
                f"put the data elsewhere (--data /var/lib/calipso), or allow it with: chmod o+x {folder}"
            )


def account_name(uid: int) -> str:
    """The name of an account, or its number when it has none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
