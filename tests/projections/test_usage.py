"""Usage: what counts, and that the database's sums are those of the log, to the microsecond."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, Engine
from tests.builders import ADA, container_requested, failed, record, started, stop_requested, stopped, uuid_of
from tests.projections.rows import READ_MODELS, apply, rolled_back
from tests.projections.test_batches import CONTAINER_EVENTS

from calipso.events.container import ContainerRequested
from calipso.events.envelope import Event, Recorded
from calipso.events.usage import By, Key, Usage, lives, usage
from calipso.events.values import Resources
from calipso.projections.usage import usage as summed

FIRST = datetime(2026, 3, 1, 22, tzinfo=UTC)
HOUR = timedelta(hours=1)
FAR = FIRST + timedelta(days=30)
H = 3_600_000_000
REQUEST = container_requested(uuid_of("one"), resources=Resources(millicores=2000, memory=4, disk=0))


def timed(*steps: tuple[float, Event]) -> list[Recorded]:
    """Events that happen so many hours after the first moment."""
    recorded = record(*(event for _, event in steps))
    return [replace(r, time=FIRST + hours * HOUR) for r, (hours, _) in zip(recorded, steps, strict=True)]


def both(
    connection: Connection, events: list[Recorded], by: tuple[By, ...], since: datetime = FIRST, until: datetime = FAR
) -> Mapping[Key, Usage]:
    """Usage by the log, after the database has said the same."""
    for model in READ_MODELS:
        apply(model, connection, events)
    found = usage(lives(events).values(), since, until, by)
    assert summed(connection, since, until, by) == found
    return found


def test_running_counts_from_the_start_and_holding_from_the_request(connection: Connection) -> None:
    events = timed((0, REQUEST), (0.5, started(REQUEST)), (1.5, stop_requested(REQUEST)), (2, stopped(REQUEST)))
    expected = Usage(
        containers=1, running=3 * H // 2, running_cpu=3000 * H, running_memory=6 * H,
        held=2 * H, held_cpu=4000 * H, held_memory=8 * H,
    )  # fmt: skip
    assert both(connection, events, ()) == {(): expected}
    assert both(connection, events, (By.USER,)) == {(ADA,): expected}


def test_days_are_told_apart_at_midnight_in_utc(connection: Connection) -> None:
    events = timed((0, REQUEST), (1, started(REQUEST)), (28, stopped(REQUEST)))
    found = both(connection, events, (By.DAY,))
    assert {day: (each.containers, each.running, each.held) for (day,), each in found.items()} == {
        "2026-03-01": (1, H, 2 * H),
        "2026-03-02": (1, 24 * H, 24 * H),
        "2026-03-03": (1, 2 * H, 2 * H),
    }


def test_a_period_cuts_what_goes_beyond_it(connection: Connection) -> None:
    events = timed((0, REQUEST), (1, started(REQUEST)), (28, stopped(REQUEST)))
    (found,) = both(connection, events, (), since=FIRST + 2 * HOUR, until=FIRST + 5 * HOUR).values()
    assert (found.running, found.held) == (3 * H, 3 * H)
    assert both(connection, events, (), since=FIRST + 28 * HOUR) == {}
    assert both(connection, events, (), since=FIRST - HOUR, until=FIRST) == {}


def test_what_never_ran_held_and_what_has_not_ended_lasts(connection: Connection) -> None:
    (found,) = both(connection, timed((0, REQUEST), (1, failed(REQUEST))), ()).values()
    assert (found.running, found.held) == (0, H)


def test_what_has_not_ended_lasts_until_the_end_of_the_period(connection: Connection) -> None:
    (found,) = both(connection, timed((0, REQUEST), (1, started(REQUEST))), (), until=FIRST + 3 * HOUR).values()
    assert (found.running, found.held) == (2 * H, 3 * H)


@pytest.mark.parametrize("by", [(), (By.USER, By.EXPERIMENT), (By.IMAGE, By.RUNTIME, By.DAY), tuple(By)])
@settings(max_examples=25, deadline=None)
@given(
    candidates=st.lists(st.sampled_from(CONTAINER_EVENTS), max_size=25),
    pauses=st.lists(st.integers(0, 10**11), min_size=25, max_size=25),
    window=st.tuples(st.integers(-(10**11), 10**12), st.integers(0, 10**12)),
)
def test_the_sums_of_the_database_are_those_of_the_log(
    read_models: Engine, by: tuple[By, ...], candidates: list[Event], pauses: list[int], window: tuple[int, int]
) -> None:
    requested = [event for event in candidates if isinstance(event, ContainerRequested)]
    ordered = list({event.stream: event for event in requested}.values())
    lived = [*ordered, *(event for event in candidates if not isinstance(event, ContainerRequested))]
    moments = [sum(pauses[: number + 1]) / 3.6e9 for number in range(len(lived))]
    events = timed(*zip(moments, lived, strict=True))
    since = FIRST + timedelta(microseconds=window[0])
    with rolled_back(read_models) as connection:
        both(connection, events, by, since=since, until=since + timedelta(microseconds=window[1]))
