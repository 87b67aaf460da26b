"""A program of its own that looks at folders of this host, and makes the missing ones.

Each line of its input is a question: whose the folders are, in which world they are mounted, and each folder with its
root and the place of its mount, as texts with zeros between them, in hexadecimal digits. It names each folder before it
touches it, so that whoever waits for it knows at which it hangs; it says what is wrong, if something is, and that it is
done.

It imports nothing of Calipso and little of Python, so that it is there at once: `json`, `typing` and `contextlib` would
take as long again as Python itself does. Where it is sent to, Python may be as old as 3.9.
"""

import os
import stat
import sys

_MODE = 0o750
# a folder that has this mode was made, but not yet given to its owner
_UNFINISHED = 0o1700
_ROOT = 0
_WAY = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW


class RefusedError(Exception):
    """A folder is not to be used; the text says why."""


class Account:
    """Whose folders they are.

    Args:
        uid: the number of the user.
        gid: the number of the user's group.
        groups: the numbers of more groups.
    """

    def __init__(self, uid: int, gid: int, groups: list[int]) -> None:
        self.uid, self.gid, self.groups = uid, gid, groups


def main() -> None:
    """Answer questions, until there are no more."""
    os.umask(0)
    for line in sys.stdin:
        uid, gid, groups, world, *words = bytes.fromhex(line).decode(errors="surrogateescape").split("\0")
        account = Account(int(uid), int(gid), [int(group) for group in groups.split()])
        if not world or _is_open(world):
            _look_at(words, account, world)
        _say("done")
    os._exit(0)  # without tidying up, for which somebody would wait


def _look_at(words: list[str], account: Account, world: str) -> None:
    for at in range(0, len(words), 3):
        source, root, bind = words[at : at + 3]
        _say("at", source)
        try:
            if world:
                compare(source, root, world + bind, account)
            else:
                prepare(source, root, account)
        except RefusedError as error:
            _say("fault", str(error))
        except OSError as error:
            _say("fault", f"the folder {source} cannot be made: {error.strerror}")


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
        _touch(source)
        return
    _make_root(root)
    try:
        with _Acting(account):
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
        with _Acting(account):
            wanted = _identity(source, root)
    except PermissionError:
        wanted = _identity(source, root)
    if (found.st_dev, found.st_ino) != wanted:
        raise RefusedError(f"the folder {source} was replaced while it was mounted")


def _touch(source: str) -> None:
    try:
        os.stat(source)  # noqa: PTH116 - pathlib would take a quarter of this program's time
    except OSError:
        return


def _make_root(root: str) -> None:
    try:
        # a root of the facility belongs to no user
        os.makedirs(root, mode=0o755, exist_ok=True)  # noqa: PTH103 - the same
    except OSError:
        return


def _is_open(world: str) -> bool:
    """Whether the files of a process can be looked at; not when it ended, and not by everybody."""
    try:
        os.stat(f"{world}/")  # noqa: PTH116 - the same
    except FileNotFoundError:
        return False
    except PermissionError:
        _say("blind", world)
        return False
    return True


def _identity(source: str, root: str) -> tuple[int, int]:
    """The device and number of what lies at the end of a path, whoever puts links into it meanwhile."""
    real_root, parts = _real(source, root)
    folder = os.open(real_root, _WAY)
    try:
        for part in parts[:-1]:
            folder = _moved(folder, os.open(part, _WAY, dir_fd=folder))
        found = os.stat(parts[-1], dir_fd=folder, follow_symlinks=False)
    finally:
        os.close(folder)
    return found.st_dev, found.st_ino


def _prepare(source: str, root: str, account: Account) -> None:
    real_root, parts = _real(source, root)
    try:
        real = "/".join((real_root, *parts))
        if stat.S_IMODE(os.stat(real).st_mode) != _UNFINISHED:  # noqa: PTH116 - the same
            return
    except FileNotFoundError:
        pass
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
    folder = os.open(root, _WAY)
    try:
        for part in parts[:-1]:
            folder = _moved(folder, _step(folder, part, 0o755))
        made = _step(folder, parts[-1], _MODE if is_owner else _UNFINISHED)
        try:
            if stat.S_IMODE(os.fstat(made).st_mode) == _UNFINISHED:
                _give_away(folder, parts[-1], made, account)
        finally:
            os.close(made)
    finally:
        os.close(folder)


def _step(folder: int, part: str, mode: int) -> int:
    try:
        os.mkdir(part, mode, dir_fd=folder)
    except FileExistsError:
        return os.open(part, _WAY, dir_fd=folder)
    return os.open(part, _WAY, dir_fd=folder)


def _moved(folder: int, deeper: int) -> int:
    os.close(folder)
    return deeper


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


class _Acting:
    """Being an account towards file systems for a block, if root, who alone can be another."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self._is_root = os.geteuid() == _ROOT
        self._gid, self._groups = os.getegid(), os.getgroups()

    def __enter__(self) -> None:
        if self._is_root:
            os.setgroups(self._account.groups)
            os.setegid(self._account.gid)
            os.seteuid(self._account.uid)

    def __exit__(self, *_: object) -> None:
        if self._is_root:
            os.seteuid(_ROOT)
            os.setegid(self._gid)
            os.setgroups(self._groups)


def _say(word: str, text: str = "") -> None:
    sys.stdout.write(f"{word} {text.encode(errors='surrogateescape').hex()}\n")
    sys.stdout.flush()
    if word == "fault":
        sys.exit(1)


if __name__ == "__main__":
    main()
