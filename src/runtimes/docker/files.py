"""Puts files into the volumes of a container that does not run yet.

An engine takes them as an archive, for each of which some versions start a program of their own: a fifth of the time of
a start. Whoever is root on the engine's host writes them where they lie.
"""

import io
import os
import tarfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from docker import APIClient

File = tuple[tarfile.TarInfo, str]


def put_files(
    client: APIClient, found: Mapping[str, Any], folder: str, files: Sequence[File], *, is_open: bool
) -> None:
    """Put files into a folder in which a volume is mounted, in place of those that have their names.

    Args:
        client: of the engine.
        found: what the engine says of the container.
        folder: where the volume is mounted.
        files: how they are called, whose they are, and what is in them.
        is_open: whether we may write where the engine keeps its volumes, for accounts of the same numbers.

    Raises:
        APIError: the engine refused.
    """
    if is_open:
        # this program may be in a container that does not see what the engine sees
        with suppress(OSError):
            _write(_place(found, folder), files)
            return
    client.put_archive(found["Id"], folder, _archive(files))


def _place(found: Mapping[str, Any], folder: str) -> str:
    """Where a volume lies on the engine's host."""
    return str(next(mount["Source"] for mount in found["Mounts"] if mount["Destination"] == folder))


def _write(place: str, files: Sequence[File]) -> None:
    # what lies there came from an image: no link in it is followed
    folder = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        for entry, text in files:
            with suppress(FileNotFoundError):
                os.unlink(entry.name, dir_fd=folder)
            made = os.open(entry.name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600, dir_fd=folder)
            with os.fdopen(made, "wb") as file:
                file.write(text.encode())
                file.flush()
                os.fchown(made, entry.uid, entry.gid)
                os.fchmod(made, entry.mode)
                os.utime(made, (entry.mtime, entry.mtime))
    finally:
        os.close(folder)


def _archive(files: Sequence[File]) -> bytes:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for entry, text in files:
            content = text.encode()
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return archive.getvalue()
