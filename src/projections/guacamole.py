"""The projection into Apache Guacamole's tables: an account and a connection for each desktop that runs.

Only rows that we wrote are touched, found by the ids that we keep in `calipso_connection`. Names, passwords and salts
derive from the container id, so a rebuild writes the same rows.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Dialect, Row, delete, insert, inspect, select, update
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.schema import CreateIndex, CreateTable

from calipso import credentials
from calipso.credentials import MasterKeys
from calipso.errors import Invalid
from calipso.events import container as facts
from calipso.events.container import ContainerEvent
from calipso.events.envelope import EVENT_TYPES, Recorded
from calipso.events.naming import container_name
from calipso.events.values import Placement, Protocol
from calipso.projections import guacamole_tables as tables
from calipso.projections import protocol

_PROTOCOLS = frozenset({Protocol.VNC, Protocol.RDP, Protocol.SSH})
_ENDS = (facts.ContainerFailed, facts.ContainerStopped, facts.ContainerRemoved, facts.ContainerLost)
_OUR_ATTRIBUTE = "calipso-container"
_SECRET_PARAMETERS = frozenset({"password"})
# what a desktop behind RDP needs besides: its certificate is made at its start, and nobody could have signed it
_EXTRA_PARAMETERS: Mapping[str, Mapping[str, str]] = {
    "vnc": {},
    "rdp": {"username": "user", "ignore-cert": "true", "security": "any", "resize-method": "display-update"},
    "ssh": {"username": "user"},
}


@dataclass(frozen=True, kw_only=True)
class GuacamoleRows:
    """What Guacamole has of one container; passwords are hidden."""

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
    topics = frozenset(topic for topic, t in EVENT_TYPES.items() if issubclass(t, ContainerEvent))

    def __init__(self, keys: MasterKeys, guacd: Mapping[str, tuple[str, int]]) -> None:
        self._keys = keys
        self._guacd = guacd

    def prepare(self, connection: Connection) -> None:
        """Check Guacamole's tables and make our own two.

        Raises:
            Invalid: the database has no Guacamole schema, or one older than 1.0.0, or our tables cannot be made.
        """
        _check_schema(connection)
        try:
            tables.ours.create_all(connection)
        except ProgrammingError as error:
            raise Invalid(
                "guacamole_database",
                "our tables are missing and the account may not make them; its administrator must run what "
                "`calipso migrate --guacamole --print-sql` prints",
            ) from error
        protocol.ensure_position(connection, tables.position)

    def create_schema(self, connection: Connection) -> None:
        """Make Guacamole's own tables where they are missing; only in a database that is ours."""
        tables.guacamole.create_all(connection)

    def ddl(self, dialect: Dialect) -> str:
        """The statements that make our own tables, for a database whose administrator runs them."""
        made = [
            str(CreateTable(table, if_not_exists=True).compile(dialect=dialect)) for table in tables.ours.sorted_tables
        ]
        made += [
            str(CreateIndex(index).compile(dialect=dialect))
            for table in tables.ours.sorted_tables
            for index in sorted(table.indexes, key=lambda index: str(index.name))
        ]
        return "".join(f"{statement.strip()};\n\n" for statement in made)

    def lock_position(self, connection: Connection) -> int:
        """The position of the last event applied; others wait until the transaction ends."""
        return protocol.lock_position(connection, tables.position)

    def save_position(self, connection: Connection, position: int) -> None:
        """Keep the position together with the rows."""
        protocol.save_position(connection, tables.position, position)

    def apply(self, connection: Connection, events: Sequence[Recorded]) -> None:
        """Change the rows for events, in order."""
        for recorded in events:
            match recorded.event:
                case facts.ContainerRequested() as event if event.image.protocol in _PROTOCOLS:
                    _remember(connection, event)
                case facts.ContainerStarted() as event:
                    self._open(connection, recorded, event.container_id, event.placement)
                case ContainerEvent() as event if isinstance(event, _ENDS):
                    _close(connection, event.container_id)

    def reconcile(self, connection: Connection, events: Iterable[Recorded]) -> None:
        """Rebuild in place from the whole history: what should be there keeps its ids, what should not goes."""
        open_: dict[UUID, tuple[facts.ContainerRequested, Recorded | None]] = {}
        for recorded in events:
            match recorded.event:
                case facts.ContainerRequested() as event if event.image.protocol in _PROTOCOLS:
                    open_[event.container_id] = (event, None)
                case facts.ContainerStarted(container_id=container_id) if container_id in open_:
                    open_[container_id] = (open_[container_id][0], recorded)
                case ContainerEvent() as event if isinstance(event, _ENDS):
                    open_.pop(event.container_id, None)
        for container_id in connection.execute(select(tables.known.c.container_id)).scalars().all():
            if UUID(container_id) not in open_:
                _close(connection, UUID(container_id))
        for container_id, (request, started) in open_.items():
            _remember(connection, request)
            if started is not None and isinstance(started.event, facts.ContainerStarted):
                self._open(connection, started, container_id, started.event.placement)

    def rows_of(self, connection: Connection, container_id: UUID) -> GuacamoleRows | None:
        """What Guacamole has of a container, None when there is nothing."""
        row = _known(connection, container_id)
        if row is None or row.connection_id is None:
            return None
        parameter = tables.connection_parameter.c
        wanted = select(parameter.parameter_name, parameter.parameter_value)
        found = connection.execute(wanted.where(parameter.connection_id == row.connection_id))
        return GuacamoleRows(
            connection_id=row.connection_id,
            account=credentials.guacamole_username(container_id),
            protocol=row.protocol,
            parameters={name: "(hidden)" if name in _SECRET_PARAMETERS else value for name, value in found},
        )

    def _open(self, connection: Connection, recorded: Recorded, container_id: UUID, placement: Placement) -> None:
        row = _known(connection, container_id)
        if row is None:
            return
        parameters = self._parameters(row, container_id, placement)
        if row.connection_id is not None:  # known already: links that were given out stay good
            _put_parameters(connection, row.connection_id, parameters)
            return
        entity_id = self._make_account(connection, recorded, container_id, row.key_number)
        connection_id = self._make_connection(connection, container_id, row)
        _put_parameters(connection, connection_id, parameters)
        connection.execute(
            insert(tables.connection_permission).values(
                entity_id=entity_id, connection_id=connection_id, permission="READ"
            )
        )
        changed = update(tables.known).where(tables.known.c.container_id == str(container_id))
        connection.execute(changed.values(connection_id=connection_id, entity_id=entity_id))

    def _make_account(self, connection: Connection, recorded: Recorded, container_id: UUID, key_number: int) -> int:
        password = credentials.guacamole_password(self._keys, key_number, container_id)
        salt = credentials.guacamole_salt(self._keys, key_number, container_id)
        name = credentials.guacamole_username(container_id)
        entity_id = _insert(connection, tables.entity, name=name, type="USER")
        user_id = _insert(
            connection,
            tables.user,
            entity_id=entity_id,
            password_hash=credentials.guacamole_hash(password, salt),
            password_salt=salt,
            password_date=recorded.time,
        )
        connection.execute(
            insert(tables.user_permission).values(entity_id=entity_id, affected_user_id=user_id, permission="READ")
        )
        return entity_id

    def _make_connection(self, connection: Connection, container_id: UUID, row: Row[Any]) -> int:
        host, port = self._guacd.get(row.target, ("", 0))
        connection_id = _insert(
            connection,
            tables.connection,
            connection_name=container_name(container_id),
            protocol=row.protocol,
            proxy_hostname=host or None,
            proxy_port=port if host else None,
            proxy_encryption_method="NONE" if host else None,
        )
        connection.execute(
            insert(tables.connection_attribute).values(
                connection_id=connection_id, attribute_name=_OUR_ATTRIBUTE, attribute_value=str(container_id)
            )
        )
        return connection_id

    def _parameters(self, row: Row[Any], container_id: UUID, placement: Placement) -> Mapping[str, str]:
        found = {
            "hostname": placement.host,
            "port": str(placement.port),
            "password": credentials.vnc_password(self._keys, row.key_number, container_id),
        }
        # Guacamole replaces ${NAME} in values; a doubled sign stands for itself
        return {**_EXTRA_PARAMETERS[row.protocol], **{n: v.replace("${", "$${") for n, v in found.items()}}


def _check_schema(connection: Connection) -> None:
    present = set(inspect(connection).get_table_names())
    if "guacamole_entity" in present:
        return
    if "guacamole_user" in present:
        reason = "Guacamole's schema is older than 1.0.0; upgrade it with the scripts of its release, then start again"
    else:
        reason = "there are no Guacamole tables; make them with the schema scripts of its release"
    raise Invalid("guacamole_database", reason)


def _known(connection: Connection, container_id: UUID) -> Row[Any] | None:
    return connection.execute(select(tables.known).where(tables.known.c.container_id == str(container_id))).first()


def _remember(connection: Connection, event: facts.ContainerRequested) -> None:
    if _known(connection, event.container_id) is None:
        connection.execute(
            insert(tables.known).values(
                container_id=str(event.container_id),
                protocol=event.image.protocol.value,
                key_number=event.key_number,
                target=event.target,
            )
        )


def _close(connection: Connection, container_id: UUID) -> None:
    row = _known(connection, container_id)
    if row is None:
        return
    # the account's and the connection's other rows go with them, by Guacamole's own foreign keys
    connection.execute(delete(tables.connection).where(tables.connection.c.connection_id == row.connection_id))
    connection.execute(delete(tables.entity).where(tables.entity.c.entity_id == row.entity_id))
    connection.execute(delete(tables.known).where(tables.known.c.container_id == str(container_id)))


def _put_parameters(connection: Connection, connection_id: int, parameters: Mapping[str, str]) -> None:
    table = tables.connection_parameter
    connection.execute(delete(table).where(table.c.connection_id == connection_id))
    rows = [
        {"connection_id": connection_id, "parameter_name": name, "parameter_value": value}
        for name, value in sorted(parameters.items())
    ]
    connection.execute(insert(table), rows)


def _insert(connection: Connection, table: Any, **values: object) -> int:  # noqa: ANN401 - a table
    key = connection.execute(insert(table).values(values)).inserted_primary_key
    if key is None:
        message = f"{table.name} gave no key"
        raise RuntimeError(message)
    return int(key[0])
