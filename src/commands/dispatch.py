"""Load, decide, append; and decide again when another command was first."""

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID, uuid4

from calipso.commands import container, experiment, image, provided, quota, request, target, user
from calipso.commands.handling import HANDLERS, Circumstances, Fold
from calipso.commands.policy import Policy
from calipso.commands.request import refusal_error
from calipso.commands.store import Cause, Store
from calipso.errors import CalipsoError, StaleVersion, Unavailable
from calipso.events.envelope import Event, Recorded
from calipso.events.refusals import ContainerRequestRefused

__all__ = [
    "Dispatcher",
    "cause_of",
    "container",
    "experiment",
    "image",
    "provided",
    "quota",
    "request",
    "target",
    "user",
]

S = TypeVar("S")

# every conflict means that another command of the same streams went through, so this is never reached in peace
_ATTEMPTS = 200
_CACHED_STREAMS = 20_000
_CACHED_SECONDS = 3600.0  # then it is folded anew: names of people who were erased do not stay in memory
_REFUSALS_KEPT = 10
_REFUSALS_PERIOD = timedelta(minutes=1)


def cause_of(actor: str, *, correlation_id: UUID | None = None, causation_id: UUID | None = None) -> Cause:
    """The cause of a command that is issued for the first time."""
    command_id = uuid4()
    correlation = correlation_id or command_id
    return Cause(
        command_id=command_id, actor=actor, correlation_id=correlation, causation_id=causation_id or correlation
    )


class Dispatcher:
    """The one way to change facts. Blocking; safe for use from several threads.

    Args:
        store: where events are kept.
        policy: the facility's rules.
        clock: gives the time (UTC) that decisions see.
    """

    def __init__(
        self, store: Store, policy: Policy, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._store = store
        self._policy = policy
        self._clock = clock
        self._states = _States(store)
        self._refusals = _RefusalRate()

    def dispatch(self, command: object, cause: Cause) -> Sequence[Recorded]:
        """Obey a command.

        A command that is repeated with the same cause has the outcome that it had first.

        Returns:
            What was stored; nothing when the command is achieved already.

        Raises:
            CalipsoError: what the decision says against it, or `Unavailable` when the store does not answer.
        """
        for _ in range(_ATTEMPTS):
            reading = _Reading(self._states)
            try:
                events = self._decide(command, reading)
            except CalipsoError:
                if stored := self._store.of_command(cause.command_id):
                    return _outcome(stored)
                raise
            try:
                return self._conclude(events, reading, cause)
            except StaleVersion:
                continue
        raise Unavailable("the command's streams", "too many other commands change them; try again")

    def consider(self, command: object) -> Sequence[Event]:
        """What a command would store now; nothing is stored, and its decision may differ when it is issued.

        Raises:
            CalipsoError: what the decision says against it, or `Unavailable` when the store does not answer.
        """
        return self._decide(command, _Reading(self._states))

    def state(self, fold: Fold[S], stream: UUID) -> S:
        """The state of a stream now, for those who must look before they act."""
        return self._states.read(fold, stream)[1]

    def _decide(self, command: object, reading: "_Reading") -> Sequence[Event]:
        circumstances = Circumstances(now=self._clock(), policy=self._policy)
        return HANDLERS[type(command)](command, reading, circumstances)

    def _conclude(self, events: Sequence[Event], reading: "_Reading", cause: Cause) -> Sequence[Recorded]:
        refusal = events[0] if events and isinstance(events[0], ContainerRequestRefused) else None
        if events and refusal is None:
            return _outcome(self._store.append(events, expected=reading.versions, cause=cause))
        if stored := self._store.of_command(cause.command_id):
            return _outcome(stored)
        if refusal is None:
            return []
        if self._refusals.admits(refusal.user_id, self._clock()):
            self._store.append(events, expected={}, cause=cause)
        raise refusal_error(refusal)


def _outcome(stored: Sequence[Recorded]) -> Sequence[Recorded]:
    """What a command stored; a stored refusal is told again."""
    if isinstance(refusal := stored[0].event, ContainerRequestRefused):
        raise refusal_error(refusal)
    return stored


class _Reading:
    """The streams that one decision looked at, with the versions that it saw."""

    def __init__(self, states: "_States") -> None:
        self._states = states
        self.versions: dict[UUID, int] = {}

    def __call__(self, fold: Fold[S], stream: UUID, *, guarded: bool = True) -> S:
        version, state = self._states.read(fold, stream)
        if guarded:
            self.versions[stream] = version
        return state


class _States:
    """Folded states, kept for a while and caught up with what was stored since."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._kept: OrderedDict[UUID, tuple[int, Any, float]] = OrderedDict()
        self._lock = threading.Lock()

    def read(self, fold: Fold[S], stream: UUID) -> tuple[int, S]:
        with self._lock:
            self._forget_old()
            version, state, _ = self._kept.get(stream, (0, fold.initial, 0.0))
        newer = self._store.load(stream, after=version)
        for recorded in newer:
            state = fold.evolve(state, recorded.event)
            version = recorded.version
        if newer:
            self._keep(stream, version, state)
        return version, state

    def _keep(self, stream: UUID, version: int, state: object) -> None:
        with self._lock:
            if self._kept.get(stream, (0,))[0] < version:
                self._kept[stream] = (version, state, time.monotonic())
                self._kept.move_to_end(stream)
            if len(self._kept) > _CACHED_STREAMS:
                self._kept.popitem(last=False)

    def _forget_old(self) -> None:
        while self._kept and next(iter(self._kept.values()))[2] < time.monotonic() - _CACHED_SECONDS:
            self._kept.popitem(last=False)


class _RefusalRate:
    """Bounds how many refusals of one user are stored, so that a script cannot fill the store with them."""

    def __init__(self) -> None:
        self._times: OrderedDict[UUID, deque[datetime]] = OrderedDict()
        self._lock = threading.Lock()

    def admits(self, user_id: UUID, now: datetime) -> bool:
        with self._lock:
            times = self._times.setdefault(user_id, deque(maxlen=_REFUSALS_KEPT))
            self._times.move_to_end(user_id)
            if len(self._times) > _CACHED_STREAMS:
                self._times.popitem(last=False)
            if len(times) == _REFUSALS_KEPT and now - times[0] < _REFUSALS_PERIOD:
                return False
            times.append(now)
            return True
