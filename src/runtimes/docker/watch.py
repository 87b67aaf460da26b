"""Hears from a Docker Engine which containers ended, through every interruption."""

import json
from collections.abc import Iterator
from datetime import datetime
from threading import Event
from typing import Any
from uuid import UUID

from tenacity import Retrying, retry_if_exception_type, sleep_using_event, stop_when_event_set, wait_random_exponential

from calipso.errors import Unavailable
from calipso.runtimes.docker.engine import Engine
from calipso.runtimes.docker.order import Labels

_ENDINGS = ["die", "destroy", "oom"]
# the listener must notice within two seconds that it is to end; so short a stream also survives a silent network
_PATIENCE = 1.5
_LONGEST_BACK_OFF = 10


def ends(engine: Engine, labels: Labels, ended: Event) -> Iterator[UUID]:
    """The containers whose process ended or that were removed, until `ended` is set.

    Args:
        engine: who tells.
        labels: of the containers that are listened for.
        ended: set when nobody listens any more.
    """
    since = ""
    while not ended.is_set():
        for attempt in Retrying(
            retry=retry_if_exception_type(Unavailable),
            wait=wait_random_exponential(multiplier=0.2, max=_LONGEST_BACK_OFF),
            stop=stop_when_event_set(ended),
            sleep=sleep_using_event(ended),
            retry_error_callback=lambda _: None,
        ):
            with attempt:
                since = since or _time_of(engine)
                for event in _events(engine, labels, since):
                    since = _nanoseconds(event["timeNano"] + 1)
                    if container_id := labels.owned(event["Actor"]["Attributes"]):
                        yield container_id
                    if ended.is_set():
                        return


def _time_of(engine: Engine) -> str:
    """Now, by the engine's clock, which may differ from ours."""
    with engine.client() as client:
        now = datetime.fromisoformat(client.info()["SystemTime"])
    return _nanoseconds(int(now.timestamp() * 10**6) * 1000)


def _events(engine: Engine, labels: Labels, since: str) -> Iterator[Any]:
    filters = {"type": ["container"], "event": _ENDINGS, "label": labels.filters()}
    return engine.stream("/events", {"since": since, "filters": json.dumps(filters)}, _PATIENCE)


def _nanoseconds(count: int) -> str:
    """A time as the engine's streams take it."""
    return f"{count // 10**9}.{count % 10**9:09d}"
