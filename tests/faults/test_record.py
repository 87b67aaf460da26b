"""What the harness accuses a log of, and what it does not."""

from collections.abc import Sequence

from tests.builders import (
    BEGIN,
    SMALL,
    History,
    container_requested,
    limits,
    quota_assigned,
    quota_released,
    quota_reserved,
    removal_requested,
    started,
    starting,
    stopped,
    uuid_of,
)
from tests.faults.record import Record

from calipso.events.container import State
from calipso.events.envelope import Event, Page, Recorded

ONE, TWO = uuid_of("one"), uuid_of("two")


class Log:
    """A store of these events that only reads."""

    def __init__(self, events: Sequence[Recorded]) -> None:
        self._events = events

    def read(self, *, after: int, limit: int, topics: frozenset[str] | None = None, is_tolerant: bool = False) -> Page:
        assert (topics, is_tolerant) == (None, False)
        found = [r for r in self._events if r.position > after][:limit]
        return Page(events=found, last=found[-1].position if found else after)


def record_of(*events: Event) -> Record:
    history = History()
    history.record(*events)
    record = Record(limits())
    record.catch_up(Log(history.events))
    return record


def test_a_lawful_life_is_not_accused() -> None:
    request = container_requested(ONE)
    record = record_of(
        *(quota_reserved(ONE), request, starting(request), started(request), stopped(request), quota_released(ONE))
    )
    assert record.wrong == []
    assert record.unended() == []
    assert record.started == 1
    assert [c.state for c in record.named(State.STOPPED).values()] == [State.STOPPED]
    assert record.position == 6


def test_a_reservation_beyond_the_limit_in_force_is_accused_at_its_position() -> None:
    record = record_of(quota_assigned(containers=5), *(quota_reserved(uuid_of(f"{n}")) for n in range(6)))
    assert [told.split(" reserves")[0] for told in record.wrong] == ["position 7: QuotaReserved"]


def test_a_lowered_limit_accuses_nothing_that_was_reserved_before() -> None:
    assert record_of(quota_reserved(ONE), quota_reserved(TWO), quota_assigned(containers=1)).wrong == []


def test_other_limits_than_those_in_force_are_accused() -> None:
    assert "were in force" in record_of(quota_assigned(containers=1), quota_reserved(ONE)).wrong[0]


def test_two_reservations_for_one_session_are_accused() -> None:
    record = record_of(quota_reserved(ONE, label="P1~1"), quota_reserved(TWO, label="P1~1"))
    assert "a second time for P1~1" in record.wrong[0]


def test_releasing_what_was_not_held_is_accused() -> None:
    assert "what was not held" in record_of(quota_released(ONE)).wrong[0]


def test_an_event_of_a_container_that_nobody_requested_is_accused() -> None:
    assert "nobody requested" in record_of(started(container_requested(ONE))).wrong[0]


def test_what_is_still_to_be_done_is_told() -> None:
    request = container_requested(ONE, deadline=BEGIN, resources=SMALL)
    assert "is requested" in record_of(request).unended()[0]
    assert (
        "to be removed"
        in record_of(request, started(request), stopped(request), removal_requested(request)).unended()[0]
    )
