"""The events that the requests of a period depend on, for those who decide them again."""

from collections.abc import Iterator
from datetime import datetime

from sqlalchemy import Connection, or_, select

from calipso.events.container import ContainerRequested
from calipso.events.envelope import History, Recorded
from calipso.events.quota import QuotaAssigned, QuotaReleased
from calipso.events.refusals import ContainerRequestRefused
from calipso.projections.audit import entries
from calipso.projections.audit.reading import readable
from calipso.projections.containers import containers
from calipso.projections.folding import any_of, topics_of


def requests_of(connection: Connection, history: History, since: datetime, until: datetime) -> Iterator[Recorded]:
    """What `events.what_if.what_if` asks for of a period.

    Args:
        connection: of the read models' database.
        history: where events are read.
        since: when the period begins.
        until: when it ends.

    Raises:
        Unavailable: a newer program wrote one of them.
    """
    begin, end = history.position_at(since), history.position_at(until)
    # their integer id is the position of their request
    still_held = select(containers.c.id).where(
        containers.c.id <= begin, or_(containers.c.ended.is_(None), containers.c.ended >= since)
    )
    within = topics_of(ContainerRequested, ContainerRequestRefused, QuotaReleased)
    return readable(
        connection,
        history,
        end,
        or_(
            entries.c.topic == QuotaAssigned.topic(),
            entries.c.position.in_(still_held),
            any_of(entries.c.topic, within) & (entries.c.position > begin),
        ),
    )
