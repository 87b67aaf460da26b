"""Trouble with NATS, in Calipso's words."""

import asyncio
import contextlib
from typing import Any

import nats.errors
import nats.js.errors

from calipso.errors import Unavailable


@contextlib.contextmanager
def unavailable() -> Any:  # noqa: ANN401 - a context manager without a value
    """Tell of trouble with NATS as `Unavailable`, and of a cancellation that its client lost.

    It waits in `asyncio.wait_for`, which before Python 3.12 drops a cancellation that comes together with the answer
    (github.com/python/cpython/issues/81839). Whoever works for ever would then never end.
    """
    try:
        yield
    except nats.js.errors.BadRequestError:
        raise
    except (nats.errors.Error, OSError, TimeoutError) as error:
        raise Unavailable("NATS", repr(error)) from error
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
