"""A store on which other commands go through just before a command's own calls."""

from collections.abc import Callable, Mapping, Sequence
from uuid import UUID

from calipso.codec import Codec
from calipso.commands.store import Cause
from calipso.events.envelope import Event, Recorded
from calipso.store_memory import MemoryStore
from calipso.vault import MemorySubjectKeys


def _nothing() -> None: ...


class InterruptedStore(MemoryStore):
    """Calls `interrupt` at the start of every load and append, and `before_append` before an append."""

    def __init__(self) -> None:
        super().__init__(Codec(MemorySubjectKeys()))
        self.interrupt: Callable[[], object] = _nothing
        self.before_append: Callable[[], object] = _nothing

    def load(self, stream: UUID, *, after: int = 0) -> Sequence[Recorded]:
        self.interrupt()
        return super().load(stream, after=after)

    def append(self, events: Sequence[Event], *, expected: Mapping[UUID, int], cause: Cause) -> Sequence[Recorded]:
        self.interrupt()
        self.before_append()
        return super().append(events, expected=expected, cause=cause)
