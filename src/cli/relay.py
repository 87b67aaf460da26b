"""The process that publishes events, and how all are published anew."""

import asyncio
from typing import Annotated

import typer

from calipso.bootstrap import relaying
from calipso.cli.common import Data, confirm, running
from calipso.cli.processes import NICENESS_OF_MAKING, run, serving


def relay(data: Data = None) -> None:
    """Publish stored events to NATS; of several, one is active."""
    with serving(data, niceness=NICENESS_OF_MAKING) as backend:  # what it publishes makes the provisioners work
        run(relaying.relay(backend))


def republish(yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False, data: Data = None) -> None:
    """Empty the stream on NATS and publish every event again, when it tells of events that a restored store has not."""
    with running(data) as backend:
        confirm("Empty the stream? Services that follow it get every event once more.", yes=yes)
        asyncio.run(relaying.republish(backend))
    print("the stream is empty; a relay fills it from the first event on")
