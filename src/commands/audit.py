"""Readings of the history are facts too: who looked at what."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from calipso.commands.handling import Circumstances, Reader, handles
from calipso.commands.texts import check_text
from calipso.events.audit import HistoryRead
from calipso.events.envelope import Event


@dataclass(frozen=True, kw_only=True)
class RecordReading:
    """Somebody is about to read what is recorded of others; see `events.audit.HistoryRead`."""

    reader: UUID | None
    user_id: UUID | None
    what: str
    asked: tuple[tuple[str, str], ...] = ()


@handles(RecordReading)
def handle(command: RecordReading, _: Reader, __: Circumstances) -> Sequence[Event]:
    """Record it, whatever else was recorded.

    Raises:
        Invalid: what was asked is no text that could be stored.
    """
    for name, value in command.asked:
        check_text(name, value)
    asked = dict(command.asked)
    return [HistoryRead(reader=command.reader, user_id=command.user_id, what=command.what, asked=asked)]
