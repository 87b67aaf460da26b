"""What containers used, summed in the database from their read model; see `events.usage` for what counts."""

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import Connection, text

from calipso.events.usage import By, Key, Usage
from calipso.projections.audit import beside
from calipso.projections.containers import containers

_AMOUNTS = ("containers", "running", "running_cpu", "running_memory", "held", "held_cpu", "held_memory")
_KEYS: Mapping[By, str] = {
    By.USER: "user_id",
    By.EXPERIMENT: "experiment_id",
    By.IMAGE: "image_name",
    By.RUNTIME: "runtime",
    By.DAY: "day",
}
# a row for each day that a container touches, in UTC whatever zone the server is set to
_DAYS = """generate_series(
    date_trunc('day', greatest(c.created, :since) AT TIME ZONE 'UTC'),
    least(coalesce(c.ended, :until), :until) AT TIME ZONE 'UTC', interval '1 day')"""
_NO_DAYS = "(SELECT NULL::timestamp)"  # greatest and least pass over it
_SUMS = """
SELECT {keys} count(*), sum(running), sum(running * millicores), sum(running * memory),
    sum(held), sum(held * millicores), sum(held * memory)
FROM (
    SELECT c.user_id, b.experiment_id, c.image_name, c.runtime, c.millicores, c.memory,
        to_char(d.day, 'YYYY-MM-DD') AS day,
        extract(epoch FROM p.last - p.first) * 1000000 AS held,
        CASE WHEN c.started IS NULL THEN 0
            ELSE greatest(0, extract(epoch FROM p.last - greatest(p.first, c.started)) * 1000000) END AS running
    FROM {containers} c
    LEFT JOIN {beside} b USING (container_id)
    CROSS JOIN LATERAL {days} AS d (day)
    CROSS JOIN LATERAL (SELECT
        greatest(c.created, :since, d.day AT TIME ZONE 'UTC') AS first,
        least(c.ended, :until, (d.day + interval '1 day') AT TIME ZONE 'UTC') AS last) AS p
    WHERE c.created < :until AND coalesce(c.ended, :until) > :since AND p.first < p.last
) AS used
"""


def usage(connection: Connection, since: datetime, until: datetime, by: tuple[By, ...]) -> Mapping[Key, Usage]:
    """What containers used within a period; the same as `events.usage.usage` of the whole log.

    Args:
        connection: of the read models' database.
        since: the beginning (UTC).
        until: the end (UTC).
        by: what is told apart; the keys have its order.
    """
    names, size = ", ".join(_KEYS[each] for each in by), len(by)
    query = _SUMS.format(
        keys=f"{names}," if by else "",
        days=_DAYS if By.DAY in by else _NO_DAYS,
        containers=containers.fullname,
        beside=beside.fullname,
    )
    grouped = f"{query} GROUP BY {names}" if by else f"{query} HAVING count(*) > 0"
    rows = connection.execute(text(grouped), {"since": since, "until": until})
    return {tuple(row[:size]): Usage(**dict(zip(_AMOUNTS, map(int, row[size:]), strict=True))) for row in rows}
