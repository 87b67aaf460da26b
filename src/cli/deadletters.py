"""Messages that provisioners gave up."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated, TypeVar

import typer

from calipso.backend import Backend
from calipso.bus.dead_letters import DeadLetter, DeadLetters
from calipso.cli.common import Data, running
from calipso.cli.tables import AsJson, show

app = typer.Typer(help="Look at messages that were given up, and say what becomes of them.", no_args_is_help=True)

T = TypeVar("T")

Numbers = Annotated[list[int], typer.Argument(help="Their numbers, as the list shows them.", min=1)]
_COLUMNS = ("number", "time", "tries", "queue", "subject", "position", "container", "reason")
_PATIENCE_SECONDS = 5.0


@app.command("list", epilog="Examples: `calipso deadletters list`, `calipso deadletters list --after 120 --json`")
def list_(
    after: Annotated[int, typer.Option(min=0, help="Only those with a higher number.")] = 0,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="At most so many.")] = 100,
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Tell of each message that was given up, the oldest first."""
    with running(data) as backend:
        found = _ask(backend, lambda dead: dead.read(after=after, limit=limit))
    show(_COLUMNS, [_row(letter) for letter in found], as_json=as_json)


@app.command(epilog="Example: `calipso deadletters retry 17 18`")
def retry(numbers: Numbers, data: Data = None) -> None:
    """Let provisioners have messages once more; what is given up again comes back under another number."""
    _each(data, numbers, lambda dead, number: dead.retry(number), "is tried again")


@app.command(epilog="Example: `calipso deadletters drop 17`")
def drop(numbers: Numbers, data: Data = None) -> None:
    """Forget messages; what the record says of their containers stays, and is still seen to."""
    _each(data, numbers, lambda dead, number: dead.drop(number), "is dropped")


def _each(data: Data, numbers: list[int], act: Callable[[DeadLetters, int], Awaitable[None]], outcome: str) -> None:
    async def all_of_them(dead: DeadLetters) -> None:
        for number in numbers:
            await act(dead, number)
            print(f"dead letter {number} {outcome}")

    with running(data) as backend:
        _ask(backend, all_of_them)


def _ask(backend: Backend, question: Callable[[DeadLetters], Awaitable[T]]) -> T:
    async def ask() -> T:
        async with backend.bus("calipso command line", patience=_PATIENCE_SECONDS) as bus:
            return await question(DeadLetters(bus))

    return asyncio.run(ask())


def _row(letter: DeadLetter) -> dict[str, object]:
    return {
        "number": letter.number,
        "time": f"{letter.time:%Y-%m-%dT%H:%M:%SZ}",
        "tries": letter.tries,
        "queue": letter.queue,
        "subject": letter.subject,
        "position": letter.position,
        "container": letter.container_id,
        "reason": letter.reason,
    }
