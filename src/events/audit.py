"""Who has looked at the history of others."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar
from uuid import UUID

from calipso.events.envelope import Event
from calipso.events.naming import audit_stream


@dataclass(frozen=True, kw_only=True)
class HistoryRead(Event):
    """Somebody read what is recorded of others; told once in a while for the same question.

    `reader` is an account, None for the command line; `user_id` is whose history was asked for, None when the question
    names nobody; `what` is the word of the question, and `asked` holds what narrowed it, persons by their uuids.
    """

    kind: ClassVar[str] = "audit"
    reader: UUID | None
    user_id: UUID | None
    what: str
    asked: Mapping[str, str]

    @property
    def stream(self) -> UUID:
        """The stream of what the reader has read."""
        return audit_stream(self.reader)
