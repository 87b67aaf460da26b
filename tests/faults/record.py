"""What the events tell, folded by the harness itself while the log grows."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from calipso.events import container as containers
from calipso.events import quota as quotas
from calipso.events.container import Container, State
from calipso.events.envelope import EventLog, Recorded
from calipso.events.naming import container_name
from calipso.events.quota import Quota, QuotaReleased, QuotaReserved
from calipso.events.values import Limits

_PAGE = 1000
_ENDED = frozenset({State.RUNNING, State.STOPPED, State.REMOVED, State.FAILED, State.LOST})


class Record:
    """All containers and quotas of a store, and what was never lawful in its log.

    Args:
        default: the limits of users without a quota of their own.

    Attributes:
        asked: the containers whose stop somebody asked for, so that they may be kept.
        wrong: what was not lawful at its position, for ever.
    """

    def __init__(self, default: Limits) -> None:
        self.events: list[Recorded] = []
        self.containers: dict[UUID, Container] = {}
        self.quotas: dict[UUID, Quota] = {}
        self.asked: set[UUID] = set()
        self.started = 0
        self.wrong: list[str] = []
        self._default = default

    def catch_up(self, store: EventLog) -> None:
        """Fold what was stored since."""
        while page := store.read(after=self.position, limit=_PAGE).events:
            for recorded in page:
                self._fold(recorded)

    @property
    def position(self) -> int:
        """The last position that was folded."""
        return self.events[-1].position if self.events else 0

    def named(self, *states: State) -> Mapping[str, Container]:
        """The containers in these states, in any when none is named, by their names."""
        wanted = states or tuple(State)
        return {container_name(key): c for key, c in self.containers.items() if c.state in wanted}

    def unended(self) -> Sequence[str]:
        """The containers for which something is still to be done."""
        return [
            f"{container_name(key)} is {c.state}" + (" and to be removed" if c.removal_requested else "")
            for key, c in self.containers.items()
            if c.state not in _ENDED or (c.state is State.STOPPED and c.removal_requested)
        ]

    def _fold(self, recorded: Recorded) -> None:
        self.events.append(recorded)
        event = recorded.event
        if isinstance(event, containers.ContainerEvent):
            folded = containers.evolve(self.containers.get(event.container_id), event)
            if folded is None:
                self._accuse(recorded, "is about a container that nobody requested")
            else:
                self.containers[event.container_id] = folded
            if isinstance(event, containers.ContainerStopRequested):
                self.asked.add(event.container_id)
            self.started += isinstance(event, containers.ContainerStarted)
        elif isinstance(event, quotas.QuotaEvent):
            self._fold_quota(recorded, event)

    def _fold_quota(self, recorded: Recorded, event: quotas.QuotaEvent) -> None:
        before = self.quotas.get(event.user_id, Quota())
        after = quotas.evolve(before, event)
        self.quotas[event.user_id] = after
        if isinstance(event, QuotaReserved):
            limits = before.limits or self._default
            labels = [reservation.label for reservation in after.reservations.values()]
            if event.limits != limits:
                self._accuse(recorded, f"names the limits {event.limits} while {limits} were in force")
            if _exceeds(after, limits):
                self._accuse(recorded, f"reserves beyond the limit {limits}")
            if len(set(labels)) < len(labels):
                self._accuse(recorded, f"reserves a second time for {event.label}")
        elif isinstance(event, QuotaReleased) and event.container_id not in before.reservations:
            self._accuse(recorded, "releases what was not held")

    def _accuse(self, recorded: Recorded, what: str) -> None:
        self.wrong.append(f"position {recorded.position}: {type(recorded.event).__name__} {what}")


def _exceeds(quota: Quota, limits: Limits) -> bool:
    used, most = quota.used(), limits.resources
    return (
        len(quota.reservations) > limits.containers
        or used.millicores > most.millicores
        or used.memory > most.memory
        or used.disk > most.disk
    )
