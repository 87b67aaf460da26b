"""Read models made anew from zero: beside the live one, compared with it, and put in its place while all runs."""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from sqlalchemy import Column, Connection, Engine, Table, text
from sqlalchemy.schema import CreateTable

from calipso.database import lock_number
from calipso.errors import Conflict
from calipso.events.envelope import EventLog, Page
from calipso.projections.columns import PlainText
from calipso.projections.runner import BATCH, Runner
from calipso.projections.tables import ReadModel

Told = Callable[[int], None]
"""Hears of the progress: the position up to which all was applied."""


@dataclass(frozen=True, kw_only=True)
class Digest:
    """All rows of a table in the order of its primary key: their number, and the SHA-256 of what COPY gives of them."""

    rows: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A read model and its rebuild at one position, by table; of those that differ, how many rows only one has."""

    position: int
    live: Mapping[str, Digest]
    rebuilt: Mapping[str, Digest]
    only_live: Mapping[str, int]
    only_rebuilt: Mapping[str, int]

    @property
    def is_same(self) -> bool:
        """Whether they are the same to the last row."""
        return self.live == self.rebuilt


class BoundedLog:
    """A log that ends at a position.

    Args:
        log: where events are read.
        upto: the position of the last.
    """

    def __init__(self, log: EventLog, upto: int) -> None:
        self._log = log
        self._upto = upto

    def read(self, *, after: int, limit: int, topics: frozenset[str] | None = None, is_tolerant: bool = False) -> Page:
        """At most `limit` events after a position, in order; see `events.envelope.EventLog.read`."""
        if after >= self._upto:
            return Page(events=(), last=after)
        page = self._log.read(after=after, limit=limit, topics=topics, is_tolerant=is_tolerant)
        events = [recorded for recorded in page.events if recorded.position <= self._upto]
        return Page(events=events, last=min(page.last, self._upto))


class Rebuild:
    """A read model beside the live one, in a schema of its own that a later run goes on with.

    Args:
        model: which.
        engine: the database of the live one.
        log: where events are read.
    """

    def __init__(self, model: ReadModel, engine: Engine, log: EventLog) -> None:
        self._model = model
        self._engine = engine
        self._log = log
        self._live = str(model.metadata.schema)
        self._next = f"{self._live}_next"
        self._old = f"{self._live}_old"
        self._beside = engine.execution_options(schema_translate_map={self._live: self._next})

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep other rebuilds of the model out.

        Raises:
            Conflict: one is under way.
        """
        with self._engine.connect() as connection:
            number = {"number": lock_number(f"rebuild/{self._model.name}")}
            if not connection.execute(text("SELECT pg_try_advisory_lock(:number)"), number).scalar_one():
                raise Conflict(self._model.name, "it is being rebuilt already")
            connection.commit()
            try:
                yield
            finally:
                connection.execute(text("SELECT pg_advisory_unlock(:number)"), number)
                connection.commit()

    def begin(self, *, anew: bool) -> int:
        """Make the tables beside the live ones; gives the position from which to go on.

        Args:
            anew: whether what an earlier run has left is not used.
        """
        layout = f"calipso {version('calipso')} {_layout(self._model)}"
        with self._beside.begin() as connection:
            _drop(connection, self._old)
            known = connection.execute(
                text("SELECT obj_description(to_regnamespace(:name), 'pg_namespace')"), {"name": self._next}
            ).scalar_one()
            if anew or known != layout:
                self.drop(connection)
                connection.execute(text(f"CREATE SCHEMA {self._next}"))
                connection.execute(text(f"COMMENT ON SCHEMA {self._next} IS '{layout}'"))
            self._model.prepare(connection)
            return self._model.lock_position(connection)

    def drop(self, connection: Connection | None = None) -> None:
        """Let go of what was made beside the live one."""
        if connection is not None:
            return _drop(connection, self._next)
        with self._engine.begin() as own:
            return _drop(own, self._next)

    def catch_up(self, upto: int, told: Told = lambda _: None) -> None:
        """Apply the events up to a position.

        Raises:
            PoisonEvent: one cannot be applied; all before it are, and a later run goes on there.
        """
        replay(self._model, self._beside, self._log, upto, told)

    def live_position(self) -> int:
        """How far the live one is."""
        with self._engine.begin() as connection:
            return self._model.lock_position(connection)

    def compare(self) -> Comparison | None:
        """Compare with the live one at one position; None when the live one is behind.

        The live one waits only until both are at one position; they are compared in a snapshot of that moment.
        """
        with self._snapshot() as (connection, position):
            if position is None:
                return None
            live, rebuilt = (_digests(connection, self._model, schema) for schema in (self._live, self._next))
            differing = [name for name in rebuilt if live[name] != rebuilt[name]]
            return Comparison(
                position=position,
                live=live,
                rebuilt=rebuilt,
                only_live={name: _missing(connection, name, self._live, self._next) for name in differing},
                only_rebuilt={name: _missing(connection, name, self._next, self._live) for name in differing},
            )

    @contextmanager
    def _snapshot(self) -> Iterator[tuple[Connection, int | None]]:
        options = {"isolation_level": "REPEATABLE READ"}
        with self._engine.connect().execution_options(**options) as snapshot, snapshot.begin():
            with self._engine.begin() as holder:
                position = self._model.lock_position(holder)
                with self._beside.begin() as connection:
                    is_ahead = self._model.lock_position(connection) > position
                if not is_ahead:
                    self.catch_up(position)
                snapshot.execute(text("SELECT 1"))  # what it sees is settled by its first query
            yield snapshot, None if is_ahead else position

    def swap(self) -> int:
        """Put it in the place of the live one, in one transaction; gives its position.

        The live one's projector waits as long as it takes to apply what was stored since `catch_up`, and then goes on
        with the new one.

        Raises:
            Exception: an event cannot be applied; nothing was changed.
        """
        with self._beside.begin() as connection:
            # other than a lock on its row, this lets those who waited find the new table
            connection.execute(text(f"LOCK TABLE {self._live}.position IN ACCESS EXCLUSIVE MODE"))
            where = text(f"SELECT position FROM {self._live}.position")  # noqa: S608 - our own name
            upto = int(connection.execute(where).scalar_one())
            position = self._apply_rest(connection, upto)
            connection.execute(text(f"ALTER SCHEMA {self._live} RENAME TO {self._old}"))
            connection.execute(text(f"ALTER SCHEMA {self._next} RENAME TO {self._live}"))
            connection.execute(text(f"COMMENT ON SCHEMA {self._live} IS NULL"))
        with self._engine.begin() as connection:
            _drop(connection, self._old)
        return position

    def analyze(self) -> None:
        """Let the database know what is in the new tables before anybody asks them."""
        with self._beside.begin() as connection:
            for table in self._model.metadata.sorted_tables:
                connection.execute(text(f"ANALYZE {self._next}.{table.name}"))

    def _apply_rest(self, connection: Connection, upto: int) -> int:
        log = BoundedLog(self._log, upto)
        position = self._model.lock_position(connection)
        topics = self._model.topics
        while (
            page := log.read(after=position, limit=BATCH, topics=topics, is_tolerant=topics is None)
        ).last > position:
            if page.events:
                self._model.apply(connection, page.events)
            position = page.last
        self._model.save_position(connection, position)
        return position


def replay(model: ReadModel, engine: Engine, log: EventLog, upto: int, told: Told = lambda _: None) -> None:
    """Apply the events up to a position to a read model whose tables are there.

    Args:
        model: which.
        engine: its database.
        log: where events are read.
        upto: the position of the last; a model that is there already is left as it is.
        told: hears of the progress.

    Raises:
        PoisonEvent: an event cannot be applied; all before it are.
    """
    runner = Runner(
        projection=model, engine=engine, log=BoundedLog(log, upto), report=lambda position, *_: told(position)
    )
    runner.catch_up()
    with engine.begin() as connection:  # a runner does not write down each event that does not concern it
        if model.lock_position(connection) < upto:
            model.save_position(connection, upto)


def prepare_elsewhere(model: ReadModel, engine: Engine) -> int:
    """Make the tables of a read model in a database that has no events of its own; gives how far it is there.

    Raises:
        Conflict: it has.
    """
    with engine.begin() as connection:
        if connection.execute(text("SELECT to_regclass('stored_events') IS NOT NULL")).scalar_one():
            raise Conflict("--into", "this database has events of its own; give an empty one")
        model.prepare(connection)
        return model.lock_position(connection)


def digests(model: ReadModel, engine: Engine) -> Mapping[str, Digest]:
    """The digests of the tables of a read model, by name."""
    with engine.connect().execution_options(isolation_level="REPEATABLE READ") as connection, connection.begin():
        return _digests(connection, model, str(model.metadata.schema))


def _digests(connection: Connection, model: ReadModel, schema: str) -> Mapping[str, Digest]:
    return {table.name: _digest(connection, table, schema) for table in _tables(model)}


def _tables(model: ReadModel) -> Sequence[Table]:
    return [table for table in model.metadata.sorted_tables if table.name != "position"]


def _digest(connection: Connection, table: Table, schema: str) -> Digest:
    keys = ", ".join(_ordered(column) for column in table.primary_key.columns)
    rows, digest = 0, hashlib.sha256()
    client: Any = connection.connection.driver_connection
    with client.cursor() as cursor:
        cursor.execute("SET LOCAL timezone = 'UTC'")
        query = f"COPY (SELECT * FROM {schema}.{table.name} ORDER BY {keys}) TO STDOUT"  # noqa: S608 - our own names
        with cursor.copy(query) as copy:
            for row in copy:
                digest.update(row)
                rows += 1
    return Digest(rows=rows, sha256=digest.hexdigest())


def _ordered(column: Column[object]) -> str:
    # the order of texts must not depend on the database
    return f'"{column.name}" COLLATE "C"' if isinstance(column.type, PlainText) else f'"{column.name}"'


def _missing(connection: Connection, name: str, there: str, here: str) -> int:
    """The number of rows of a table that are there and not here."""
    query = f"SELECT count(*) FROM (SELECT t::text FROM {there}.{name} t EXCEPT SELECT t::text FROM {here}.{name} t) x"  # noqa: S608 - our own names
    return int(connection.execute(text(query)).scalar_one())


def _layout(model: ReadModel) -> str:
    made = "".join(str(CreateTable(table)) for table in model.metadata.sorted_tables)
    return hashlib.sha256(made.encode()).hexdigest()[:16]


def _drop(connection: Connection, schema: str) -> None:
    connection.execute(text(f"DROP SCHEMA IF EXISTS {schema} CASCADE"))
