"""The projection into Apache Guacamole's tables: an account and a connection for each desktop that runs.

Only rows that we wrote are touched, found by the ids that we keep in `calipso_connection`. Names, passwords and salts
derive from the container id, so a rebuild writes the same rows.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from sqlalchemy import Connection, Dialect, select

from calipso.credentials import MasterKeys
from calipso.events.container import ContainerEvent
from calipso.events.envelope import Recorded
from calipso.projections import protocol
from calipso.projections.guacamole import rows, schema, tables
from calipso.projections.guacamole.fold import TOPICS, Kept, Life, fold, wanted

_SECRET_PARAMETERS = frozenset({"password"})
_AT_ONCE = 500


@dataclass(frozen=True, kw_only=True)
class GuacamoleRows:
    """What Guacamole has of one container; passwords are hidden, `account` is empty when somebody removed it."""

    connection_id: int
    account: str
    protocol: str
    parameters: Mapping[str, str]


class Guacamole:
    """Running desktops as Guacamole connections.

    Args:
        keys: from which accounts and passwords derive.
        guacd: the host and port of the guacd of each target; an empty host means Guacamole's own.
    """

    name = "guacamole"
    topics = TOPICS
    position = tables.position

    def __init__(self, keys: MasterKeys, guacd: Mapping[str, tuple[str, int]]) -> None:
        self._keys = keys
        self._guacd = guacd

    def prepare(self, connection: Connection) -> None:
        """Check Guacamole's tables and make our own two.

        Raises:
            Invalid: the database has no Guacamole schema, or one older than 1.0.0, or our tables cannot be made.
        """
        schema.check(connection)
        schema.make_ours(connection)
        protocol.ensure_position(connection, tables.position)

    def create_schema(self, connection: Connection) -> None:
        """Make Guacamole's own tables where they are missing; only in a database that is ours."""
        tables.guacamole.create_all(connection)

    def ddl(self, dialect: Dialect) -> str:
        """The statements that make our own tables, for a database whose administrator runs them."""
        return schema.ddl_of_ours(dialect)

    def lock_position(self, connection: Connection) -> int:
        """The position of the last event applied; others wait until the transaction ends."""
        return protocol.lock_position(connection, tables.position)

    def save_position(self, connection: Connection, position: int) -> None:
        """Keep the position together with the rows."""
        protocol.save_position(connection, tables.position, position)

    def apply(self, connection: Connection, events: Sequence[Recorded]) -> None:
        """Change the rows for events, in order; a container that starts and ends in them needs no row.

        Raises:
            Invalid: the master key of a container that runs is missing.
            Conflict: an account that is not ours has the name of one of ours.
        """
        concerned = {r.event.container_id for r in events if isinstance(r.event, ContainerEvent)}
        stored = rows.read_kept(connection, concerned)
        lives = {container_id: Life(kept=kept) for container_id, kept in stored.items()}
        for recorded in events:
            fold(lives, recorded)
        self._write(connection, stored, lives)

    def reconcile(
        self, connection: Connection, events: Iterable[Recorded], *, lives: dict[UUID, Life] | None = None
    ) -> None:
        """Rebuild in place: what should be there keeps its ids, what is missing or other is mended, the rest goes.

        Args:
            connection: in whose transaction the caller holds the lock on the position, and saves it.
            events: the whole history, in order.
            lives: what the history before these events came to, if it was folded already.

        Raises:
            Invalid: the master key of a container that runs is missing.
            Conflict: an account that is not ours has the name of one of ours.
        """
        lives = {} if lives is None else lives
        for recorded in events:
            fold(lives, recorded)
        stored = rows.read_kept(connection)
        known = {container_id: _with_ids(life, stored.get(container_id)) for container_id, life in lives.items()}
        self._write(connection, stored, known)

    def rows_of(self, connection: Connection, container_id: UUID) -> GuacamoleRows | None:
        """What Guacamole has of a container, None when there is no connection."""
        ours, shown, entity = tables.kept.c, tables.connection.c, tables.entity.c
        query = select(shown.connection_id, shown.protocol, entity.name)
        joined = tables.kept.join(tables.connection, ours.connection_id == shown.connection_id)
        joined = joined.outerjoin(tables.entity, ours.entity_id == entity.entity_id)
        row = connection.execute(query.select_from(joined).where(ours.container_id == str(container_id))).first()
        if row is None:
            return None
        parameter = tables.connection_parameter.c
        found = select(parameter.parameter_name, parameter.parameter_value)
        found = found.where(parameter.connection_id == row.connection_id).order_by(parameter.parameter_name)
        return GuacamoleRows(
            connection_id=row.connection_id,
            account=row.name or "",
            protocol=row.protocol,
            parameters={
                name: "(hidden)" if name in _SECRET_PARAMETERS else value for name, value in connection.execute(found)
            },
        )

    def _write(self, connection: Connection, stored: Mapping[UUID, Kept], lives: Mapping[UUID, Life]) -> None:
        now = {container_id: life.kept for container_id, life in lives.items()}
        rows.forget(connection, [kept for container_id, kept in stored.items() if now.get(container_id) != kept])
        runs = [
            wanted(life.kept, life.start, self._keys, self._guacd) for life in lives.values() if life.start is not None
        ]
        for first in range(0, len(runs), _AT_ONCE):
            now |= rows.show(connection, runs[first : first + _AT_ONCE])
        rows.remember(connection, [kept for container_id, kept in now.items() if stored.get(container_id) != kept])


def _with_ids(life: Life, stored: Kept | None) -> Life:
    if stored is None:
        return life
    kept = replace(life.kept, connection_id=stored.connection_id, entity_id=stored.entity_id)
    return replace(life, kept=kept)
