"""Reads a backup, and says whether it is whole."""

import hashlib
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from calipso.backups import FORMAT, MANIFEST, TABLES, Manifest
from calipso.backups.making import Told, member_of
from calipso.errors import Invalid

_BLOCK_BYTES = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Backup:
    """A backup that is open for reading."""

    file: Path
    manifest: Manifest
    archive: zipfile.ZipFile

    def blocks(self, table: str, told: Told) -> Iterator[bytes]:
        """The content of a table as COPY reads it; ends with an error when it is not what was written.

        Raises:
            Invalid: the content is damaged.
        """
        content = self.manifest.tables[table]
        rows, digest = 0, hashlib.sha256()
        with damage_told(self.file), self.archive.open(member_of(table)) as member:
            while block := member.read(_BLOCK_BYTES):
                digest.update(block)
                rows += block.count(b"\n")
                told(table, rows, content.rows)
                yield block
        if (rows, digest.hexdigest()) != (content.rows, content.sha256):
            raise Invalid("backup", f"{self.file} is damaged: {table} is not what was written")

    def check(self, told: Told) -> None:
        """Read all of it.

        Raises:
            Invalid: something is damaged.
        """
        for table in self.manifest.tables:
            for _ in self.blocks(table, told):
                pass


@contextmanager
def opened(file: Path) -> Iterator[Backup]:
    """A backup for the time of the block.

    Raises:
        Invalid: there is no such file, it is no backup, it is damaged, or it was made by a newer program.
    """
    with damage_told(file), zipfile.ZipFile(file) as archive:
        try:
            manifest = msgspec.json.decode(archive.read(MANIFEST), type=Manifest)
        except (KeyError, msgspec.MsgspecError):
            raise Invalid("backup", f"{file} is no backup of Calipso") from None
        if manifest.format > FORMAT or not manifest.tables.keys() <= TABLES.keys():
            raise Invalid("backup", f"{file} was made by a newer version of Calipso ({manifest.program})")
        yield Backup(file=file, manifest=manifest, archive=archive)


@contextmanager
def damage_told(file: Path) -> Iterator[None]:
    """Turn what is wrong with a file into a sentence.

    Raises:
        Invalid: it cannot be read, or is no archive, or is damaged.
    """
    try:
        yield
    except OSError as error:
        raise Invalid("backup", f"{file}: {error.strerror}") from error
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise Invalid("backup", f"{file} is damaged, or no backup of Calipso: {error}") from error
