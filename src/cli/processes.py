"""What the processes of an installation share; `serve` runs all of them on one machine."""

import asyncio
import gc
import signal
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from calipso import prepared
from calipso.backend import Backend
from calipso.cli.common import running
from calipso.errors import CalipsoError
from calipso.supervisor import watch_parent

# how far these give way to the API where processors are scarce, as `nice` has it: to a third and a tenth of its share
NICENESS_OF_SHOWING, NICENESS_OF_MAKING = 5, 10

_THREADS = 64
# the library's 700 is less than one page of events or a few held requests: each of its collections found them all alive
_YOUNG = 20_000
# what lives that long is alive, as what is held leaves no garbage: after 10, as is the library's way, a process that
# holds thousands of requests stood still for a tenth of a second each few seconds, and nothing was found
_YOUNG_BEFORE_MIDDLE = 100


@contextmanager
def serving(data: Path | None, *, niceness: int = 0) -> Iterator[Backend]:
    """The system for a process that serves it, and that ends with what started it; see `watch_parent`."""
    watch_parent(niceness=niceness)
    with running(data) as backend:
        prepared.require(backend.database)
        spare_collections()
        yield backend


def spare_collections() -> None:
    """Let garbage be collected seldom, and never among what is loaded now, which lives as long as the process."""
    gc.set_threshold(_YOUNG, _YOUNG_BEFORE_MIDDLE)
    gc.collect()
    gc.freeze()


def run(work: Coroutine[Any, Any, None]) -> None:
    """Run until SIGINT or SIGTERM, then end in order.

    Raises:
        CalipsoError: what ended it, such as the loss of a lock; a supervisor starts it again.
    """

    async def main() -> None:
        # the default is a few threads more than processors, but ours wait for targets and databases
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(_THREADS))
        task = asyncio.ensure_future(work)
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, task.cancel)
        try:
            await task
        except asyncio.CancelledError:
            return

    try:
        asyncio.run(main())
    except ExceptionGroup as group:
        foreseen, others = group.split(CalipsoError)
        if foreseen is None or others is not None:
            raise
        raise _first(foreseen) from None


def _first(error: Exception) -> Exception:
    """The error that ended a group of tasks: the others were only cancelled."""
    return _first(error.exceptions[0]) if isinstance(error, ExceptionGroup) else error
