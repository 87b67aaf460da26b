"""Guacamole's tables made anew in place: only what differs is written, so that ids which were handed out stay."""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Connection, Engine, Select, select

from calipso.events.envelope import EventLog, Recorded
from calipso.projections.guacamole import Guacamole, tables
from calipso.projections.guacamole.fold import Life, fold

_PAGE = 2000

_OF_ENTITIES = (tables.entity, tables.user, tables.user_permission)
_OF_CONNECTIONS = (
    tables.connection,
    tables.connection_parameter,
    tables.connection_attribute,
    tables.connection_permission,
)
_UNCOMPARED = frozenset({"password_date"})  # a later start does not tell when the password was made


@dataclass(frozen=True, kw_only=True)
class Reconciliation:
    """What a rebuild found: the rows of ours before and after, by table, as digests, and how many differed."""

    position: int
    rows: int
    sha256: str
    only_live: Mapping[str, int]
    only_rebuilt: Mapping[str, int]

    @property
    def is_same(self) -> bool:
        """Whether nothing had to be mended."""
        return not any(self.only_live.values()) and not any(self.only_rebuilt.values())


def rebuild(
    guacamole: Guacamole, engine: Engine, log: EventLog, *, head: int, keep: bool, told: Callable[[int], None]
) -> Reconciliation:
    """Make the rows of every container what its events say.

    The history is folded before anybody has to wait; the projector waits for the end of it and for the writing.

    Args:
        guacamole: the projection.
        engine: its database.
        log: where events are read.
        head: the position up to which the history is folded first.
        keep: whether what was mended stays; otherwise it is only found out.
        told: hears of the progress.

    Raises:
        Invalid: the master key of a container that runs is missing.
        Conflict: an account that is not ours has the name of one of ours.
    """
    lives: dict[UUID, Life] = {}
    position = 0
    for position, recorded in _events(guacamole, log, 0, head):
        if recorded is not None:
            fold(lives, recorded)
        told(position)
    with engine.connect() as connection, connection.begin() as transaction:
        upto = max(guacamole.lock_position(connection), position)
        before = _ours(connection)
        rest = (recorded for _, recorded in _events(guacamole, log, position, upto) if recorded is not None)
        guacamole.reconcile(connection, rest, lives=lives)
        guacamole.save_position(connection, upto)
        after = _ours(connection)
        if not keep:
            transaction.rollback()
    return Reconciliation(
        position=upto,
        rows=sum(len(rows) for rows in after.values()),
        sha256=hashlib.sha256(repr({name: sorted(rows) for name, rows in after.items()}).encode()).hexdigest(),
        only_live={name: len(rows - after[name]) for name, rows in before.items() if rows - after[name]},
        only_rebuilt={name: len(rows - before[name]) for name, rows in after.items() if rows - before[name]},
    )


def _events(guacamole: Guacamole, log: EventLog, after: int, upto: int) -> Iterator[tuple[int, Recorded | None]]:
    """The events that concern Guacamole, each with its position, and None at the end of each page."""
    while after < upto:
        page = log.read(after=after, limit=_PAGE, topics=guacamole.topics)
        if page.last == after:
            return
        for recorded in page.events:
            if recorded.position <= upto:
                yield recorded.position, recorded
        after = min(page.last, upto)
        yield after, None


def _ours(connection: Connection) -> Mapping[str, set[str]]:
    """All rows of ours by table, as texts."""
    kept = tables.kept
    queries: dict[str, Select[tuple[object, ...]]] = {kept.name: select(kept)}
    for table in _OF_ENTITIES:
        columns = [column for column in table.columns if column.name not in _UNCOMPARED]
        queries[table.name] = select(*columns).where(table.c.entity_id.in_(select(kept.c.entity_id)))
    for table in _OF_CONNECTIONS:
        queries[table.name] = select(table).where(table.c.connection_id.in_(select(kept.c.connection_id)))
    return {name: {repr(tuple(row)) for row in connection.execute(query)} for name, query in queries.items()}
