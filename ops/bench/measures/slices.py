"""Interleaved measurement: what is compared runs in turn, in short slices, so that the machine's moods meet both."""

import statistics
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Slice:
    """What one slice saw: operations a second, the processor time of this process, and each operation's seconds."""

    rate: float
    cpu_seconds: float
    latencies: Sequence[float]


def one_slice(work: Callable[[int], object], *, clients: int, seconds: float) -> Slice:
    """Let `clients` threads call `work(client)` again and again for some seconds."""
    latencies: list[list[float]] = [[] for _ in range(clients)]
    start = threading.Barrier(clients + 1)
    end = [0.0]

    def client(number: int) -> None:
        start.wait()
        while (begun := time.perf_counter()) < end[0]:
            work(number)
            latencies[number].append(time.perf_counter() - begun)

    threads = [threading.Thread(target=client, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    begun, cpu = time.perf_counter(), time.process_time()
    end[0] = begun + seconds
    start.wait()
    for thread in threads:
        thread.join()
    taken = time.perf_counter() - begun
    every = [latency for of_client in latencies for latency in of_client]
    return Slice(len(every) / taken, time.process_time() - cpu, every)


def in_turn(works: Sequence[Callable[[], Slice]], *, rounds: int) -> list[list[Slice]]:
    """Run each work once to warm up, then all of them in turn for some rounds; gives the slices of each."""
    for work in works:
        work()
    slices: list[list[Slice]] = [[] for _ in works]
    for _ in range(rounds):
        for work, seen in zip(works, slices, strict=True):
            seen.append(work())
    return slices


def median_rate(slices: Sequence[Slice]) -> float:
    """The median of the rates."""
    return statistics.median(one.rate for one in slices)
