"""Load, decide, append; and decide again when another command was first."""

import asyncio
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID

from calipso.commands import audit, container, experiment, image, provided, quota, request, target, user
from calipso.commands.handling import HANDLERS, Circumstances, Fold
from calipso.commands.orders import Order, Orders
from calipso.commands.policy import Policy
from calipso.commands.request import refusal_error
from calipso.commands.snapshots import NoSnapshots, Snapshots
from calipso.commands.states import CACHED_STREAMS, Reading, States
from calipso.commands.store import Cause, Store
from calipso.events.envelope import Event, Recorded
from calipso.events.naming import new_id
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

_REFUSALS_KEPT = 10
_REFUSALS_PERIOD = timedelta(minutes=1)


def cause_of(actor: str, *, correlation_id: UUID | None = None, causation_id: UUID | None = None) -> Cause:
    """The cause of a command that is issued for the first time."""
    command_id = new_id()
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
        self._states = States(store, snapshots or NoSnapshots())
        self._orders = Orders(store, self._states, self._decide)
        self._refusals = _RefusalRate()

    def dispatch(self, command: object, cause: Cause) -> Sequence[Recorded]:
        """Obey a command.

        A command that is repeated with the same cause has the outcome that it had first.

        Returns:
            What was stored; nothing when the command is achieved already.

        Raises:
            CalipsoError: what the decision says against it, or `Unavailable` when the store does not answer.
        """
        return self._conclude(self._orders.obey(command, cause), cause)

    async def dispatched(self, command: object, cause: Cause) -> Sequence[Recorded]:
        """As `dispatch`, for an event loop: those that wait for their turn occupy no thread."""
        order = await asyncio.wrap_future(self._orders.submit(command, cause))
        if order.stored and not order.due:
            return _outcome(order.stored)
        return await asyncio.to_thread(self._conclude, order, cause)

    def _conclude(self, order: Order, cause: Cause) -> Sequence[Recorded]:
        for last in order.due:
            order.reading.keep_snapshot(last)
        if stored := order.stored or self._store.of_command(cause.command_id):
            return _outcome(stored)
        if order.error:
            raise order.error
        if order.refusal is None:
            return []
        if self._refusals.admits(order.refusal.user_id, self._clock()):
            self._store.append(order.append.events, expected={}, cause=cause)
        raise refusal_error(order.refusal)

    def consider(self, command: object) -> Sequence[Event]:
        """What a command would store now; nothing is stored, and its decision may differ when it is issued.

        Raises:
            CalipsoError: what the decision says against it, or `Unavailable` when the store does not answer.
        """
        return self._decide(command, Reading(self._states, fresh={}))

    def state(self, fold: Fold[S], stream: UUID) -> S:
        """The state of a stream now, for those who must look before they act."""
        state: S = self.states({stream: fold})[stream]
        return state

    def states(self, folds: Mapping[UUID, Fold[Any]]) -> Mapping[UUID, Any]:
        """The states of several streams now, by one look."""
        return {stream: state for stream, (_, state) in self._states.catch_up(folds).items()}

    def _decide(self, command: object, reading: Reading) -> Sequence[Event]:
        if (number := self._key_number()) != self._policy.key_number:
            self._policy = replace(self._policy, key_number=number)
        circumstances = Circumstances(now=self._clock(), policy=self._policy)
        return HANDLERS[type(command)](command, reading, circumstances)


def _outcome(stored: Sequence[Recorded]) -> Sequence[Recorded]:
    """What a command stored; a stored refusal is told again."""
    if isinstance(refusal := stored[0].event, ContainerRequestRefused):
        raise refusal_error(refusal)
    return stored


class _RefusalRate:
    """Bounds how many refusals of one user are stored, so that a script cannot fill the store with them."""

    def __init__(self) -> None:
        self._times: OrderedDict[UUID, deque[datetime]] = OrderedDict()
        self._lock = threading.Lock()

    def admits(self, user_id: UUID, now: datetime) -> bool:
        with self._lock:
            times = self._times.setdefault(user_id, deque(maxlen=_REFUSALS_KEPT))
            self._times.move_to_end(user_id)
            if len(self._times) > CACHED_STREAMS:
                self._times.popitem(last=False)
            if len(times) == _REFUSALS_KEPT and now - times[0] < _REFUSALS_PERIOD:
                return False
            times.append(now)
            return True
