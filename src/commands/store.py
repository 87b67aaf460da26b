"""What commands ask of the event store; `calipso.store` and `calipso.store_memory` answer."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol
from uuid import UUID

from calipso.errors import StaleVersion
from calipso.events.envelope import Event, EventLog, History, Page, Recorded


@dataclass(frozen=True, kw_only=True)
class Cause:
    """Who issued a command, on behalf of which request, after which command or event.

    `command_id` is fixed before the first attempt, so that a repeated attempt finds its own success.
    """

    command_id: UUID
    actor: str
    correlation_id: UUID
    causation_id: UUID


@dataclass(frozen=True, kw_only=True)
class Append:
    """What one command stores, all or nothing.

    Args:
        events: what happened, in order.
        expected: the version at which each stream was read, also of streams that get no event. A stream of an event
            that is not named here takes it at whatever version it has.
        cause: who caused it; a command id that is stored already gives what it stored then.
    """

    events: Sequence[Event]
    expected: Mapping[UUID, int]
    cause: Cause

    @cached_property
    def writes(self) -> frozenset[UUID]:
        """The streams that get events."""
        return frozenset(event.stream for event in self.events)

    @cached_property
    def reads(self) -> frozenset[UUID]:
        """The streams whose versions are checked."""
        return frozenset(self.expected)


class Store(EventLog, History, Protocol):
    """Streams of events with one order over all of them. Blocking; safe for use from several threads."""

    def load(self, stream: UUID, *, after: int = 0) -> Sequence[Recorded]:
        """The events of a stream with a version above `after`, oldest first."""

    def load_newer(self, versions: Mapping[UUID, int], *, is_tolerant: bool = False) -> Sequence[Recorded]:
        """The events of several streams, each with a version above the one given for it, in the order of the store.

        Args:
            versions: of each stream.
            is_tolerant: whether an event that this program cannot read comes as `Unreadable`, and is no error.
        """

    def read(
        self,
        *,
        after: int,
        limit: int,
        topics: frozenset[str] | None = None,
        is_tolerant: bool = False,
        concerns: Callable[[UUID, str], bool] | None = None,
    ) -> Page:
        """As `EventLog.read`; of the wanted topics only the events that concern the reader, if it says so.

        `concerns` is asked of streams and topics, maybe by another thread, after the events were read: whoever begins
        to wait before an event is stored is not missed.
        """

    def append(self, events: Sequence[Event], *, expected: Mapping[UUID, int], cause: Cause) -> Sequence[Recorded]:
        """Store what one command stores; the arguments are those of `Append`.

        Raises:
            StaleVersion: a stream has another version by now; nothing was stored.
            Unavailable: the store does not answer.
        """

    def append_all(self, appends: Sequence[Append]) -> Sequence[Sequence[Recorded] | StaleVersion]:
        """Store what several commands store, of which none writes a stream that another touches.

        Returns:
            The answer to each: what was stored, or that a stream has another version by now.

        Raises:
            Unavailable: the store does not answer.
        """

    def of_command(self, command_id: UUID) -> Sequence[Recorded]:
        """What a command has stored, nothing if it has not been obeyed."""

    def head(self) -> int:
        """The position of the newest event, 0 in an empty store."""
