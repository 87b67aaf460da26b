"""Requests decided again: with the real policy nothing changes, with another one what its rules say."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.builders import (
    ADA,
    NAMING,
    container_requested,
    quota_assigned,
    quota_released,
    record,
    session_ref,
    uuid_of,
)

from calipso.events.container import ContainerRequested
from calipso.events.envelope import Event, Recorded
from calipso.events.holding import Peak
from calipso.events.refusals import ContainerRequestRefused, RefusalReason
from calipso.events.values import Limits, Resources
from calipso.events.what_if import NOT_OFFERED, Outcome, Policy, refused_users, usual_times, what_if

BEGIN = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
ONE = Resources(millicores=1000, memory=10, disk=1)
MOST = Limits(containers=3, resources=Resources(millicores=4000, memory=40, disk=10))
BOB = uuid_of("bob")


def asked(word: str, user_id: UUID = ADA, resources: Resources = ONE, **changes: object) -> ContainerRequested:
    return container_requested(uuid_of(word), user_id, resources=resources, **changes)


def ended(word: str, user_id: UUID = ADA) -> Event:
    return quota_released(uuid_of(word), user_id)


def refused(reason: RefusalReason = RefusalReason.MACHINES, image_name: str = "desktop") -> ContainerRequestRefused:
    return ContainerRequestRefused(
        user_id=ADA, image_name=image_name, label=uuid4().hex, info="", reason=reason, requested=ONE,
        used_containers=3, used=ONE, limits=MOST,
    )  # fmt: skip


def timed(*events: Event, begin: datetime = BEGIN) -> list[Recorded]:
    """Events of which each happens an hour after the one before."""
    return [replace(each, time=begin + number * HOUR) for number, each in enumerate(record(*events))]


def replayed(
    events: Sequence[Recorded], policy: Policy, since: datetime = BEGIN, until: datetime = BEGIN + 48 * HOUR
) -> Outcome:
    return what_if(events, policy, defaults=MOST, usual=usual_times(events), since=since, until=until)


def would_be(outcome: Outcome) -> list[str]:
    return [each.would_be for each in outcome.requests]


def test_a_smaller_quota_refuses_what_goes_beyond_it() -> None:
    events = timed(asked("a"), asked("b"), asked("c"), ended("a"), asked("d"))
    outcome = replayed(events, Policy(millicores=2000))
    assert would_be(outcome) == ["", "", "cpus", ""]
    assert refused_users(outcome) == {ADA: {"cpus": 1}}
    assert (outcome.peaks_were["2026-03-01"].containers, outcome.peaks_would_be["2026-03-01"].containers) == (3, 2)


@pytest.mark.parametrize(
    ("policy", "reason"),
    [
        (Policy(containers=1), "machines"),
        (Policy(millicores=1500), "cpus"),
        (Policy(memory=15), "memory"),
        (Policy(disk=1), "hdd"),
        (Policy(sizes={"desktop": replace(ONE, memory=30)}), "memory"),
        (Policy(), ""),
    ],
)
def test_each_rule(policy: Policy, reason: str) -> None:
    assert would_be(replayed(timed(asked("a"), asked("b")), policy)) == ["", reason]


def test_a_withdrawn_image_is_not_offered() -> None:
    events = timed(asked("a"), asked("b", image_name="wiki"))
    assert would_be(replayed(events, Policy(withdrawn=frozenset({"wiki"})))) == ["", NOT_OFFERED]


def test_what_would_have_been_refused_holds_nothing() -> None:
    large = replace(ONE, millicores=3000)
    events = timed(asked("a", resources=large), asked("b"), ended("a"), asked("c"))
    outcome = replayed(events, Policy(millicores=2000))
    assert would_be(outcome) == ["cpus", "", ""]
    held = Resources(millicores=2000, memory=20, disk=2)
    assert outcome.peaks_would_be["2026-03-01"] == Peak(containers=2, resources=held)


def test_users_do_not_share_and_limits_of_their_own_are_replaced_too() -> None:
    events = timed(quota_assigned(ADA, 9), asked("a"), asked("b"), asked("c", BOB))
    assert would_be(replayed(events, Policy(containers=1))) == ["", "machines", ""]
    assert would_be(replayed(events, Policy(memory=10**12))) == ["", "", ""]


def test_what_was_refused_may_be_granted_and_holds_as_long_as_is_usual() -> None:
    life = [asked("a"), ended("a")]  # an hour
    outcome = replayed(timed(*life, refused(), asked("b"), asked("c")), Policy(containers=1))
    # the refused one holds until b is asked for
    assert [each.was for each in outcome.requests] == ["", "machines", "", ""]
    assert would_be(outcome) == ["", "", "", "machines"]
    unknown = replayed(timed(refused(image_name="wiki"), asked("b")), Policy(containers=1))
    assert would_be(unknown) == ["", ""]


def test_who_was_no_member_would_be_none() -> None:
    assert would_be(replayed(timed(refused(RefusalReason.NOT_A_MEMBER)), Policy(containers=9))) == ["not_a_member"]


def test_a_session_has_one_container_of_a_user() -> None:
    first, second = (asked(w, session=session_ref("P1", "S1"), label="S1", info="P1") for w in ("a", "b"))
    events = timed(first, ended("a"), second)
    assert would_be(replayed(events, Policy(containers=2))) == ["", ""]
    again = ContainerRequestRefused(
        **{**vars(refused()), "label": "S1", "info": "P1", "experiment_id": NAMING.experiment("P1")}
    )
    assert would_be(replayed(timed(first, again), Policy(containers=9))) == ["", "already_launched"]


def test_what_was_held_before_the_period_counts_and_is_not_decided() -> None:
    events = timed(asked("a"), asked("b"), asked("c"))
    outcome = replayed(events, Policy(containers=1), since=BEGIN + 2 * HOUR)
    assert would_be(outcome) == ["machines"]
    assert outcome.peaks_were["2026-03-01"].containers == 3


def test_days_without_requests_have_peaks_too() -> None:
    outcome = replayed(timed(asked("a")), Policy(), until=BEGIN + 72 * HOUR)
    assert {day: peak.containers for day, peak in outcome.peaks_were.items()} == {
        f"2026-03-0{day}": 1 for day in (1, 2, 3, 4)
    }
    assert outcome.peaks_would_be == outcome.peaks_were


@settings(max_examples=100, deadline=None)
@given(
    steps=st.lists(st.tuples(st.sampled_from([ADA, BOB]), st.integers(0, 3), st.booleans()), max_size=30),
    most=st.integers(0, 4),
)
def test_no_user_would_ever_hold_more_than_the_quota(steps: list[tuple[UUID, int, bool]], most: int) -> None:
    events: list[Event] = []
    held: dict[str, UUID] = {}
    for number, (user_id, which, ends) in enumerate(steps):
        if ends and held:
            word = sorted(held)[which % len(held)]
            events.append(ended(word, held.pop(word)))
        else:
            held[f"{number}"] = user_id
            events.append(asked(f"{number}", user_id))
    outcome = replayed(timed(*events), Policy(containers=most, millicores=10**6, memory=10**6, disk=10**6))
    granted = {each.position for each in outcome.requests if not each.would_be}
    now: dict[UUID, int] = {ADA: 0, BOB: 0}
    running = set[UUID]()
    owners = {event.container_id: event.user_id for event in events if isinstance(event, ContainerRequested)}
    for recorded in timed(*events):
        event = recorded.event
        if isinstance(event, ContainerRequested) and recorded.position in granted:
            now[event.user_id] += 1
            running.add(event.container_id)
            assert now[event.user_id] <= most
        elif (gone := getattr(event, "container_id", None)) in running and not isinstance(event, ContainerRequested):
            running.discard(gone)
            now[owners[gone]] -= 1
    generous = Policy(containers=99, millicores=10**6, memory=10**6, disk=10**6)
    assert not any(would_be(replayed(timed(*events), generous)))
