"""Who was erased: a list that lies beside the backups, not in the database, so that a restore can apply it again."""

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

from calipso.errors import Invalid, Unavailable

FILE_NAME = "erasures"


class Erasures:
    """The list in a folder: a line of time and uuid for each account that was erased, never a name.

    Args:
        folder: where backups are kept; made when it is missing.
    """

    def __init__(self, folder: Path) -> None:
        self.file = folder / FILE_NAME

    def note(self, user_id: UUID) -> None:
        """Add an account, where it is not listed; it is on the disk when this returns.

        Raises:
            Invalid: the file is not such a list.
            Unavailable: it cannot be written.
        """
        if user_id in self.read():
            return
        line = f"{datetime.now(UTC).isoformat(timespec='seconds')} {user_id}\n"
        try:
            self.file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with open(self.file, "a", opener=_private) as file:
                file.write(line)
                file.flush()
                os.fsync(file.fileno())
            _sync_folder(self.file.parent)
        except OSError as error:
            raise Unavailable("the list of erasures", f"{self.file}: {error.strerror}") from error

    def read(self) -> Sequence[UUID]:
        """The accounts that are listed, the first erased first; none where there is no list.

        Raises:
            Invalid: a line is not one of ours.
            Unavailable: it cannot be read.
        """
        try:
            lines = self.file.read_text().splitlines()
        except FileNotFoundError:
            return []
        except (OSError, UnicodeDecodeError) as error:
            raise Unavailable("the list of erasures", f"{self.file}: {error}") from error
        return [self._user_id(number, line) for number, line in enumerate(lines, start=1)]

    def _user_id(self, number: int, line: str) -> UUID:
        try:
            return UUID(line.split()[1])
        except (IndexError, ValueError):
            reason = f"{self.file}, line {number}: must be a time and the uuid of an account"
            raise Invalid("erasures", reason) from None


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, mode=0o600)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
