"""Commands on their way: what many threads ask at one time is decided by one of them and stored in one transaction."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from uuid import UUID

from calipso.commands.gathering import Gatherer, Touched
from calipso.commands.states import Reading, States
from calipso.commands.store import Append, Cause, Store
from calipso.errors import CalipsoError, StaleVersion, Unavailable
from calipso.events.envelope import Event, Recorded
from calipso.events.refusals import ContainerRequestRefused

# every conflict means that another command of the same streams went through, so this is never reached in peace
_ATTEMPTS = 200

Decide = Callable[[object, Reading], Sequence[Event]]


@dataclass(eq=False)
class Order:
    """A command, and what became of it.

    Args:
        command: what is asked.
        append: what shall be stored, and the streams that this touches, as far as is known.
        reading: what the last decision looked at.
        error: what stands against the command.
        stored: what was stored.
        due: the newest events of streams of which a snapshot is due.
    """

    command: object
    append: Append
    reading: Reading
    error: CalipsoError | None = None
    stored: Sequence[Recorded] = ()
    due: Sequence[Recorded] = ()
    attempts: int = field(default=0, init=False)

    @property
    def writes(self) -> frozenset[UUID]:
        """The streams that get events, as far as is known."""
        return self.append.writes

    @property
    def reads(self) -> frozenset[UUID]:
        """The streams whose versions are checked, as far as is known."""
        return self.append.reads

    @property
    def refusal(self) -> ContainerRequestRefused | None:
        """The refusal that was decided, if it is one."""
        first = self.append.events[0] if self.append.events else None
        return first if isinstance(first, ContainerRequestRefused) else None

    @property
    def is_change(self) -> bool:
        """Whether streams change by it: then the store finds out whether what it rests on holds."""
        return bool(self.append.events) and self.refusal is None


class Orders:
    """Decides and stores. Blocking; safe for use from several threads.

    Args:
        store: where events are kept.
        states: of its streams.
        decide: says what a command leads to, by what a reading gives; raises what stands against it.
    """

    def __init__(self, store: Store, states: States, decide: Decide) -> None:
        self._store = store
        self._states = states
        self._decide = decide
        self._gatherer: Gatherer[Order, Order] = Gatherer(self._obey, is_patient=True)

    def obey(self, command: object, cause: Cause) -> Order:
        """Decide a command and store what it changes; other outcomes are decided on what is stored now.

        Raises:
            Unavailable: the store does not answer.
        """
        return self._gatherer.put(self._order(command, cause))

    def submit(self, command: object, cause: Cause) -> Future[Order]:
        """As `obey`, for those who do not wait in a thread."""
        return self._gatherer.submit(self._order(command, cause))

    def _order(self, command: object, cause: Cause) -> Order:
        return Order(command, Append(events=(), expected={}, cause=cause), Reading(self._states))

    def _obey(self, orders: Sequence[Order]) -> Sequence[Order | CalipsoError | None]:
        """Decide commands, and store together what does not touch the same streams; None says: decide again.

        What is kept is believed at first. The streams of those that change nothing by it, and of those that came too
        late, are caught up by one look.
        """
        for order in orders:
            if not order.attempts:
                self._decide_by(Reading(self._states), order)
        if doubtful := [order for order in orders if order.attempts or not order.is_change]:
            fresh = self._states.catch_up({s: fold for order in doubtful for s, fold in order.reading.folds.items()})
            for order in doubtful:
                self._decide_by(Reading(self._states, fresh), order)
        touched = Touched()
        chosen = [order for order in orders if order.is_change and touched.admits(order)]
        answers = self._store.append_all([order.append for order in chosen]) if chosen else []
        told = {order: self._tell(order, answer) for order, answer in zip(chosen, answers, strict=True)}
        return [told.get(order) if order.is_change else order for order in orders]

    def _decide_by(self, reading: Reading, order: Order) -> None:
        order.reading, order.error = reading, None
        events: Sequence[Event] = ()
        try:
            events = self._decide(order.command, reading)
        except CalipsoError as error:
            order.error = error
        order.append = replace(order.append, events=events, expected=reading.versions)

    def _tell(self, order: Order, answer: Sequence[Recorded] | StaleVersion) -> Order | CalipsoError | None:
        """What the store says to one of them."""
        if isinstance(answer, StaleVersion):
            order.attempts += 1
            busy = Unavailable("the command's streams", "too many other commands change them; try again")
            return busy if order.attempts == _ATTEMPTS else None
        order.stored, order.due = answer, order.reading.follow(answer)
        return order
