"""Verification: the stored events are hashed anew, and compared with the chain and with an exported checkpoint."""

import heapq
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from operator import attrgetter
from typing import Any

from calipso.database import Database
from calipso.proof.chain import CANONICAL, Chain, Link, hash_of

_PAGE = 2000
_LEAST = -(2**63)  # no event is stored at a position below 1, unless by hand
_LINKS = "SELECT position, hash FROM event_chain WHERE position > %s AND position <= %s ORDER BY position LIMIT %s"
_EVENTS = (
    f"SELECT notification_id AS position, topic, originator_id AS stream, {CANONICAL} AS content"  # noqa: S608 - our own words
    " FROM stored_events WHERE notification_id > %s AND notification_id <= %s ORDER BY notification_id LIMIT %s"
)
_AT = "SELECT position, hash FROM event_chain WHERE position = ANY(%s)"


class Kind(StrEnum):
    """What is wrong at a position."""

    CHANGED = "the event there is not the one that was chained: it was changed, or put in the place of another"
    REMOVED = "an event was chained there, and is gone"
    INSERTED = "the event there is not in the chain: it was inserted, or its link was removed"
    REWRITTEN = "events and chain were changed together: they differ from the checkpoint"
    CUT = "the chain ends before that, and was there once: events, or their links, were removed at the end"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Something that is not as it was: at `position`, or somewhere from `position` to `upto`.

    `what` tells the type and the stream of the event that is there, if there is one.
    """

    position: int
    upto: int
    kind: Kind
    what: str = ""

    def __str__(self) -> str:
        where = (
            f"position {self.position}" if self.position == self.upto else f"positions {self.position} to {self.upto}"
        )
        return f"{where}: {self.kind.value}{f' ({self.what})' if self.what else ''}"


Told = Callable[[int], None]
"""Hears of the progress: the position up to which all was looked at."""


def findings(
    database: Database, *, after: int, upto: int, marks: Sequence[Link], reached: int = 0, told: Told = lambda _: None
) -> Iterator[Finding]:
    """What was changed, removed, inserted or reordered, the first position first.

    Args:
        database: the store's database.
        after: the position behind which to begin.
        upto: the position with which to end, at most that of the last link.
        marks: the links of a checkpoint, in order; none to compare the events with the chain of this database alone.
        reached: a position that the chain is known to have reached once.
        told: hears of the progress.

    Raises:
        Unavailable: the database does not answer.
    """
    chain = Chain(database)
    if after <= 0:
        after = _LEAST
    previous, last = chain.last(after).hash, chain.last().position
    known = max([reached, *(mark.position for mark in marks)])
    cut = [Finding(position=last + 1, upto=known, kind=Kind.CUT)] if known > last else []
    inner = [mark for mark in marks if after <= mark.position <= last]
    return heapq.merge(
        _differing_marks(database, after, inner, upto),
        _differing_events(database, previous, after, upto, told),
        cut,
        key=attrgetter("position"),
    )


def _differing_marks(database: Database, after: int, marks: Sequence[Link], upto: int) -> Iterator[Finding]:
    """Where the chain leaves the checkpoint; what follows differs as a consequence and is not told."""
    with database.connect() as connection:
        rows = connection.execute(_AT, ([mark.position for mark in marks],)).fetchall()
    stored = {row["position"]: bytes(row["hash"]) for row in rows}
    agreed = max(after, 0)
    for mark in marks:
        if stored.get(mark.position) != mark.hash:
            yield Finding(position=min(agreed + 1, mark.position), upto=mark.position, kind=Kind.REWRITTEN)
            return
        if mark.position >= upto:
            return
        agreed = mark.position


def _differing_events(database: Database, previous: bytes, after: int, upto: int, told: Told) -> Iterator[Finding]:
    while after < upto:
        links, events, end = _page(database, after, upto)
        for position in sorted(links.keys() | events.keys()):
            link, event = links.get(position), events.get(position)
            if event is None or link is None:
                yield _finding(position, Kind.REMOVED if event is None else Kind.INSERTED, event)
            elif hash_of(previous, event["content"]) != link:
                yield _finding(position, Kind.CHANGED, event)
            previous = link or previous
        after = end
        told(after)


def _finding(position: int, kind: Kind, event: Mapping[str, Any] | None) -> Finding:
    what = f"{event['topic']}, stream {event['stream']}" if event else ""
    return Finding(position=position, upto=position, kind=kind, what=what)


Events = Mapping[int, Mapping[str, Any]]


def _page(database: Database, after: int, upto: int) -> tuple[Mapping[int, bytes], Events, int]:
    """The links and the events behind a position, both up to the position that is given last."""
    bounds = (after, upto, _PAGE)
    with database.connect() as connection:
        cursor = connection.cursor(binary=True)
        links = cursor.execute(_LINKS, bounds).fetchall()
        events = cursor.execute(_EVENTS.encode(), bounds).fetchall()
    end = min([rows[-1]["position"] for rows in (links, events) if len(rows) == _PAGE], default=upto)
    return (
        {row["position"]: bytes(row["hash"]) for row in links if row["position"] <= end},
        {row["position"]: row for row in events if row["position"] <= end},
        end,
    )
