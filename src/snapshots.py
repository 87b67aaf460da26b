"""Snapshots of states, in a table of the store's database.

One row for a stream, the newest; the state is sealed as a whole under the key of the person whose personal data may be
in it, so that whoever is erased is erased here too. What cannot be opened does not count: the events tell it anyway.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import msgspec
import structlog

from calipso.commands.handling import Fold
from calipso.commands.snapshots import mark_of
from calipso.database import Database
from calipso.vault import Sealer, SubjectKeys

_log = structlog.get_logger()

SNAPSHOTS_DDL = """
CREATE TABLE IF NOT EXISTS snapshots (
    stream uuid PRIMARY KEY,
    version bigint NOT NULL,
    mark text NOT NULL,
    subject uuid NOT NULL,
    sealed text NOT NULL
)
"""
_FIND = "SELECT * FROM snapshots WHERE stream = ANY(%s)"
# a program of another version may have kept one of its own; the newest one is of the most use
_KEEP = """
INSERT INTO snapshots AS s (stream, version, mark, subject, sealed) VALUES (%s, %s, %s, %s, %s)
ON CONFLICT (stream) DO UPDATE SET version = excluded.version, mark = excluded.mark, sealed = excluded.sealed
WHERE s.version < excluded.version OR s.mark <> excluded.mark
"""


@dataclass(frozen=True)
class StoredSnapshots:
    """The snapshots of commands, on PostgreSQL.

    Args:
        database: where they are.
        subject_keys: the keys of those whose personal data is in them.
    """

    database: Database
    subject_keys: SubjectKeys

    def find(self, folds: Mapping[UUID, Fold[Any]]) -> Mapping[UUID, tuple[int, Any]]:
        """What is kept of streams; see `commands.snapshots.Snapshots.find`."""
        with self.database.connect() as connection:
            rows = connection.execute(_FIND, (list(folds),), prepare=True).fetchall()
        opened = {row["stream"]: self._open(folds[row["stream"]], row) for row in rows}
        return {stream: found for stream, found in opened.items() if found is not None}

    def keep(self, fold: Fold[Any], stream: UUID, subject: UUID, version: int, state: Any) -> None:  # noqa: ANN401 - of any fold
        """Keep a state; see `commands.snapshots.Snapshots.keep`."""
        key = self.subject_keys.of(subject)
        if key is None:
            return
        mark = mark_of(fold)
        sealed = Sealer(key).seal(_context(mark, stream, version), to_plain(state))
        with self.database.connect() as connection:
            connection.execute(_KEEP, (stream, version, mark, subject, sealed), prepare=True)

    def _open(self, fold: Fold[Any], row: Mapping[str, Any]) -> tuple[int, Any] | None:
        if row["mark"] != mark_of(fold) or (key := self.subject_keys.of(row["subject"])) is None:
            return None
        try:
            plain = Sealer(key).unseal(_context(row["mark"], row["stream"], row["version"]), row["sealed"])
            return row["version"], to_state(fold, plain)
        except ValueError as error:
            _log.warning("a snapshot was changed", stream=str(row["stream"]), reason=str(error))
            return None


def to_plain(state: object) -> object:
    """A state as JSON values."""
    return msgspec.to_builtins(state, enc_hook=dict)  # what it does not know is a mapping that cannot be changed


def to_state(fold: Fold[Any], plain: object) -> Any:  # noqa: ANN401 - of any fold
    """Undo `to_plain`.

    Raises:
        ValueError: it is no state of this fold.
    """
    return msgspec.convert(plain, type=fold.state)


def _context(mark: str, stream: UUID, version: int) -> str:
    return f"snapshot {mark} {stream} {version}"
