"""A process is killed before and after every write, runtime call and acknowledgement of a run, a stop and a removal."""

import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from itertools import chain, zip_longest
from pathlib import Path
from queue import Empty, Queue

import pytest
from tests.faults.crashes import RESTORED_SECONDS, VERBS, Crash, Lives
from tests.faults.forked import Forked
from tests.faults.invariants import Invariants
from tests.faults.nursery import Nursery

pytestmark = [pytest.mark.docker, pytest.mark.slow]


@contextmanager
def lives() -> Iterator[Lives]:
    """A fresh installation on which containers live and processes die."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cc-", dir="/tmp")))
        folder.chmod(0o755)
        made = stack.enter_context(Forked(folder, stack.enter_context(Nursery())).running())
        yield Lives(made, stack.enter_context(Invariants(made, made.told)))


def die_at_all(points: "Queue[tuple[str, str]]", made: Lives) -> Sequence[Crash]:
    """Die at one point after the other, until there are none left."""
    crashes = []
    while True:
        try:
            crashes.append(made.die(*points.get_nowait()))
        except Empty:
            return crashes


def die_on_another(points: "Queue[tuple[str, str]]") -> Sequence[Crash]:
    """The same on an installation of one's own."""
    with lives() as made:
        made.undisturbed()  # what is made once, such as the target's network, is made now
        return die_at_all(points, made)


def in_turn(reached: Sequence[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """The points of one verb after those of another, so that most verbs find the container that they need."""
    by_verb = ([point for point in reached if point[0] == verb] for verb in VERBS)
    return filter(None, chain.from_iterable(zip_longest(*by_verb)))


def test_everything_holds_again_soon_after_a_death_at_any_point() -> None:
    points: Queue[tuple[str, str]] = Queue()
    with lives() as made, ThreadPoolExecutor(1) as pool:
        made.undisturbed()
        reached = made.undisturbed()
        for point in in_turn(reached):
            points.put(point)
        others = pool.submit(die_on_another, points)
        crashes = [*die_at_all(points, made), *others.result()]
    for crash in crashes:
        print(f"{crash.seconds:.1f} s after a death in {crash.verb}: {crash.point}")  # noqa: T201 - shown when it fails
    assert len(crashes) == len(reached)
    assert {crash.point: crash.left for crash in crashes if crash.left} == {}
    soon = max(RESTORED_SECONDS, 10 * made.longest)  # on a slow machine all takes its time
    assert {crash.point: crash.seconds for crash in crashes if crash.seconds > soon} == {}
