"""Events as those read them who look back: with names, causes and sentences."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from sqlalchemy import Connection, select

from calipso.events import telling
from calipso.events.envelope import History, Recorded, Unreadable, personal_fields
from calipso.events.naming import parse_uuid
from calipso.projections import users
from calipso.projections.audit import entries, names_of
from calipso.projections.audit.selection import Selection, positions
from calipso.projections.folding import any_of
from calipso.projections.users import UserRow

_PAGE = 1000


@dataclass(frozen=True, kw_only=True)
class Entry:
    """An event with what a person wants to know of it.

    `actor` is who caused it, in words; `cause` is the position of the event before, None when it was a command;
    `erased` are the fields of which nothing is left.
    """

    recorded: Recorded
    actor: str
    cause: int | None
    sentence: str
    erased: tuple[str, ...]


def page(
    connection: Connection, history: History, wanted: Selection, *, limit: int, newest_first: bool = False
) -> Sequence[Entry]:
    """The first (or last) `limit` events of a selection, in that order."""
    found = history.at(positions(connection, wanted, limit=limit, newest_first=newest_first))
    return told(connection, found[::-1] if newest_first else found)


def stream(connection: Connection, history: History, wanted: Selection, *, limit: int | None = None) -> Iterator[Entry]:
    """All events of a selection (at most `limit`), oldest first, however many there are."""
    left = limit
    while left is None or left > 0:
        size = _PAGE if left is None else min(_PAGE, left)
        found = page(connection, history, wanted, limit=size)
        yield from found
        if len(found) < size:
            return
        left = None if left is None else left - size
        wanted = replace(wanted, after=found[-1].recorded.position)


def told(connection: Connection, events: Sequence[Recorded]) -> Sequence[Entry]:
    """These events with what a person wants to know of them."""
    names = Names.of(connection, events)
    causes = _causes(connection, events)
    return [
        Entry(
            recorded=recorded,
            actor=telling.told_actor(recorded.actor, names),
            cause=causes.get(recorded.causation_id),
            sentence=telling.tell(recorded.event, recorded.actor, names),
            erased=names.erased(recorded),
        )
        for recorded in events
    ]


@dataclass(frozen=True)
class Names:
    """What the things in some events are called."""

    accounts: Mapping[UUID, UserRow]
    things: Mapping[UUID, str]

    @classmethod
    def of(cls, connection: Connection, events: Sequence[Recorded]) -> "Names":
        """The names of all that these events are about, and of their actors."""
        ids = [value for recorded in events for value in vars(recorded.event).values() if isinstance(value, UUID)]
        wanted = {*ids, *filter(None, (parse_uuid(r.actor.removeprefix("user:")) for r in events))}
        return cls(users.named(connection, wanted), names_of(connection, wanted))

    def user(self, user_id: UUID) -> str:
        """The name of an account, a placeholder once it is erased."""
        row = self.accounts.get(user_id)
        return row.name if row else str(user_id)

    def experiment(self, experiment_id: UUID) -> str:
        """The public number of an experiment."""
        return self.things.get(experiment_id, str(experiment_id))

    def image(self, image_id: UUID) -> str:
        """The name of a catalogue entry."""
        return self.things.get(image_id, str(image_id))

    def erased(self, recorded: Recorded) -> tuple[str, ...]:
        """The personal fields of an event of which nothing is left."""
        if isinstance(recorded.event, Unreadable):
            return ()
        subjects = personal_fields(recorded.topic)
        accounts = {name: self.accounts.get(getattr(recorded.event, field)) for name, field in subjects.items()}
        return tuple(name for name, row in accounts.items() if row and row.erased)


def _causes(connection: Connection, events: Sequence[Recorded]) -> Mapping[UUID, int]:
    """The positions of the events that caused these; a cause is an event of the same request."""
    caused = [r for r in events if r.causation_id != r.correlation_id]
    if not caused:
        return {}
    query = select(entries.c.event_id, entries.c.position).where(
        any_of(entries.c.correlation_id, {r.correlation_id for r in caused}),
        any_of(entries.c.event_id, {r.causation_id for r in caused}),
    )
    return {row.event_id: row.position for row in connection.execute(query)}
