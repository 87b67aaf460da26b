"""The event store on PostgreSQL. Only this module and `database` know the `eventsourcing` library.

Its recorder holds the events in its own table. We add three columns (time, command id, index within the command) and
append through a function of the server, in one round trip: it takes one lock until the commit, so that positions
follow the order of commits and a follower misses nothing; the library's own way keeps a lock over several round trips,
and its function does without, which loses events for followers.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid5

from eventsourcing.persistence import DatabaseError
from eventsourcing.postgres import PostgresApplicationRecorder
from psycopg.sql import SQL
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from calipso.codec import Codec
from calipso.commands.store import Cause
from calipso.database import STORED, Database, lock_number
from calipso.errors import StaleVersion, Unavailable
from calipso.events.envelope import Event, Page, Recorded

_STALE = "CA001"  # SQLSTATE that the server function raises for a stale version
_ATTEMPTS = 3

_TABLE = """
CREATE TABLE IF NOT EXISTS stored_events (
    originator_id uuid NOT NULL,
    originator_version bigint NOT NULL,
    topic text NOT NULL,
    state bytea NOT NULL,
    notification_id bigserial,
    recorded_at timestamptz NOT NULL,
    command_id uuid NOT NULL,
    command_index integer NOT NULL,
    PRIMARY KEY (originator_id, originator_version),
    UNIQUE (command_id, command_index)
)
"""

_APPEND_FUNCTION = f"""
CREATE OR REPLACE FUNCTION calipso_append(
    command uuid, streams uuid[], topics text[], states bytea[], guarded uuid[], guarded_versions bigint[]
) RETURNS SETOF stored_events LANGUAGE plpgsql AS $body$
DECLARE
    stale uuid;
    instant timestamptz;
BEGIN
    PERFORM pg_advisory_xact_lock({lock_number("append")});
    IF EXISTS (SELECT FROM stored_events e WHERE e.command_id = command) THEN
        RETURN QUERY SELECT * FROM stored_events e WHERE e.command_id = command ORDER BY e.command_index;
        RETURN;
    END IF;
    SELECT g.stream INTO stale FROM unnest(guarded, guarded_versions) AS g (stream, version)
        WHERE g.version <> coalesce(
            (SELECT max(e.originator_version) FROM stored_events e WHERE e.originator_id = g.stream), 0)
        LIMIT 1;
    IF stale IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = '{_STALE}', MESSAGE = stale::text;
    END IF;
    SELECT greatest(clock_timestamp(), e.recorded_at) INTO instant
        FROM (SELECT recorded_at FROM stored_events ORDER BY notification_id DESC LIMIT 1) AS e;
    RETURN QUERY
        WITH numbered AS (
            SELECT n.stream, n.topic, n.state, n.place,
                row_number() OVER (PARTITION BY n.stream ORDER BY n.place) AS step
            FROM unnest(streams, topics, states) WITH ORDINALITY AS n (stream, topic, state, place)
        ), based AS (
            SELECT s.stream, coalesce(
                (SELECT max(e.originator_version) FROM stored_events e WHERE e.originator_id = s.stream), 0) AS base
            FROM (SELECT DISTINCT unnest(streams) AS stream) AS s
        )
        INSERT INTO stored_events (
            originator_id, originator_version, topic, state, recorded_at, command_id, command_index)
        SELECT n.stream, b.base + n.step, n.topic, n.state, coalesce(instant, clock_timestamp()), command, n.place - 1
        FROM numbered n JOIN based b USING (stream) ORDER BY n.place
        RETURNING *;
    PERFORM pg_notify('{STORED}', (SELECT string_agg(DISTINCT split_part(t, '.', 2), ',') FROM unnest(topics) AS t));
END
$body$
"""  # noqa: S608 - the numbers and names in it are our own


class _Recorder(PostgresApplicationRecorder):
    """The library's recorder, with our columns in its table."""

    def __init__(self, database: Database) -> None:
        super().__init__(database.datastore)
        self.sql_create_statements[self.create_table_statement_index] = SQL(_TABLE).format()
        self.sql_create_statements[self.create_insert_function_statement_index] = SQL(_APPEND_FUNCTION).format()


class PostgresStore:
    """The store of commands, on PostgreSQL.

    Args:
        database: where the events are.
        codec: turns events into bytes and back.
    """

    def __init__(self, database: Database, codec: Codec) -> None:
        self._database = database
        self._codec = codec

    def migrate(self) -> None:
        """Make the table and the function where they are missing."""
        _Recorder(self._database).create_table()

    def load(self, stream: UUID, *, after: int = 0) -> Sequence[Recorded]:
        """The events of a stream with a version above `after`, oldest first."""
        return self._select("originator_id = %s AND originator_version > %s ORDER BY originator_version", stream, after)

    def of_command(self, command_id: UUID) -> Sequence[Recorded]:
        """What a command has stored, nothing if it has not been obeyed."""
        return self._select("command_id = %s ORDER BY command_index", command_id)

    def mentioning(self, subject: UUID) -> Sequence[Recorded]:
        """All events that are about a uuid or have it as their actor, in order; looks at every event."""
        return self._select("position(%s::bytea IN state) > 0 ORDER BY notification_id", str(subject).encode())

    def read(self, *, after: int, limit: int, topics: frozenset[str] | None = None) -> Page:
        """At most `limit` events after a position, in order; of these only the wanted topics are given."""
        rows = self._rows("notification_id > %s ORDER BY notification_id LIMIT %s", after, limit)
        wanted = [self._recorded(row) for row in rows if topics is None or row["topic"] in topics]
        return Page(events=wanted, last=rows[-1]["notification_id"] if rows else after)

    def head(self) -> int:
        """The position of the newest event, 0 in an empty store."""
        return self._number("SELECT max(notification_id) AS number FROM stored_events")

    def position_at(self, time: datetime) -> int:
        """The last position whose time is at most `time`, 0 if there is none."""
        return self._number("SELECT max(notification_id) AS number FROM stored_events WHERE recorded_at <= %s", time)

    def append(self, events: Sequence[Event], *, expected: Mapping[UUID, int], cause: Cause) -> Sequence[Recorded]:
        """Store events of one or more streams, all or none; see `commands.store.Store.append`."""
        states = [
            self._codec.encode(
                event, actor=cause.actor, correlation_id=cause.correlation_id, causation_id=cause.causation_id
            )
            for event in events
        ]
        parameters = (
            cause.command_id,
            [event.stream for event in events],
            [event.topic() for event in events],
            states,
            list(expected.keys()),
            list(expected.values()),
        )
        # an attempt whose outcome is unknown is repeated: the command id lets it find its own success
        for attempt in Retrying(
            retry=retry_if_exception_type(Unavailable),
            stop=stop_after_attempt(_ATTEMPTS),
            wait=wait_random_exponential(multiplier=0.05, max=0.5),
            reraise=True,
        ):
            with attempt:
                rows = self._append(parameters)
        return [self._recorded(row) for row in rows]

    def _append(self, parameters: tuple[Any, ...]) -> list[dict[str, Any]]:
        try:
            with self._database.connect() as connection:
                return connection.execute(
                    "SELECT * FROM calipso_append(%s, %s::uuid[], %s::text[], %s::bytea[], %s::uuid[], %s::bigint[])",
                    parameters,
                ).fetchall()
        except DatabaseError as error:
            raise_stale(error.__cause__)
            raise

    def _select(self, condition: str, *parameters: object) -> list[Recorded]:
        return [self._recorded(row) for row in self._rows(condition, *parameters)]

    def _rows(self, condition: str, *parameters: object) -> list[dict[str, Any]]:
        query = SQL("SELECT * FROM stored_events WHERE ") + SQL(condition)
        with self._database.connect() as connection:
            return connection.execute(query, parameters, prepare=True).fetchall()

    def _number(self, query: str, *parameters: object) -> int:
        with self._database.connect() as connection:
            row = connection.execute(SQL(query), parameters).fetchone()
        return int(row["number"] or 0) if row else 0

    def _recorded(self, row: Mapping[str, Any]) -> Recorded:
        decoded = self._codec.decode(row["topic"], bytes(row["state"]))
        return Recorded(
            id=event_id(row["command_id"], row["command_index"]),
            stream=row["originator_id"],
            version=row["originator_version"],
            position=row["notification_id"],
            time=row["recorded_at"].astimezone(UTC),
            actor=decoded.actor,
            correlation_id=decoded.correlation_id,
            causation_id=decoded.causation_id,
            event=decoded.event,
        )


def event_id(command_id: UUID, index: int) -> UUID:
    """The id of the event that a command stored in this place."""
    return uuid5(command_id, str(index))


def raise_stale(error: BaseException | None) -> None:
    """Raise `StaleVersion` when this is what the server function said."""
    if getattr(error, "sqlstate", None) == _STALE:
        raise StaleVersion(str(error).splitlines()[0]) from error
