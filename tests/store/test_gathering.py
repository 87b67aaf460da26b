"""What several threads store at one time goes into one transaction, and each gets its own answer."""

import statistics
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from uuid import UUID, uuid4

import pytest
from tests.conftest import wait_until

from calipso.commands.gathering import Gatherer
from calipso.errors import CalipsoError, StaleVersion, Unavailable


@dataclass(frozen=True)
class Job:
    name: str
    writes: frozenset[UUID] = field(default_factory=lambda: frozenset({uuid4()}))
    reads: frozenset[UUID] = frozenset()


Store = Callable[[Sequence[Job]], Sequence[str | CalipsoError | None]]


class Held:
    """A store that waits until it is let go, and notes what came together."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.gate = threading.Event()
        self.fail: Callable[[Sequence[Job]], None] = lambda _: None

    def __call__(self, jobs: Sequence[Job]) -> Sequence[str | CalipsoError]:
        self.batches.append([job.name for job in jobs])
        self.gate.wait(10)
        self.fail(jobs)
        return [StaleVersion(job.name) if job.name.startswith("stale") else job.name for job in jobs]


@contextmanager
def waiting_behind_one(held: Held, jobs: Sequence[Job], store: Store | None = None) -> Iterator[list[Future[str]]]:
    """The jobs wait, in their order, while a first one is being stored; after the block all are stored."""
    gatherer: Gatherer[Job, str] = Gatherer(store or held)
    with ThreadPoolExecutor(len(jobs) + 1) as pool:
        first = pool.submit(gatherer.put, Job("first"))
        wait_until(lambda: len(held.batches) == 1, "the first job to be stored")
        futures = []
        for number, job in enumerate(jobs, 1):
            futures.append(pool.submit(gatherer.put, job))
            wait_until(lambda n=number: len(gatherer._waiting) == n, "a job to wait")  # type: ignore[misc]
        yield futures
        held.gate.set()
        assert first.result(10) == "first"


def test_who_is_alone_waits_for_nobody() -> None:
    held = Held()
    held.gate.set()
    gatherer: Gatherer[Job, str] = Gatherer(held)
    assert [gatherer.put(Job(name)) for name in "abc"] == ["a", "b", "c"]
    assert held.batches == [["a"], ["b"], ["c"]]


def test_those_who_wait_are_stored_together_and_answered_apart() -> None:
    held = Held()
    with waiting_behind_one(held, [Job("a"), Job("stale b"), Job("c")]) as futures:
        pass
    assert held.batches == [["first"], ["a", "stale b", "c"]]
    assert (futures[0].result(), futures[2].result()) == ("a", "c")
    with pytest.raises(StaleVersion, match="stale b"):
        futures[1].result()


def test_no_two_that_touch_one_stream_are_together_and_their_order_holds() -> None:
    held, stream, other = Held(), frozenset({uuid4()}), frozenset({uuid4()})
    jobs = [
        Job("writes", writes=stream),
        Job("reads what is written", reads=stream, writes=other),
        Job("writes again", writes=stream),
        Job("behind the reader", writes=other),
        Job("apart"),
    ]
    with waiting_behind_one(held, jobs):
        pass
    assert held.batches[1:] == [
        ["writes", "apart"],
        ["reads what is written"],
        ["writes again", "behind the reader"],
    ]


def test_readers_of_one_stream_are_together() -> None:
    held, image = Held(), frozenset({uuid4()})
    with waiting_behind_one(held, [Job("a", reads=image), Job("b", reads=image)]):
        pass
    assert held.batches[1:] == [["a", "b"]]


def test_one_that_spoils_the_transaction_fails_alone() -> None:
    held = Held()

    def fail(jobs: Sequence[Job]) -> None:
        if any(job.name == "bad" for job in jobs):
            raise ValueError("bad")

    held.fail = fail
    with waiting_behind_one(held, [Job("a"), Job("bad"), Job("c")]) as futures:
        pass
    assert (futures[0].result(), futures[2].result()) == ("a", "c")
    with pytest.raises(ValueError, match="bad"):
        futures[1].result()


def test_a_store_that_is_away_is_told_to_all_of_a_transaction_and_asked_again_by_the_next() -> None:
    held, trouble = Held(), [None, Unavailable("the event store", "away")]

    def fail(_: Sequence[Job]) -> None:
        if (error := trouble.pop(0) if trouble else None) is not None:
            raise error

    held.fail = fail
    with waiting_behind_one(held, [Job("a"), Job("b")]) as futures:
        pass
    for future in futures:
        with pytest.raises(Unavailable):
            future.result()
    gatherer: Gatherer[Job, str] = Gatherer(held)
    assert gatherer.put(Job("later")) == "later"


def test_a_leader_that_is_interrupted_leaves_nobody_waiting() -> None:
    held, interrupts = Held(), [KeyboardInterrupt()]

    def fail(_: Sequence[Job]) -> None:
        if interrupts:
            raise interrupts.pop()

    held.fail = fail
    gatherer: Gatherer[Job, str] = Gatherer(held)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(gatherer.put, Job("first"))
        wait_until(lambda: len(held.batches) == 1, "the first job to be stored")
        second = pool.submit(gatherer.put, Job("second"))
        wait_until(lambda: len(gatherer._waiting) == 1, "the second job to wait")
        held.gate.set()
        assert second.result(10) == "second"
        with pytest.raises(KeyboardInterrupt):
            first.result(10)


def test_one_that_must_be_tried_again_is_the_first_of_the_next() -> None:
    held, again = Held(), ["again b"]

    def store(jobs: Sequence[Job]) -> Sequence[str | CalipsoError | None]:
        answers = held(jobs)
        tried = [job.name for job in jobs if job.name in again]
        again[:] = [name for name in again if name not in tried]
        return [None if job.name in tried else answer for job, answer in zip(jobs, answers, strict=True)]

    with waiting_behind_one(held, [Job("a"), Job("again b"), Job("c")], store) as futures:
        pass
    assert [future.result() for future in futures] == ["a", "again b", "c"]
    assert held.batches == [["first"], ["a", "again b", "c"], ["again b"]]


def test_a_leader_goes_on_until_its_own_is_answered() -> None:
    answers: Iterator[Sequence[str | None]] = iter([[None], [None], ["done"]])
    gatherer: Gatherer[Job, str] = Gatherer(lambda _: next(answers))
    assert gatherer.put(Job("a")) == "done"


def test_who_waits_in_no_thread_leads_those_behind() -> None:
    held = Held()
    gatherer: Gatherer[Job, str] = Gatherer(held)
    first = gatherer.submit(Job("first"))
    wait_until(lambda: held.batches == [["first"]], "the first job to be stored")
    others = [gatherer.submit(Job(name)) for name in ("a", "stale b", "c")]
    held.gate.set()
    assert (first.result(60), others[0].result(60), others[2].result(60)) == ("first", "a", "c")
    with pytest.raises(StaleVersion, match="stale b"):
        others[1].result(60)
    assert held.batches == [["first"], ["a", "stale b", "c"]]
    assert gatherer.put(Job("later")) == "later"


def test_many_threads_and_many_jobs_all_are_answered() -> None:
    sizes: list[int] = []

    def store(jobs: Sequence[Job]) -> Sequence[str]:
        sizes.append(len(jobs))
        return [job.name for job in jobs]

    gatherer: Gatherer[Job, str] = Gatherer(store)
    streams = [frozenset({uuid4()}) for _ in range(5)]
    with ThreadPoolExecutor(32) as pool:
        names = [str(number) for number in range(3000)]
        submitted = [gatherer.submit(Job(n, writes=streams[int(n) % 5])) for n in names]
        answers = list(pool.map(lambda n: gatherer.put(Job(n, writes=streams[int(n) % 5])), names))
    assert answers == names == [future.result(60) for future in submitted]
    assert sum(sizes) == 6000
    assert max(sizes) <= 5


def test_a_patient_leader_serves_those_too_who_were_just_answered() -> None:
    def mean_size(*, is_patient: bool) -> float:
        sizes: list[int] = []

        def store(jobs: Sequence[Job]) -> Sequence[str]:
            sizes.append(len(jobs))
            time.sleep(0.001)  # the server works, and the interpreter is free
            return [job.name for job in jobs if sum(range(20_000))]

        gatherer: Gatherer[Job, str] = Gatherer(store, is_patient=is_patient)
        with ThreadPoolExecutor(8) as pool:
            for _ in range(8):
                pool.submit(lambda: [gatherer.put(Job("again")) for _ in range(50)])
        assert sum(sizes) == 400
        return statistics.mean(sizes)

    assert mean_size(is_patient=True) > 1.2 * mean_size(is_patient=False)
