"""A folder whose file system never answers, as that of a server that is away: a mount of FUSE that nobody serves."""

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_DETACH = 2
_LIBC = ctypes.CDLL(None, use_errno=True)


@contextmanager
def dead_folder(place: Path) -> Iterator[Path]:
    """Mount it; at the end whoever hangs at it is let go.

    Args:
        place: an empty folder.
    """
    try:
        fd = os.open("/dev/fuse", os.O_RDWR)
    except OSError:
        pytest.skip("NO FUSE: a file system that does not answer cannot be made here")
    try:
        options = f"fd={fd},rootmode=40000,user_id=0,group_id=0,allow_other"
        if _LIBC.mount(b"dead", str(place).encode(), b"fuse", 0, options.encode()):
            pytest.skip(f"NO FUSE: it may not be mounted here ({os.strerror(ctypes.get_errno())})")
        yield place
    finally:
        os.close(fd)
        _LIBC.umount2(str(place).encode(), _DETACH)
