"""The states of streams that decisions look at: folded once, kept, and caught up with what was stored since."""

import contextlib
import math
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar
from uuid import UUID

from calipso.commands.handling import Fold
from calipso.commands.snapshots import EVERY, Snapshots
from calipso.commands.store import Store
from calipso.errors import Unavailable
from calipso.events.envelope import Recorded

S = TypeVar("S")

CACHED_STREAMS = 20_000
_CACHED_SECONDS = 3600.0  # then it is folded anew: names of people who were erased do not stay in memory
_NEVER = (0, None, -math.inf)


class States:
    """Folded states, kept for a while and caught up with what was stored since."""

    def __init__(self, store: Store, snapshots: Snapshots) -> None:
        self._store = store
        self._snapshots = snapshots
        self._kept: OrderedDict[UUID, tuple[int, Any, float]] = OrderedDict()
        self._lock = threading.Lock()

    def kept(self, fold: Fold[S], stream: UUID) -> tuple[int, S]:
        """The state of a stream as it was last seen, and its version then; one that never was is taken for empty."""
        version, state, at = self._kept.get(stream, _NEVER)
        if at < time.monotonic() - _CACHED_SECONDS:
            return 0, fold.initial
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
            self._forget_old()
            if self._kept.get(stream, _NEVER)[0] >= version:
                return
            self._kept[stream] = (version, state, time.monotonic())
            self._kept.move_to_end(stream)
            if len(self._kept) > CACHED_STREAMS:
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


class Reading:
    """The streams that one decision looked at, with the states and versions that it saw.

    Args:
        states: where they are kept.
        fresh: what has just been caught up with the store; None to believe what is kept of streams that are guarded.
    """

    def __init__(self, states: States, fresh: Mapping[UUID, tuple[int, Any]] | None = None) -> None:
        self._states = states
        self._fresh = fresh
        self._seen: dict[UUID, tuple[Fold[Any], int, Any]] = {}
        self.versions: dict[UUID, int] = {}

    @property
    def is_current(self) -> bool:
        """Whether all that is read is at least as new as this reading."""
        return self._fresh is not None

    @property
    def folds(self) -> Mapping[UUID, Fold[Any]]:
        """The streams that were looked at."""
        return {stream: fold for stream, (fold, _, _) in self._seen.items()}

    def __call__(self, fold: Fold[S], stream: UUID, *, guarded: bool = True) -> S:
        """The state of a stream; see `commands.handling.Reader`."""
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

    def follow(self, stored: Sequence[Recorded]) -> Sequence[Recorded]:
        """Keep what became of the streams by what was stored; gives the events at which a snapshot is due."""
        changed: dict[UUID, Recorded] = {}
        for recorded in stored:
            if recorded.stream not in self._seen:
                continue
            fold, version, state = self._seen[recorded.stream]
            if recorded.version == version + 1:
                self._seen[recorded.stream] = fold, recorded.version, fold.evolve(state, recorded.event)
                changed[recorded.stream] = recorded
        for stream in changed:
            _, version, state = self._seen[stream]
            self._states.keep(stream, version, state)
        return [last for last in changed.values() if last.version % EVERY == 0]

    def keep_snapshot(self, last: Recorded) -> None:
        """Leave a snapshot of the state after the newest event of a stream that was followed."""
        fold, _, state = self._seen[last.stream]
        self._states.keep_snapshot(fold, last, state)
