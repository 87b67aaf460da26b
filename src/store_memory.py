"""The event store in memory: for tests of decisions and for trying things out. Nothing survives the process."""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

from calipso.codec import Codec
from calipso.commands.store import Append, Cause
from calipso.errors import StaleVersion
from calipso.events.envelope import Event, Page, Recorded
from calipso.store import event_id


class MemoryStore:
    """The store of commands, in memory; events pass through the codec as they would on their way to a database."""

    def __init__(self, codec: Codec) -> None:
        self._codec = codec
        self._lock = threading.Lock()
        self._log: list[Recorded] = []
        self._streams: dict[UUID, list[Recorded]] = {}
        self._commands: dict[UUID, list[Recorded]] = {}

    def load(self, stream: UUID, *, after: int = 0) -> Sequence[Recorded]:
        """The events of a stream with a version above `after`, oldest first."""
        return list(self._streams.get(stream, [])[after:])

    def load_newer(self, versions: Mapping[UUID, int], *, is_tolerant: bool = False) -> Sequence[Recorded]:
        """The events of several streams, each with a version above the one given for it, in the order of the store."""
        del is_tolerant  # whatever is in here was written by this program
        newer = [recorded for stream, version in versions.items() for recorded in self.load(stream, after=version)]
        return sorted(newer, key=lambda recorded: recorded.position)

    def of_command(self, command_id: UUID) -> Sequence[Recorded]:
        """What a command has stored, nothing if it has not been obeyed."""
        return list(self._commands.get(command_id, []))

    def read(
        self,
        *,
        after: int,
        limit: int,
        topics: frozenset[str] | None = None,
        is_tolerant: bool = False,
        concerns: Callable[[UUID, str], bool] | None = None,
    ) -> Page:
        """At most `limit` events after a position, in order; all that is in this store can be read."""
        del is_tolerant
        slice_ = self._log[after : after + limit]
        wanted = [
            recorded
            for recorded in slice_
            if (topics is None or recorded.topic in topics)
            and (concerns is None or concerns(recorded.stream, recorded.topic))
        ]
        return Page(events=wanted, last=slice_[-1].position if slice_ else after)

    def at(self, positions: Sequence[int]) -> Sequence[Recorded]:
        """The events at these positions, in order."""
        return [self._log[position - 1] for position in sorted(positions) if 0 < position <= len(self._log)]

    def head(self) -> int:
        """The position of the newest event, 0 in an empty store."""
        return len(self._log)

    def position_at(self, time: datetime) -> int:
        """The last position whose time is at most `time`, 0 if there is none."""
        return max((recorded.position for recorded in self._log if recorded.time <= time), default=0)

    def append(self, events: Sequence[Event], *, expected: Mapping[UUID, int], cause: Cause) -> Sequence[Recorded]:
        """Store events of one or more streams, all or none; see `commands.store.Store.append`."""
        with self._lock:
            if cause.command_id in self._commands:
                return list(self._commands[cause.command_id])
            for stream, version in expected.items():
                if len(self._streams.get(stream, [])) != version:
                    raise StaleVersion(str(stream))
            stored = [self._store(event, index, cause) for index, event in enumerate(events)]
            if stored:
                self._commands[cause.command_id] = stored
            return list(stored)

    def append_all(self, appends: Sequence[Append]) -> Sequence[Sequence[Recorded] | StaleVersion]:
        """Store what several commands store; see `commands.store.Store.append_all`."""
        return [self._answer(append) for append in appends]

    def _answer(self, append: Append) -> Sequence[Recorded] | StaleVersion:
        try:
            return self.append(append.events, expected=append.expected, cause=append.cause)
        except StaleVersion as error:
            return error

    def _store(self, event: Event, index: int, cause: Cause) -> Recorded:
        state = self._codec.encode(
            event, actor=cause.actor, correlation_id=cause.correlation_id, causation_id=cause.causation_id
        )
        stream = self._streams.setdefault(event.stream, [])
        last = self._log[-1].time if self._log else datetime.min.replace(tzinfo=UTC)
        recorded = Recorded(
            id=event_id(cause.command_id, index),
            stream=event.stream,
            version=len(stream) + 1,
            position=len(self._log) + 1,
            time=max(datetime.now(UTC), last),
            actor=cause.actor,
            correlation_id=cause.correlation_id,
            causation_id=cause.causation_id,
            event=event,
        )
        recorded = replace(recorded, event=self._codec.decode(event.topic(), state).event)
        stream.append(recorded)
        self._log.append(recorded)
        return recorded
