"""Makes the missing folders of a container's volumes, where the engine's folders are this host's folders."""

import os
import stat
from collections.abc import Iterable
from contextlib import ExitStack, suppress
from pathlib import Path

from calipso.commands.volumes import is_below
from calipso.events.values import FailureReason, Identity, Volume
from calipso.runtimes.protocol import RuntimeFailed

_MODE = 0o750
# a folder that has this mode was made, but not yet given to its owner
_UNFINISHED = 0o1700
_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW


def make_folders(volumes: Iterable[Volume], identity: Identity, roots: Iterable[str]) -> None:
    """Make the folders below the roots that are missing, and give them to the container's account.

    Args:
        volumes: whose sources are wanted; what lies below none of the roots is left to the engine.
        identity: the account that gets a folder that was missing.
        roots: folders of this host below which missing folders are made; made too when missing.

    Raises:
        RuntimeFailed: a folder cannot be made, or a link leads out of its root.
    """
    for volume in volumes:
        root = next((root for root in roots if is_below(volume.source, root)), None)
        if root is None:
            continue
        try:
            _make(volume.source, root, identity)
        except OSError as error:
            raise _rejected(f"the folder {volume.source} cannot be made: {error.strerror}") from error


def _rejected(detail: str) -> RuntimeFailed:
    return RuntimeFailed(reason=FailureReason.REJECTED, detail=detail)


def _make(source: str, root: str, identity: Identity) -> None:
    # links inside the root are lawful, so the path is walked as it really is
    real_root, real = Path(root).resolve(), Path(source).resolve()
    if not is_below(str(real), str(real_root)):
        raise _rejected(f"the folder {source} leads out of {root}")
    if real.exists() and stat.S_IMODE(real.stat().st_mode) != _UNFINISHED:
        return
    real_root.mkdir(parents=True, exist_ok=True)
    _make_below(real_root, real.relative_to(real_root).parts, identity)


def _make_below(root: Path, parts: tuple[str, ...], identity: Identity) -> None:
    """Step down by open folders, so that nobody can put a link in the way meanwhile."""
    with ExitStack() as opened:
        folder = os.open(root, _OPEN)
        opened.callback(os.close, folder)
        for number, part in enumerate(parts, start=1):
            folder = _step(folder, part, _UNFINISHED if number == len(parts) else 0o755)
            opened.callback(os.close, folder)
        if stat.S_IMODE(os.fstat(folder).st_mode) == _UNFINISHED:
            os.fchown(folder, identity.uid, identity.gid)
            os.fchmod(folder, _MODE)


def _step(folder: int, part: str, mode: int) -> int:
    with suppress(FileExistsError):
        os.mkdir(part, mode, dir_fd=folder)
    return os.open(part, _OPEN, dir_fd=folder)
