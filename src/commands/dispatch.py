"""Load, decide, append; and decide again when another command was first."""

import contextlib
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID, uuid4

from calipso.commands import audit, container, experiment, image, provided, quota, request, target, user
from calipso.commands.handling import HANDLERS, Circumstances, Fold
from calipso.commands.policy import Policy
from calipso.commands.request import refusal_error
from calipso.commands.snapshots import EVERY, NoSnapshots, Snapshots
from calipso.commands.store import Cause, Store
from calipso.errors import CalipsoError, StaleVersion, Unavailable
from calipso.events.envelope import Event, Recorded
from calipso.events.refusals import ContainerRequestRefused

__all__ = [
    "Dispatcher",
    "audit",
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
        snapshots: of states, where they are kept.
        key_number: tells the master key in use, where that may change; None: that of the policy.
        clock: gives the time (UTC) that decisions see.
    """

    def __init__(
        self,
        store: Store,
        policy: Policy,
        *,
        snapshots: Snapshots | None = None,
        key_number: Callable[[], int] | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._store = store
        self._policy = policy
        self._key_number = key_number or (lambda: policy.key_number)
        self._clock = clock
        self._states = _States(store, snapshots or NoSnapshots())
        self._refusals = _RefusalRate()

    def dispatch(self, command: object, cause: Cause) -> Sequence[Recorded]:
        """Obey a command.

        A command that is repeated with the same cause has the outcome that it had first.

        Returns:
            What was stored; nothing when the command is achieved already.

        Raises:
            CalipsoError: what the decision says against it, or `Unavailable` when the store does not answer.
        """
        # what is kept is believed at first: whoever stores something finds out whether it still holds
        reading = _Reading(self._states)
        for _ in range(_ATTEMPTS):
            try:
                events = self._decide(command, reading)
            except CalipsoError:
                if reading.is_current:
                    if stored := self._store.of_command(cause.command_id):
                        return _outcome(stored)
                    raise
            else:
                refusal = _refusal(events)
                if reading.is_current or (events and refusal is None):
                    with contextlib.suppress(StaleVersion):
                        return self._conclude(events, refusal, reading, cause)
            reading = reading.caught_up()
        raise Unavailable("the command's streams", "too many other commands change them; try again")

    def consider(self, command: object) -> Sequence[Event]:
        """What a command would store now; nothing is stored, and its decision may differ when it is issued.

        Raises:
            CalipsoError: what the decision says against it, or `Unavailable` when the store does not answer.
        """
        return self._decide(command, _Reading(self._states).caught_up())

    def state(self, fold: Fold[S], stream: UUID) -> S:
        """The state of a stream now, for those who must look before they act."""
        state: S = self.states({stream: fold})[stream]
        return state

    def states(self, folds: Mapping[UUID, Fold[Any]]) -> Mapping[UUID, Any]:
        """The states of several streams now, by one look."""
        return {stream: state for stream, (_, state) in self._states.catch_up(folds).items()}

    def _decide(self, command: object, reading: "_Reading") -> Sequence[Event]:
        if (number := self._key_number()) != self._policy.key_number:
            self._policy = replace(self._policy, key_number=number)
        circumstances = Circumstances(now=self._clock(), policy=self._policy)
        return HANDLERS[type(command)](command, reading, circumstances)

    def _conclude(
        self, events: Sequence[Event], refusal: ContainerRequestRefused | None, reading: "_Reading", cause: Cause
    ) -> Sequence[Recorded]:
        if events and refusal is None:
            stored = self._store.append(events, expected=reading.versions, cause=cause)
            reading.follow(stored)
            return _outcome(stored)
        if stored := self._store.of_command(cause.command_id):
            return _outcome(stored)
        if refusal is None:
            return []
        if self._refusals.admits(refusal.user_id, self._clock()):
            self._store.append(events, expected={}, cause=cause)
        raise refusal_error(refusal)


def _refusal(events: Sequence[Event]) -> ContainerRequestRefused | None:
    return events[0] if events and isinstance(events[0], ContainerRequestRefused) else None


def _outcome(stored: Sequence[Recorded]) -> Sequence[Recorded]:
    """What a command stored; a stored refusal is told again."""
    if isinstance(refusal := stored[0].event, ContainerRequestRefused):
        raise refusal_error(refusal)
    return stored


class _Reading:
    """The streams that one decision looked at, with the states and versions that it saw.

    Args:
        states: where they are kept.
        fresh: what has just been caught up with the store; None to believe what is kept of streams that are guarded.
    """

    def __init__(self, states: "_States", fresh: Mapping[UUID, tuple[int, Any]] | None = None) -> None:
        self._states = states
        self._fresh = fresh
        self._seen: dict[UUID, tuple[Fold[Any], int, Any]] = {}
        self.versions: dict[UUID, int] = {}

    @property
    def is_current(self) -> bool:
        """Whether all that is read is at least as new as this reading."""
        return self._fresh is not None

    def caught_up(self) -> "_Reading":
        """A reading to decide again, for which the streams of this one are caught up."""
        return _Reading(self._states, self._states.catch_up({s: fold for s, (fold, _, _) in self._seen.items()}))

    def __call__(self, fold: Fold[S], stream: UUID, *, guarded: bool = True) -> S:
        version, state = self._read(fold, stream, guarded=guarded)
        self._seen[stream] = fold, version, state
        if guarded:
            self.versions[stream] = version
        return state

    def _read(self, fold: Fold[S], stream: UUID, *, guarded: bool) -> tuple[int, S]:
        if self._fresh is None and guarded:
            return self._states.kept(fold, stream)
        if self._fresh is not None and stream in self._fresh:
            return self._fresh[stream]
        return self._states.catch_up({stream: fold})[stream]

    def follow(self, stored: Sequence[Recorded]) -> None:
        """Keep what became of the streams by what was stored."""
        changed: dict[UUID, Recorded] = {}
        for recorded in stored:
            if recorded.stream not in self._seen:
                continue
            fold, version, state = self._seen[recorded.stream]
            if recorded.version == version + 1:
                self._seen[recorded.stream] = fold, recorded.version, fold.evolve(state, recorded.event)
                changed[recorded.stream] = recorded
        for stream, last in changed.items():
            fold, version, state = self._seen[stream]
            self._states.keep(stream, version, state)
            if version % EVERY == 0:
                self._states.keep_snapshot(fold, last, state)


class _States:
    """Folded states, kept for a while and caught up with what was stored since."""

    def __init__(self, store: Store, snapshots: Snapshots) -> None:
        self._store = store
        self._snapshots = snapshots
        self._kept: OrderedDict[UUID, tuple[int, Any, float]] = OrderedDict()
        self._lock = threading.Lock()

    def kept(self, fold: Fold[S], stream: UUID) -> tuple[int, S]:
        """The state of a stream as it was last seen, and its version then; one that never was is taken for empty."""
        with self._lock:
            self._forget_old()
            version, state, _ = self._kept.get(stream, (0, fold.initial, 0.0))
        return version, state

    def catch_up(self, folds: Mapping[UUID, Fold[Any]]) -> Mapping[UUID, tuple[int, Any]]:
        """The states of streams now, and their versions."""
        seen = {stream: self.kept(fold, stream) for stream, fold in folds.items()}
        unseen = {s: fold for s, fold in folds.items() if fold.state is not None and seen[s][0] == 0}
        if unseen:
            seen |= self._snapshots.find(unseen)
        begun = {stream: version for stream, (version, _) in seen.items()}
        newest: dict[UUID, Recorded] = {}
        for recorded in self._store.load_newer(begun):
            _, state = seen[recorded.stream]
            seen[recorded.stream] = recorded.version, folds[recorded.stream].evolve(state, recorded.event)
            newest[recorded.stream] = recorded
        for stream, (version, state) in seen.items():
            self.keep(stream, version, state)
            if version - begun[stream] >= EVERY:
                self.keep_snapshot(folds[stream], newest[stream], state)
        return seen

    def keep(self, stream: UUID, version: int, state: object) -> None:
        """Keep a state, unless a newer one is kept."""
        with self._lock:
            if self._kept.get(stream, (0,))[0] >= version:
                return
            self._kept[stream] = (version, state, time.monotonic())
            self._kept.move_to_end(stream)
            if len(self._kept) > _CACHED_STREAMS:
                self._kept.popitem(last=False)

    def keep_snapshot(self, fold: Fold[Any], last: Recorded, state: object) -> None:
        """Leave a snapshot for processes to come, of folds that have any; `last` is the newest event in the state."""
        if fold.subject is None:
            return
        # what was decided is stored, and without a snapshot nothing is lost but time
        with contextlib.suppress(Unavailable):
            self._snapshots.keep(fold, last.stream, fold.subject(last.event), last.version, state)

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
