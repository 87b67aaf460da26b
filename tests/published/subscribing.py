"""Runs the subscriber of the guide, as it is shipped, and publishes events for it."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.conftest import PATIENCE, wait_until

from calipso.bus import connected
from calipso.events.envelope import Recorded
from calipso.relay import to_message

PROGRAM = Path(__file__).parents[2] / "ops" / "demo" / "subscriber"
FACILITY = "calipso"
Event = dict[str, Any]


def publish(url: str, events: Sequence[Recorded]) -> None:
    """What the relay does."""

    async def work() -> None:
        async with connected(url, FACILITY, name="test") as bus:
            await bus.ensure_streams()
            await bus.publish([to_message(r, FACILITY) for r in events], after=(await bus.tail()).sequence)

    asyncio.run(work())


def payloads(events: Sequence[Recorded]) -> list[Event]:
    return [json.loads(to_message(recorded, FACILITY).payload) for recorded in events]


@contextmanager
def subscriber(folder: Path, url: str, *arguments: str, **environment: str) -> Iterator[Callable[[int], list[Event]]]:
    """Let it run; gives what waits until it has printed so many events, and gives them."""
    out = folder / f"out-{len(list(folder.glob('out-*')))}"
    command = [sys.executable, str(PROGRAM), "--server", url, "--kept", str(folder / "kept"), *arguments]
    with out.open("wb") as file:
        process = subprocess.Popen(command, stdout=file, env={**os.environ, **environment})

    def printed(number: int) -> list[Event]:
        wait_until(lambda: out.read_bytes().count(b"\n") >= number, f"{number} events to be printed")
        return [json.loads(line) for line in out.read_text().splitlines()]

    try:
        yield printed
        assert process.poll() is None
    finally:
        process.terminate()
        process.wait(timeout=PATIENCE)
