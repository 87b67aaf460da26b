"""Reads the files of names that images bring, `/etc/passwd` and `/etc/group`."""

import io
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from docker import APIClient
from docker.errors import NotFound

from calipso.runtimes.docker.order import NAMES_FOLDER, NAMES_WRITTEN

_FILES = ("passwd", "group")
_FILE_BYTES = 2**20


class ImageNames:
    """Reads the names of each image once: an engine takes longer over it than over making the container."""

    def __init__(self) -> None:
        self._read: dict[str, Mapping[str, str]] = {}

    def of(self, client: APIClient, container: Mapping[str, Any]) -> Mapping[str, str]:
        """The texts of both files, by their names, as a container that does not run yet has them.

        Args:
            client: of the engine.
            container: what the engine says of it.
        """
        image = container["Image"]
        if image in self._read:
            return self._read[image]
        files = {name: _read_file(client, container["Id"], f"{NAMES_FOLDER}/{name}") for name in _FILES}
        texts = {name: file.text for name, file in files.items()}
        # a container that was found may have an account of ours in them already, which no other must get
        if not any(file.changed == NAMES_WRITTEN for file in files.values()):
            self._read[image] = texts
        return texts


@dataclass(frozen=True)
class _File:
    text: str = ""
    changed: int = 0  # in seconds of Unix


def _read_file(client: APIClient, container: str, path: str) -> _File:
    """A small file of a container, empty when it has none that is one."""
    try:
        stream, stat = client.get_archive(container, path)
    except NotFound:
        return _File()
    if stat["size"] > _FILE_BYTES:
        return _File()
    with tarfile.open(fileobj=io.BytesIO(b"".join(stream))) as archive:
        entry = archive.next()
        content = archive.extractfile(entry) if entry and entry.isfile() else None
        if entry is None or content is None:
            return _File()
        return _File(content.read().decode(errors="replace"), int(entry.mtime))
