"""The table of the events, and the function of the server that appends to it."""

from calipso.database import STORED, lock_number

TABLE = """
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

# Appends a batch of commands of which no two touch one stream. `event_commands` and `guard_commands` say to which of
# `commands` (from 1) each event and each guard belongs. The answer is a row for each event that was stored; of a
# command whose streams have changed, its number and a stream alone; of one that was stored before, its number alone.
# The plan is made once: making it again takes longer than running it. It runs as the owner of the table, which nobody
# else may write, and it may be called by those alone who were given the right (see `roles`).
APPEND_FUNCTION = f"""
CREATE OR REPLACE FUNCTION calipso_append(
    commands uuid[], event_commands integer[], streams uuid[], topics text[], states bytea[],
    guard_commands integer[], guarded uuid[], guarded_versions bigint[], kinds text
) RETURNS TABLE (command integer, place integer, version bigint, "position" bigint, instant timestamptz, stale uuid)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET plan_cache_mode = force_generic_plan AS $body$
#variable_conflict use_column
DECLARE
    -- an assignment is evaluated without a query of its own
    locked text := pg_advisory_xact_lock({lock_number("append")});
    notified text;
BEGIN
    RETURN QUERY
        WITH repeated AS (
            SELECT c.number::integer AS number FROM unnest(commands) WITH ORDINALITY AS c (id, number)
            WHERE EXISTS (SELECT FROM stored_events e WHERE e.command_id = c.id)
        ), outdated AS (
            SELECT g.number, g.stream
            FROM unnest(guard_commands, guarded, guarded_versions) AS g (number, stream, version)
            WHERE g.version <> coalesce(
                (SELECT max(e.originator_version) FROM stored_events e WHERE e.originator_id = g.stream), 0)
                AND g.number NOT IN (SELECT number FROM repeated)
        ), numbered AS (
            SELECT n.*, row_number() OVER (PARTITION BY n.stream ORDER BY n.place) AS step
            FROM unnest(event_commands, streams, topics, states)
                WITH ORDINALITY AS n (number, stream, topic, state, place)
            WHERE n.number NOT IN (SELECT number FROM repeated) AND n.number NOT IN (SELECT number FROM outdated)
        ), inserted AS (
            INSERT INTO stored_events (
                originator_id, originator_version, topic, state, recorded_at, command_id, command_index)
            SELECT n.stream,
                n.step + coalesce(
                    (SELECT max(e.originator_version) FROM stored_events e WHERE e.originator_id = n.stream), 0),
                n.topic, n.state,
                (SELECT greatest(clock_timestamp(),
                    (SELECT e.recorded_at FROM stored_events e ORDER BY e.notification_id DESC LIMIT 1))),
                commands[n.number], n.place - array_position(event_commands, n.number)
            FROM numbered n ORDER BY n.place
            RETURNING command_id, command_index, originator_version, notification_id, recorded_at
        )
        SELECT array_position(commands, i.command_id), i.command_index, i.originator_version, i.notification_id,
            i.recorded_at, NULL::uuid FROM inserted i
        UNION ALL SELECT number, NULL, NULL, NULL, NULL, stream FROM outdated
        UNION ALL SELECT number, NULL, NULL, NULL, NULL, NULL FROM repeated;
    notified := pg_notify('{STORED}', kinds);
END
$body$
"""  # noqa: S608 - the numbers and names in it are our own

# the function of one command at a time, before there were batches
DROP_OLD_FUNCTION = "DROP FUNCTION IF EXISTS calipso_append(uuid, uuid[], text[], bytea[], uuid[], bigint[])"

# a new function may be called by everybody
CLOSE_FUNCTION = "REVOKE EXECUTE ON ROUTINE calipso_append FROM PUBLIC"

APPEND = (
    "SELECT * FROM calipso_append(%t::uuid[], %t::integer[], %t::uuid[], %t::text[], %b::bytea[],"
    " %t::integer[], %t::uuid[], %t::bigint[], %t)"
)

# the order within keeps the planner from joining the whole table when few streams hold most of its events
LOAD_NEWER = """
SELECT e.* FROM unnest(%t::uuid[], %t::bigint[]) AS wanted (stream, version)
CROSS JOIN LATERAL (
    SELECT * FROM stored_events WHERE originator_id = wanted.stream AND originator_version > wanted.version
    ORDER BY originator_version
) AS e ORDER BY e.notification_id
"""

# of a page the events of some topics, and the last one, which tells how far the page goes
PAGE_OF_TOPICS = """
WITH page AS MATERIALIZED (SELECT * FROM stored_events WHERE notification_id > %s ORDER BY notification_id LIMIT %s)
SELECT * FROM page WHERE topic = ANY(%s) OR notification_id = (SELECT max(notification_id) FROM page)
ORDER BY notification_id
"""
