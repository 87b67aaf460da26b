"""Gathers what waits to be stored: what several threads put at one time goes into one transaction.

One thread at a time leads: it takes what waits, stores it, and hands over to the first of those that came meanwhile.
So a thread that is alone waits for nobody, and under load a commit to disk serves many. Threads that were just answered
often ask again at once: a patient leader lets them run first, so that one transaction serves all of them.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Generic, Protocol, TypeVar
from uuid import UUID

from calipso.errors import CalipsoError, Unavailable

_MOST = 64  # in one transaction
_LOOKED_THROUGH = 256  # of those that wait, for one transaction
_MOMENT_SECONDS = 0.005  # as long as a busy thread keeps the interpreter from one that wants it


class Job(Protocol):
    """What is to be stored, with the streams that it touches."""

    @property
    def writes(self) -> frozenset[UUID]:
        """The streams that get events."""

    @property
    def reads(self) -> frozenset[UUID]:
        """The streams whose versions are checked."""


J = TypeVar("J", bound=Job)
R = TypeVar("R")


@dataclass(eq=False)
class _Waiting(Generic[J, R]):
    job: J
    wake: Callable[["_Waiting[J, R]"], object]  # is told who it is for: one that knew would be garbage with it
    is_thread: bool
    leads: bool = False
    answer: R | Exception | None = None

    def result(self) -> R:
        if isinstance(self.answer, Exception):
            raise self.answer
        assert self.answer is not None  # noqa: S101 - the leader answers everybody before it wakes them
        return self.answer


class Touched:
    """The streams of those that came before."""

    def __init__(self) -> None:
        self._written: set[UUID] = set()
        self._all: set[UUID] = set()

    def admits(self, job: Job) -> bool:
        """Whether a job may go with those before; in any case it holds back those behind it that touch its streams."""
        is_free = job.writes.isdisjoint(self._all) and job.reads.isdisjoint(self._written)
        self._written |= job.writes
        self._all |= job.writes | job.reads
        return is_free


class Gatherer(Generic[J, R]):
    """Stores jobs of many threads, as many at a time as wait.

    Args:
        store: stores jobs, all in one transaction, and gives the answer to each; a `CalipsoError` of one of them is its
            answer, and hinders no other. None says that it must be tried again, with those that come next.
        is_patient: whether a leader lets threads that were just answered come first. That pays where most of the work
            is the interpreter's; where it is the server's, half of the threads come while it works for the others.
    """

    def __init__(
        self, store: Callable[[Sequence[J]], Sequence[R | CalipsoError | None]], *, is_patient: bool = False
    ) -> None:
        self._store = store
        self._is_patient = is_patient
        self._lock = threading.Lock()
        self._waiting: deque[_Waiting[J, R]] = deque()
        self._is_led = False
        self._expected = 0
        self._leader = ThreadPoolExecutor(1, "gatherer")

    def put(self, job: J) -> R:
        """Store a job, and return when it is stored.

        Raises:
            CalipsoError: what stands against this job, or against storing at all.
        """
        asleep = threading.Lock()  # who wakes it releases it: that takes a fraction of what an event does
        asleep.acquire()
        own: _Waiting[J, R] = _Waiting(job, lambda _: asleep.release(), is_thread=True)
        if not self._join(own):
            asleep.acquire()
        if own.leads:
            self._lead(own)
        return own.result()

    def submit(self, job: J) -> Future[R]:
        """Store a job; no thread waits for it, and a thread of the gatherer's own leads when its turn has come."""
        future: Future[R] = Future()
        future.set_running_or_notify_cancel()  # nobody can call it back
        own: _Waiting[J, R] = _Waiting(job, partial(self._go_on, future), is_thread=False)
        if self._join(own):
            own.wake(own)
        return future

    def _go_on(self, future: Future[R], own: _Waiting[J, R]) -> None:
        if own.answer is None:
            self._lead_for(own)
        elif isinstance(own.answer, Exception):
            future.set_exception(own.answer)
        else:
            future.set_result(own.answer)

    def _join(self, own: _Waiting[J, R]) -> bool:
        """Wait behind the others; whether there are none, so that it leads."""
        with self._lock:
            self._waiting.append(own)
            own.leads, self._is_led = not self._is_led, True
            return own.leads

    def _lead_for(self, own: _Waiting[J, R]) -> None:
        try:
            self._leader.submit(self._lead, own)
        except RuntimeError:  # the program ends, but others may wait
            self._lead(own)

    def _lead(self, own: _Waiting[J, R]) -> None:
        """Store until the leader's own job is answered, which is in every batch: it waits the longest."""
        while own.answer is None:
            if self._is_patient:
                self._let_come()
            with self._lock:
                batch = self._take()
            answers: Sequence[R | Exception | None] = [Unavailable("the event store", "interrupted") for _ in batch]
            try:
                answers = self._stored([waiting.job for waiting in batch])
            finally:  # also when the thread is ended: nobody may wait for it
                self._answer(own, list(zip(batch, answers, strict=True)))

    def _answer(self, own: _Waiting[J, R], answered: Sequence[tuple[_Waiting[J, R], R | Exception | None]]) -> None:
        with self._lock:
            self._waiting.extendleft(reversed([waiting for waiting, answer in answered if answer is None]))
        for waiting, answer in answered:
            waiting.answer = answer
        if own.answer is not None:
            back = sum(waiting.is_thread for waiting, answer in answered if answer is not None)
            self._expected = len(self._waiting) + back
            self._hand_over()
        for waiting, answer in answered:
            if answer is not None:
                waiting.wake(waiting)

    def _let_come(self) -> None:
        """Give the interpreter to others for a moment, at most as often as threads are expected that are not back."""
        end = time.monotonic() + _MOMENT_SECONDS
        for _ in range(self._expected - len(self._waiting)):
            if time.monotonic() > end:
                return
            time.sleep(0)

    def _take(self) -> list[_Waiting[J, R]]:
        """The first of those that wait that do not touch one stream, in their order; the others stay, in theirs."""
        taken: list[_Waiting[J, R]] = []
        left: list[_Waiting[J, R]] = []
        touched = Touched()
        while self._waiting and len(taken) < _MOST and len(taken) + len(left) < _LOOKED_THROUGH:
            waiting = self._waiting.popleft()
            (taken if touched.admits(waiting.job) else left).append(waiting)
        self._waiting.extendleft(reversed(left))
        return taken

    def _stored(self, jobs: Sequence[J]) -> Sequence[R | Exception | None]:
        try:
            return self._store(jobs)
        except Unavailable as error:
            return [error for _ in jobs]
        except Exception as error:  # noqa: BLE001 - it is told to the one whose job it is
            if len(jobs) == 1:
                return [error]
        # something is wrong with one of them, which alone shall hear of it
        return [answer for job in jobs for answer in self._stored([job])]

    def _hand_over(self) -> None:
        with self._lock:
            first = self._waiting[0] if self._waiting else None
            if first is None:
                self._is_led = False
            else:
                first.leads = True
        if first is not None:
            first.wake(first)
