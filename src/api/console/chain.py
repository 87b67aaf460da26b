"""Cause and effect: the events of one request, each below the one that caused it."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from calipso.projections.audit.history import Entry


@dataclass(frozen=True, kw_only=True)
class Link:
    """An event, and what it caused, in order."""

    entry: Entry
    effects: Sequence["Link"]


def chain(entries: Sequence[Entry]) -> Sequence[Link]:
    """The events of a request that nothing among them caused, with what came of each."""
    known = {entry.recorded.id for entry in entries}
    caused = defaultdict[UUID | None, list[Entry]](list)
    for entry in entries:
        cause = entry.recorded.causation_id
        caused[cause if cause in known else None].append(entry)

    def links(cause: UUID | None) -> Sequence[Link]:
        return [Link(entry=entry, effects=links(entry.recorded.id)) for entry in caused[cause]]

    return links(None)
