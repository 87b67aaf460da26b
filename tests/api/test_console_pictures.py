"""Pictures of the console as pure functions: what is told lies where it happened."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calipso.api.console import course, life
from calipso.api.console.chain import chain
from calipso.api.console.words import cpus, duration, moment, size
from calipso.events import container as facts
from calipso.events.container import State
from calipso.events.envelope import Event, Recorded
from calipso.events.quota import QuotaAssigned, QuotaReleased, QuotaReserved
from calipso.events.values import (
    FailureReason,
    Identity,
    ImageSpec,
    Limits,
    Placement,
    Protocol,
    Resources,
    Runtime,
)
from calipso.projections.audit.history import Entry

BEGIN = datetime(2026, 11, 20, 14, tzinfo=UTC)
ADA, ONE = UUID(int=1), UUID(int=2)
SMALL = Resources(millicores=500, memory=2**30, disk=2**31)
FIVE = Limits(containers=5, resources=Resources(millicores=10_000, memory=30 * 2**30, disk=80 * 2**30))
TWO = Limits(containers=2, resources=SMALL + SMALL)
KEY: dict[str, Any] = {"container_id": ONE, "user_id": ADA, "target": "docker-a"}
REQUESTED = facts.ContainerRequested(
    **KEY,
    image_id=UUID(int=3),
    image_name="desktop",
    image=ImageSpec(reference="d:1", runtime=Runtime.DOCKER, protocol=Protocol.VNC, resources=SMALL),
    resources=SMALL,
    label="1",
    info="P1",
    session=None,
    identity=Identity(uid=1, gid=1),
    volumes=(),
    workdir="/",
    key_number=1,
    deadline=BEGIN,
)
STARTING = facts.ContainerStarting(**KEY, claimant="a", lease=BEGIN)
STARTED = facts.ContainerStarted(**KEY, placement=Placement(runtime_id="x", name="c"), image_digest="")
STOPPING, STOPPED = facts.ContainerStopRequested(**KEY), facts.ContainerStopped(**KEY, reason="asked")
REMOVED, LOST = facts.ContainerRemoved(**KEY), facts.ContainerLost(**KEY, reason="gone")
FAILED = facts.ContainerFailed(**KEY, reason=FailureReason.CRASHED, detail="", log=())
ADOPTED = facts.ContainerAdopted(**KEY, claimant="b", lease=BEGIN, reason="")


def recorded(event: Event, seconds: float, position: int = 1, *, cause: UUID = ADA) -> Recorded:
    return Recorded(
        id=uuid4(),
        stream=event.stream,
        version=1,
        position=position,
        time=BEGIN + timedelta(seconds=seconds),
        actor="user:ada",
        correlation_id=ADA,
        causation_id=cause,
        event=event,
    )


def entries(*told: tuple[Event, float]) -> Sequence[Entry]:
    found = [recorded(event, seconds, number) for number, (event, seconds) in enumerate(told, 1)]
    return [Entry(recorded=each, actor="ada", cause=None, sentence="It was so.", erased=()) for each in found]


WHOLE = entries(
    (REQUESTED, 0), (STARTING, 1), (ADOPTED, 2), (STARTED, 5), (STOPPING, 3605), (STOPPED, 3607), (REMOVED, 3700)
)


# lives


def test_stages_follow_each_other_without_a_gap() -> None:
    found = life.stages(WHOLE)
    assert [stage.state.value for stage in found] == [
        "requested", "starting", "running", "stopping", "stopped", "removed",
    ]  # fmt: skip
    assert [stage.end for stage in found] == [*(stage.begin for stage in found[1:]), None]
    assert [stage.is_final for stage in found] == [False] * 5 + [True]
    assert [stage.length(BEGIN) for stage in found][2:] == [
        timedelta(hours=1), timedelta(seconds=2), timedelta(seconds=93), None,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("last", "state", "word"),
    [(STARTED, State.RUNNING, "1 min 30 s"), (FAILED, State.FAILED, ""), (LOST, State.LOST, "")],
)
def test_the_last_stage_lasts_until_now_or_is_an_end(last: Event, state: State, word: str) -> None:
    told = entries((REQUESTED, 0), (STARTING, 5), (last, 10))
    picture = life.draw(told, BEGIN + timedelta(seconds=100))
    assert (picture.bars[-1].stage.state, picture.bars[-1].word) == (state, word)
    assert ("still is" in picture.bars[-1].title) is bool(word)


def test_bars_lie_in_order_and_none_is_too_thin_to_see() -> None:
    picture = life.draw(WHOLE, BEGIN + timedelta(days=1))
    assert all(bar.width >= 3 for bar in picture.bars)
    assert all(bar.x >= 96 and bar.x + bar.width <= 893 for bar in picture.bars)
    assert [bar.y for bar in picture.bars] == sorted({bar.y for bar in picture.bars})
    running = picture.bars[2]
    # 3600 of 3700 seconds
    assert running.width == pytest.approx(794 * 3600 / 3700, abs=0.2)
    assert "running from 2026-11-20 14:00:05Z until 2026-11-20 15:00:05Z, 1 h" in picture.description
    assert picture.bottom < picture.height


def test_a_life_that_is_not_known_yet_is_an_empty_picture() -> None:
    picture = life.draw((), BEGIN)
    assert (picture.bars, picture.marks, picture.description) == ([], [], "")


@given(st.lists(st.floats(96, 890), min_size=1, max_size=20).map(sorted))
def test_marks_are_moved_apart_and_stay_in_order(places: list[float]) -> None:
    found = life.spread(places, 16, 890)
    assert all(after - before >= 16 - 1e-6 for before, after in pairwise(found))
    assert max(found) <= 890


def test_marks_that_have_room_stay() -> None:
    assert life.spread([100, 200, 300], 16, 890) == [100, 200, 300]
    assert life.spread([100, 100, 300], 16, 890) == [100, 116, 300]
    assert life.spread([100, 888, 890], 16, 890) == [100, 874, 890]


# quotas


def reserved(number: int, limits: Limits = FIVE) -> QuotaReserved:
    return QuotaReserved(user_id=ADA, container_id=UUID(int=number), label="", resources=SMALL, limits=limits)


def released(number: int) -> QuotaReleased:
    return QuotaReleased(user_id=ADA, container_id=UUID(int=number))


EVENTS = [
    recorded(reserved(1), 10),
    recorded(reserved(2), 20),
    recorded(released(1), 30),
    recorded(QuotaAssigned(user_id=ADA, limits=TWO), 40),
    recorded(released(2), 50),
]
DEFAULT = Limits(containers=1, resources=Resources())


def steps(begin: float, end: float) -> Sequence[course.Step]:
    return course.course(EVENTS, DEFAULT, BEGIN + timedelta(seconds=begin), BEGIN + timedelta(seconds=end))


def test_a_quota_goes_in_steps() -> None:
    found = steps(0, 100)
    assert [(step.count, step.limits.containers) for step in found] == [(0, 1), (1, 5), (2, 5), (1, 5), (1, 2), (0, 2)]
    assert found[2].used == SMALL + SMALL
    assert [step.recorded for step in found] == [None, *EVENTS]


def test_a_period_begins_with_what_was_before_it() -> None:
    found = steps(25, 35)
    assert [(step.count, step.recorded) for step in found] == [(2, None), (1, EVENTS[2])]
    assert found[0].time == BEGIN + timedelta(seconds=25)


def test_a_chart_is_level_between_its_steps() -> None:
    found = course.draw(steps(0, 100), course.AMOUNTS[0], BEGIN + timedelta(seconds=100))
    bottom, top = 156, 156 - 126 / 1.08
    fifth = (bottom - top) / 5
    assert found.used == (
        f"M 64 156 H 120 V {bottom - fifth:.1f} H 176 V {bottom - 2 * fifth:.1f} H 232 V {bottom - fifth:.1f} "
        f"H 288 V {bottom - fifth:.1f} H 344 V 156 H 624"
    )
    assert found.area == f"{found.used} V 156 H 64 Z"
    assert found.limit.startswith(f"M 64 {bottom - fifth:.1f} H 120 V {top:.1f} ")
    assert found.description == "At most 2 of 5, from 2026-11-20 14:00:20Z on; 0 of 2 at the end."
    assert [hover.title for hover in found.hovers][2] == "2026-11-20 14:00:20Z to 2026-11-20 14:00:30Z: 2 of 5"
    assert sum(hover.width for hover in found.hovers) == pytest.approx(560)


def test_a_quota_of_nothing_is_a_chart_as_well() -> None:
    none = course.course((), Limits(containers=0, resources=Resources()), BEGIN, BEGIN)
    for amount in course.AMOUNTS:
        assert course.draw(none, amount, BEGIN).used == "M 64 156 H 624"


# cause and effect


def test_each_event_stands_below_its_cause() -> None:
    first = recorded(reserved(1), 0, 1)
    second = recorded(REQUESTED, 0, 2)
    third = recorded(STARTING, 1, 3, cause=second.id)
    fourth = recorded(STARTED, 2, 4, cause=third.id)
    orphan = recorded(STOPPED, 3, 5, cause=UUID(int=99))
    told = [
        Entry(recorded=each, actor="ada", cause=None, sentence="", erased=())
        for each in (first, second, third, fourth, orphan)
    ]
    roots = chain(told)
    assert [link.entry.recorded.position for link in roots] == [1, 2, 5]
    (third_link,) = roots[1].effects
    assert third_link.entry.recorded is third
    assert [link.entry.recorded.position for link in third_link.effects] == [4]


# words


@pytest.mark.parametrize(
    ("length", "word"),
    [
        ({"milliseconds": 100}, "0.10 s"),
        ({"seconds": 59}, "59 s"),
        ({"minutes": 1}, "1 min"),
        ({"hours": 19, "minutes": 16, "seconds": 52}, "19 h 16 min"),
        ({"days": 2, "minutes": 3}, "2 d"),
        ({"days": 400, "hours": 5}, "400 d 5 h"),
    ],
)
def test_durations(length: dict[str, float], word: str) -> None:
    assert duration(timedelta(**length)) == word


def test_sizes_and_times() -> None:
    assert [size(number) for number in (0, 2**28, 2**30, 3 * 2**29)] == ["0 GiB", "256 MiB", "1 GiB", "1.5 GiB"]
    assert [cpus(number) for number in (0, 500, 2000)] == ["0 CPU", "0.5 CPU", "2 CPU"]
    east = datetime.fromisoformat("2026-11-20T15:00:00.5+01:00")
    assert moment(east) == "2026-11-20 14:00:00Z"
    assert moment(None) == ""
