"""What containers used since the beginning, for Prometheus: by runtime and image, never by person."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from prometheus_client.core import CounterMetricFamily, Metric
from sqlalchemy import Connection

from calipso.events.usage import By, Key, Usage
from calipso.projections.usage import usage

_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
_BY = (By.RUNTIME, By.IMAGE)
_LABELS = ("time", "runtime", "image")
_MOST = 100
_OTHERS = "(others)"
_MICROSECONDS = 1_000_000
_CPU = 1000


def used_until_now(connection: Connection) -> Mapping[Key, Usage]:
    """What was used since the beginning, by runtime and image; the images that were used least are one."""
    found = usage(connection, _BEGINNING, datetime.now(UTC), _BY)
    most = sorted(found, key=lambda key: found[key].held, reverse=True)
    kept = {key: found[key] for key in most[:_MOST]}
    for key in most[_MOST:]:
        others = (key[0], _OTHERS)
        kept[others] = kept.get(others, Usage()) + found[key]
    return kept


def usage_families(found: Mapping[Key, Usage]) -> Iterable[Metric]:
    """The families of metrics of what was used."""
    seconds = CounterMetricFamily("calipso_usage_seconds", "Seconds of containers.", labels=_LABELS)
    cpu = CounterMetricFamily("calipso_usage_cpu_seconds", "Seconds times processors.", labels=_LABELS)
    memory = CounterMetricFamily("calipso_usage_memory_byte_seconds", "Seconds times bytes of memory.", labels=_LABELS)
    for (runtime, image), used in found.items():
        for time in ("running", "held"):
            labels = [time, str(runtime), str(image)]
            seconds.add_metric(labels, getattr(used, time) / _MICROSECONDS)
            cpu.add_metric(labels, getattr(used, f"{time}_cpu") / _MICROSECONDS / _CPU)
            memory.add_metric(labels, getattr(used, f"{time}_memory") / _MICROSECONDS)
    return seconds, cpu, memory
