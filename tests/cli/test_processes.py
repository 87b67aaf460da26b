"""How the long-lived processes end."""

import asyncio

import pytest

from calipso.cli.processes import run
from calipso.errors import CalipsoError, Unavailable


async def fail(error: Exception) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(asyncio.Event().wait())
        group.create_task(raise_in_a_group(error))


async def raise_in_a_group(error: Exception) -> None:
    raise ExceptionGroup("tasks", [error])


def test_what_is_foreseen_ends_a_process_in_one_sentence() -> None:
    with pytest.raises(Unavailable, match="the event store is not available: gone"):
        run(fail(Unavailable("the event store", "gone")))


def test_what_is_not_foreseen_is_told_whole() -> None:
    with pytest.raises(ExceptionGroup) as caught:
        run(fail(ValueError("a defect")))
    assert caught.value.split(CalipsoError)[0] is None
