"""A program of its own that looks at folders of this host, and makes the missing ones.

It reads from its input whose they are and where they may lie, names each folder before it touches it, so that whoever
waits for it knows at which it hangs, and says last what is wrong, if something is. It imports nothing of Calipso, so
that it is there at once; dataclasses alone would take half of its time.
"""

import json
import os
import stat
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, NamedTuple

_MODE = 0o750
# a folder that has this mode was made, but not yet given to its owner
_UNFINISHED = 0o1700
_ROOT = 0
_WAY = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW


class RefusedError(Exception):
    """A folder is not to be used; the text says why."""


class Account(NamedTuple):
    """Whose folders they are."""

    uid: int
    gid: int
    groups: tuple[int, ...]


def main() -> None:
    """Look at the folders that the input names, one after the other."""
    asked = json.load(sys.stdin)
    os.umask(0)
    account = Account(uid=asked["uid"], gid=asked["gid"], groups=tuple(asked["groups"]))
    world = asked["world"]
    if world and not _is_open(world):
        return
    for source, root, bind in asked["folders"]:
        _say(at=source)
        try:
            if world:
                compare(source, root, world + bind, account)
            else:
                prepare(source, root, account)
        except RefusedError as error:
            _say(fault=str(error))
        except OSError as error:
            _say(fault=f"the folder {source} cannot be made: {error.strerror}")


def prepare(source: str, root: str, account: Account) -> None:
    """See that a folder is there, and make it for its account if it is not.

    Args:
        source: the folder.
        root: the folder below which it must lie, made when missing; empty: what is there is only touched.
        account: who must be able to look at it, and whose it becomes.

    Raises:
        RefusedError: a link leads out of the root.
        OSError: it cannot be made.
    """
    if not root:
        with suppress(OSError):
            os.stat(source)  # noqa: PTH116 - pathlib would take a quarter of this program's time
        return
    with suppress(OSError):
        # a root of the facility belongs to no user
        os.makedirs(root, mode=0o755, exist_ok=True)  # noqa: PTH103 - the same
    try:
        with _acting_as(account):
            _prepare(source, root, account)
    except PermissionError:
        # only root may go on: it enters what is closed to the account, unless the file system denies it that too
        if os.geteuid() != _ROOT:
            raise
        _prepare(source, root, account)


def compare(source: str, root: str, mounted: str, account: Account) -> None:
    """See that what is mounted somewhere is a folder, to which no link leads that leads out of its root.

    Args:
        source: the folder.
        root: the folder below which it must lie; empty: it may lie anywhere.
        mounted: where it should be mounted.
        account: who can reach the folder.

    Raises:
        RefusedError: it is another one, or a link leads out.
        OSError: it cannot be looked at.
    """
    if not root:
        return
    found = os.stat(mounted)  # noqa: PTH116 - the same
    try:
        with _acting_as(account):
            wanted = _identity(source, root)
    except PermissionError:
        wanted = _identity(source, root)
    if (found.st_dev, found.st_ino) != wanted:
        raise RefusedError(f"the folder {source} was replaced while it was mounted")


def _is_open(world: str) -> bool:
    """Whether the files of a process can be looked at; not when it ended, and not by everybody."""
    try:
        os.stat(f"{world}/")  # noqa: PTH116 - the same
    except FileNotFoundError:
        return False
    except PermissionError:
        _say(blind=world)
        return False
    return True


def _identity(source: str, root: str) -> tuple[int, int]:
    """The device and number of what lies at the end of a path, whoever puts links into it meanwhile."""
    real_root, parts = _real(source, root)
    with ExitStack() as opened:
        folder = os.open(real_root, _WAY)
        opened.callback(os.close, folder)
        for part in parts[:-1]:
            folder = os.open(part, _WAY, dir_fd=folder)
            opened.callback(os.close, folder)
        found = os.stat(parts[-1], dir_fd=folder, follow_symlinks=False)
    return found.st_dev, found.st_ino


def _prepare(source: str, root: str, account: Account) -> None:
    real_root, parts = _real(source, root)
    with suppress(FileNotFoundError):
        real = "/".join((real_root, *parts))
        if stat.S_IMODE(os.stat(real).st_mode) != _UNFINISHED:  # noqa: PTH116 - the same
            return
    _make_below(real_root, parts, account)


def _real(source: str, root: str) -> tuple[str, list[str]]:
    """The root and the way down from it as they really are, for links inside the root are lawful."""
    real_root, real = os.path.realpath(root), os.path.realpath(source)
    if not real.startswith(f"{real_root.rstrip('/')}/"):
        raise RefusedError(f"the folder {source} leads out of {root}")
    return real_root, real[len(real_root) :].strip("/").split("/")


def _make_below(root: str, parts: list[str], account: Account) -> None:
    """Step down by open folders, so that nobody can put a link in the way meanwhile."""
    is_owner = os.geteuid() == account.uid
    with ExitStack() as opened:
        folder = os.open(root, _WAY)
        opened.callback(os.close, folder)
        for part in parts[:-1]:
            folder = _step(folder, part, 0o755)
            opened.callback(os.close, folder)
        made = _step(folder, parts[-1], _MODE if is_owner else _UNFINISHED)
        opened.callback(os.close, made)
        if stat.S_IMODE(os.fstat(made).st_mode) == _UNFINISHED:
            _give_away(folder, parts[-1], made, account)


def _step(folder: int, part: str, mode: int) -> int:
    with suppress(FileExistsError):
        os.mkdir(part, mode, dir_fd=folder)
    return os.open(part, _WAY, dir_fd=folder)


def _give_away(folder: int, part: str, made: int, account: Account) -> None:
    """Give a new folder to its account; where that is denied, it does not stay."""
    held = os.open(".", os.O_RDONLY | os.O_DIRECTORY, dir_fd=made)
    try:
        os.fchown(held, account.uid, account.gid)
        os.fchmod(held, _MODE)
    except PermissionError:
        os.rmdir(part, dir_fd=folder)
        raise
    finally:
        os.close(held)


@contextmanager
def _acting_as(account: Account) -> Iterator[None]:
    """Be the account towards file systems, if root, who alone can be another."""
    if os.geteuid() != _ROOT:
        yield
        return
    gid, groups = os.getegid(), os.getgroups()
    os.setgroups(account.groups)
    os.setegid(account.gid)
    os.seteuid(account.uid)
    try:
        yield
    finally:
        os.seteuid(_ROOT)
        os.setegid(gid)
        os.setgroups(groups)


def _say(**told: Any) -> None:  # noqa: ANN401 - anything that JSON knows
    sys.stdout.write(json.dumps(told) + "\n")
    sys.stdout.flush()
    if "fault" in told:
        sys.exit(1)


if __name__ == "__main__":
    main()
