"""What must hold once all is quiet, whatever died when."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import Self

import nats.errors
import sqlalchemy.exc
from sqlalchemy import select
from tests.faults import engine
from tests.faults.installation import Installation
from tests.faults.rebuild import differences
from tests.faults.record import Record
from tests.faults.stream import positions_after
from tests.faults.told import Told

from calipso.errors import Unavailable
from calipso.events.container import State
from calipso.events.envelope import EventLog
from calipso.events.naming import container_name
from calipso.events.values import Protocol, Runtime
from calipso.projections import containers
from calipso.projections.guacamole import tables

_AWAY = (
    Unavailable,
    *engine.AWAY,
    nats.errors.Error,
    sqlalchemy.exc.DBAPIError,
    TimeoutError,
)
_SHOWN = {Protocol.VNC, Protocol.RDP, Protocol.SSH}
_TOLD = 5  # of many disagreements of one kind


class Invariants:
    """Looks at record, world, stream and projections of a system, past all links.

    Args:
        system: whose servers must run.
        told: what users were told, which must be true.
    """

    def __init__(self, system: Installation, told: Told) -> None:
        self._system = system
        self.told = told
        self._stack = ExitStack()
        self._backend = self._stack.enter_context(system.backend())
        self._rebuilt = self._stack.enter_context(system.backend("guacamole_rebuilt"))
        self.record = Record(self._backend.settings.limits())
        self._stream: list[int] = []
        self._sequence = 0
        self._last_before_loss = 0

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give back all connections."""
        self._stack.__exit__(kind, error, trace)

    @property
    def store(self) -> EventLog:
        """The store, past all links."""
        return self._backend.store

    def expect_loss(self) -> None:
        """Remember the end of the stream, which is about to be lost; nothing may be published meanwhile."""
        self._read_stream()
        self._last_before_loss = self._stream[-1] if self._stream else self._last_before_loss
        self._stream, self._sequence = [], 0

    def violations(self, *, rebuilds: bool = True) -> list[str]:
        """What does not hold now; the dearer checks are made once the others hold.

        Args:
            rebuilds: whether projections are compared with their rebuild, which is the dearest.
        """
        last = (self._projections,) if rebuilds else (self._shown,)
        cheap = (self._world, self._quotas, self._told, self._connections)
        for checks in ((self._lawful, self._ended), cheap, (self._published,), last):
            if found := [told for check in checks for told in _look(check)]:
                return found
        return []

    def _lawful(self) -> Iterator[str]:
        self.record.catch_up(self._backend.store)
        yield from self.record.wrong

    def _ended(self) -> Iterator[str]:
        yield from self.record.unended()
        if self.told.in_hand:
            yield f"{self.told.in_hand} requests are not answered"

    def _world(self) -> Iterator[str]:
        there = {item["Names"][0].removeprefix("/"): item["State"] for item in self._system.engine.containers()}
        of_docker = {
            name: container.state
            for name, container in self.record.named().items()
            if container.request.image.runtime is Runtime.DOCKER
        }
        runs = {name for name, state in of_docker.items() if state is State.RUNNING}
        kept = {container_name(key) for key in self.record.asked}
        may_be = runs | {name for name, state in of_docker.items() if state is State.STOPPED and name in kept}
        yield from (f"{name} runs in the record, and on the engine not" for name in runs - _running(there))
        yield from (f"{name} runs on the engine, and in the record not" for name in _running(there) - runs)
        yield from (f"{name} is left on the engine" for name in there.keys() - may_be - _running(there))

    def _quotas(self) -> Iterator[str]:
        held = {key for quota in self.record.quotas.values() for key in quota.reservations}
        active = {key for key, container in self.record.containers.items() if container.is_active}
        yield from (f"{key} is active and holds nothing" for key in active - held)
        yield from (f"{key} holds a part of a quota and is not active" for key in held - active)

    def _told(self) -> Iterator[str]:
        told, known = self.told, self.record.named()
        ended = self.record.named(State.STOPPED, State.REMOVED, State.FAILED, State.LOST).keys()
        gone = self.record.named(State.REMOVED, State.FAILED, State.LOST).keys()
        yield from (f"{name} was answered, and is not in the record" for name in told.started - known.keys())
        yield from (f"{name} was told to have stopped, and has not" for name in told.stopped - ended)
        yield from (f"{name} was told to be removed, and is not" for name in told.removed - gone)

    def _published(self) -> Iterator[str]:
        self._read_stream()
        stored = [recorded.position for recorded in self.record.events]
        first = self._stream[0] if self._stream else 0
        if missing := [position for position in stored if self._last_before_loss < position < first]:
            yield f"the stream begins at {first}, and {missing} was not published before its loss"
        expected = [position for position in stored if position >= first]
        if self._stream != expected:
            yield f"the stream is not the record: {_first_difference(self._stream, expected)}"

    def _connections(self) -> Iterator[str]:
        wanted = {
            name
            for name, container in self.record.named(State.RUNNING).items()
            if container.request.image.protocol in _SHOWN
        }
        assert self._backend.guacamole_engine is not None
        with self._backend.guacamole_engine.connect() as connection:
            shown = set(connection.execute(select(tables.connection.c.connection_name)).scalars())
            accounts = connection.execute(select(tables.user.c.user_id)).all()
        yield from (f"{name} runs and has no connection" for name in wanted - shown)
        yield from (f"{name} has a connection and does not run" for name in shown - wanted)
        if len(accounts) != len(wanted):
            yield f"{len(accounts)} accounts of Guacamole for {len(wanted)} desktops"

    def _shown(self) -> Iterator[str]:
        with self._backend.engine.connect() as connection:
            shown = {row.container_id: row.state for row in containers.every_of(connection, None)}
        yield from (
            f"{key} is {container.state} and shown as {shown.get(key)}"
            for key, container in self.record.containers.items()
            if shown.get(key) is not container.state
        )

    def _projections(self) -> Iterator[str]:
        assert self._rebuilt.guacamole_engine is not None
        yield from differences(self._backend, self._rebuilt.guacamole_engine, self.record.events)

    def _read_stream(self) -> None:
        newer = asyncio.run(positions_after(self._system.nats.url, self._sequence))
        self._stream += newer
        self._sequence += len(newer)


def _look(check: Callable[[], Iterator[str]]) -> Sequence[str]:
    """What a check finds, the first of many; what does not answer is found too."""
    try:
        found = sorted(check())
    except _AWAY as error:
        return [f"cannot look: {error!r}"[:300]]
    return [*found[:_TOLD], *([f"... and {len(found) - _TOLD} more"] if len(found) > _TOLD else [])]


def _running(there: dict[str, str]) -> set[str]:
    return {name for name, state in there.items() if state == "running"}


def _first_difference(stream: Sequence[int], expected: Sequence[int]) -> str:
    index = next((i for i, pair in enumerate(zip(stream, expected, strict=False)) if pair[0] != pair[1]), None)
    if index is None:
        return f"it has {len(stream)} events instead of {len(expected)}"
    return f"message {index + 1} has position {stream[index]} instead of {expected[index]}"
