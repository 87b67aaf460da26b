"""The event store on PostgreSQL. Only this module and `database` know the `eventsourcing` library.

Its recorder holds the events in its own table. We add three columns (time, command id, index within the command) and
append through a function of the server, in one round trip: it takes one lock until the commit, so that positions
follow the order of commits and a follower misses nothing; the library's own way keeps a lock over several round trips,
and its function does without, which loses events for followers. What several threads append at one time goes into one
transaction.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from operator import attrgetter
from typing import Any
from uuid import UUID, uuid5

from eventsourcing.postgres import PostgresApplicationRecorder
from psycopg import Connection
from psycopg.rows import DictRow, namedtuple_row
from psycopg.sql import SQL
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from calipso.codec import Codec, Decoded
from calipso.commands.gathering import Gatherer
from calipso.commands.store import Append, Cause
from calipso.database import Database
from calipso.errors import StaleVersion, Unavailable, UnreadableEvent
from calipso.events.envelope import Event, Page, Recorded
from calipso.store_schema import (
    APPEND,
    APPEND_FUNCTION,
    CLOSE_FUNCTION,
    DROP_OLD_FUNCTION,
    LOAD_NEWER,
    PAGE_OF_TOPICS,
    TABLE,
)

_AGAIN = Retrying(
    retry=retry_if_exception_type(Unavailable),
    stop=stop_after_attempt(2),
    wait=wait_random_exponential(multiplier=0.05, max=0.5),
    reraise=True,
)
_GREATEST = 2**63 - 1
_BEGINNING = datetime.min.replace(tzinfo=UTC)
_LAST_AT_MOST = (
    "SELECT notification_id, recorded_at FROM stored_events WHERE notification_id <= %s "
    "ORDER BY notification_id DESC LIMIT 1"
)


class _Recorder(PostgresApplicationRecorder):
    """The library's recorder, with our columns in its table."""

    def __init__(self, database: Database) -> None:
        super().__init__(database.datastore)
        self.sql_create_statements[self.create_table_statement_index] = SQL(TABLE).format()
        self.sql_create_statements[self.create_insert_function_statement_index] = SQL(APPEND_FUNCTION).format()


class PostgresStore:
    """The store of commands, on PostgreSQL.

    Args:
        database: where the events are.
        codec: turns events into bytes and back.
    """

    def __init__(self, database: Database, codec: Codec) -> None:
        self._database = database
        self._codec = codec
        self._gatherer: Gatherer[Append, Sequence[Recorded]] = Gatherer(self.append_all)

    def migrate(self) -> None:
        """Make the table and the function where they are missing."""
        with self._database.connect() as connection:
            connection.execute(DROP_OLD_FUNCTION)
        _Recorder(self._database).create_table()
        with self._database.connect() as connection:
            connection.execute(CLOSE_FUNCTION)

    def load(self, stream: UUID, *, after: int = 0) -> Sequence[Recorded]:
        """The events of a stream with a version above `after`, oldest first."""
        return self._select("originator_id = %s AND originator_version > %s ORDER BY originator_version", stream, after)

    def load_newer(self, versions: Mapping[UUID, int], *, is_tolerant: bool = False) -> Sequence[Recorded]:
        """The events of several streams, each with a version above the one given for it, in the order of the store."""
        rows = self._query(LOAD_NEWER, _array(versions), _array(versions.values()))
        return self._recorded(rows, is_tolerant=is_tolerant)

    def of_command(self, command_id: UUID) -> Sequence[Recorded]:
        """What a command has stored, nothing if it has not been obeyed."""
        return self._select("command_id = %s ORDER BY command_index", command_id)

    def mentioning(self, subject: UUID) -> Sequence[Recorded]:
        """All events that are about a uuid or have it as their actor, in order; looks at every event."""
        return self._select("position(%s::bytea IN state) > 0 ORDER BY notification_id", str(subject).encode())

    def read(
        self,
        *,
        after: int,
        limit: int,
        topics: frozenset[str] | None = None,
        is_tolerant: bool = False,
        concerns: Callable[[UUID, str], bool] | None = None,
    ) -> Page:
        """At most `limit` events after a position, in order; see `commands.store.Store.read`."""
        if topics is None:
            rows = self._rows("notification_id > %s ORDER BY notification_id LIMIT %s", after, limit)
        else:
            rows = self._query(PAGE_OF_TOPICS, after, limit, list(topics))
        wanted = [
            row
            for row in rows
            if (topics is None or row["topic"] in topics)
            and (concerns is None or concerns(row["originator_id"], row["topic"]))
        ]
        events = self._recorded(wanted, is_tolerant=is_tolerant)
        return Page(events=events, last=rows[-1]["notification_id"] if rows else after)

    def at(self, positions: Sequence[int]) -> Sequence[Recorded]:
        """The events at these positions, in order; `Unreadable` in the place of those that cannot be read."""
        rows = self._rows("notification_id = ANY(%s) ORDER BY notification_id", list(positions))
        return self._recorded(rows, is_tolerant=True)

    def head(self) -> int:
        """The position of the newest event, 0 in an empty store."""
        return self._number("SELECT max(notification_id) AS number FROM stored_events")

    def position_at(self, time: datetime) -> int:
        """The last position whose time is at most `time`, 0 if there is none."""
        # times never go back where positions rise, so no index of times is needed, which every append would pay for
        with self._database.connect() as connection:
            last = partial(_last_at_most, connection)
            head, _ = last(_GREATEST)
            found = bisect_right(range(1, head + 1), time, key=lambda position: last(position)[1])
            return last(found)[0]

    def append(self, events: Sequence[Event], *, expected: Mapping[UUID, int], cause: Cause) -> Sequence[Recorded]:
        """Store what one command stores; see `commands.store.Store.append`."""
        return self._gatherer.put(Append(events=events, expected=expected, cause=cause))

    def append_all(self, appends: Sequence[Append]) -> Sequence[Sequence[Recorded] | StaleVersion]:
        """Store what several commands store; see `commands.store.Store.append_all`."""
        states = [self._encoded(event, append.cause) for append in appends for event in append.events]
        try:
            rows = self._append(appends, states)
        except Unavailable:
            # an attempt whose outcome is unknown is repeated: the command ids let it find its own success
            rows = _AGAIN(self._append, appends, states)
        pairs = zip(appends, _answers(appends, rows), strict=True)
        # one that was stored before has no rows
        return [answer or self.of_command(append.cause.command_id) for append, answer in pairs]

    def _encoded(self, event: Event, cause: Cause) -> bytes:
        return self._codec.encode(
            event, actor=cause.actor, correlation_id=cause.correlation_id, causation_id=cause.causation_id
        )

    def _append(self, jobs: Sequence[Append], states: Sequence[bytes]) -> Sequence[Any]:
        """The rows that the server function answers."""
        guards = [(number, *guard) for number, job in enumerate(jobs, 1) for guard in job.expected.items()]
        events = [(number, event.stream, event.topic()) for number, job in enumerate(jobs, 1) for event in job.events]
        stored = {type(event) for job in jobs for event in job.events}
        kinds = ",".join({each.kind for each in stored} | {each.topic() for each in stored})
        commands = _array(job.cause.command_id for job in jobs)
        parameters = (commands, *_arrays(events, 3), list(states), *_arrays(guards, 3), kinds)
        with self._database.appending() as connection:
            return connection.cursor(row_factory=namedtuple_row).execute(APPEND, parameters, prepare=True).fetchall()

    def _select(self, condition: str, *parameters: object) -> list[Recorded]:
        return self._recorded(self._rows(condition, *parameters), is_tolerant=False)

    def _recorded(self, rows: Sequence[Mapping[str, Any]], *, is_tolerant: bool) -> list[Recorded]:
        self._codec.look_ahead((row["topic"], row["state"]) for row in rows)
        decode = self._codec.decode_anyway if is_tolerant else self._codec.decode
        return [_recorded(row, decode) for row in rows]

    def _rows(self, condition: str, *parameters: object) -> list[dict[str, Any]]:
        return self._query(f"SELECT * FROM stored_events WHERE {condition}", *parameters)  # noqa: S608 - our own words

    def _query(self, query: str, *parameters: object) -> list[dict[str, Any]]:
        with self._database.connect() as connection:
            return connection.execute(query.encode(), parameters, prepare=True).fetchall()

    def _number(self, query: str, *parameters: object) -> int:
        with self._database.connect() as connection:
            row = connection.execute(SQL(query), parameters).fetchone()
        return int(row["number"] or 0) if row else 0


def _recorded(row: Mapping[str, Any], decode: Callable[[str, bytes], Decoded]) -> Recorded:
    known_as = event_id(row["command_id"], row["command_index"])
    try:
        decoded = decode(row["topic"], bytes(row["state"]))
    except LookupError as error:
        raise UnreadableEvent(row["notification_id"], str(known_as), str(error)) from error
    return Recorded(
        id=known_as,
        stream=row["originator_id"],
        version=row["originator_version"],
        position=row["notification_id"],
        time=row["recorded_at"].astimezone(UTC),
        actor=decoded.actor,
        correlation_id=decoded.correlation_id,
        causation_id=decoded.causation_id,
        event=decoded.event,
    )


def _last_at_most(connection: Connection[DictRow], position: int) -> tuple[int, datetime]:
    """The last event at or before a position, by its position and time."""
    row = connection.execute(_LAST_AT_MOST, (position,), prepare=True).fetchone()
    return (row["notification_id"], row["recorded_at"]) if row else (0, _BEGINNING)


def event_id(command_id: UUID, index: int) -> UUID:
    """The id of the event that a command stored in this place."""
    return uuid5(command_id, str(index))


def _arrays(rows: Sequence[tuple[Any, ...]], width: int) -> list[str]:
    """The columns of a table, as the server function takes it."""
    return [_array(row[column] for row in rows) for column in range(width)]


def _array(values: Iterable[int | str | UUID]) -> str:
    """An array of values that need no quotes; the library looks at each of them, and takes far longer."""
    return f"{{{','.join(map(str, values))}}}"


def _answers(jobs: Sequence[Append], rows: Sequence[Any]) -> Sequence[Sequence[Recorded] | StaleVersion]:
    """What the server function says to each job."""
    answers: list[list[Recorded] | StaleVersion] = [[] for _ in jobs]
    for row in rows:
        job, answer = jobs[row.command - 1], answers[row.command - 1]
        if row.stale is not None:
            answers[row.command - 1] = StaleVersion(str(row.stale))
        elif row.version is not None and isinstance(answer, list):
            answer.append(_stored(job, row))
    return [sorted(answer, key=attrgetter("position")) if isinstance(answer, list) else answer for answer in answers]


def _stored(job: Append, row: Any) -> Recorded:  # noqa: ANN401 - a row of the server function
    event = job.events[row.place]
    return Recorded(
        id=event_id(job.cause.command_id, row.place),
        stream=event.stream,
        version=row.version,
        position=row.position,
        time=row.instant.astimezone(UTC),
        actor=job.cause.actor,
        correlation_id=job.cause.correlation_id,
        causation_id=job.cause.causation_id,
        event=event,
    )
