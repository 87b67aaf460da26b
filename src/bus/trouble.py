"""Trouble with NATS, in Calipso's words."""

import contextlib
from typing import Any

import nats.errors
import nats.js.errors

from calipso.errors import Unavailable


@contextlib.contextmanager
def unavailable() -> Any:  # noqa: ANN401 - a context manager without a value
    """Tell of trouble with NATS as `Unavailable`."""
    try:
        yield
    except nats.js.errors.BadRequestError:
        raise
    except (nats.errors.Error, OSError, TimeoutError) as error:
        raise Unavailable("NATS", repr(error)) from error
