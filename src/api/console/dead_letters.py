"""Messages that provisioners gave up: why, and what becomes of them."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import msgspec
import structlog
from sanic import Blueprint, HTTPResponse, Request

from calipso.api.console.shell import Wrong, for_administrators, render, see, told
from calipso.api.context import actor_of, context_of
from calipso.bus.dead_letters import DeadLetter, DeadLetters
from calipso.errors import Invalid, NotFound, Unavailable

blueprint = Blueprint("console_dead_letters")

_log = structlog.get_logger()

T = TypeVar("T")

_PAGE = 50
_PATIENCE_SECONDS = 5.0
_TEXT_BYTES = 20_000
_DIGITS = 18
_PLACE = "/console/dead-letters/"
_DONE = {
    "retried": "is tried again. If it is given up once more, it comes back under another number.",
    "dropped": "is dropped. What the record says of its container stays, and is still seen to.",
    "gone": "was not there any more: somebody else has dealt with it.",
}


@blueprint.get(_PLACE)
@for_administrators
async def dead_letters(request: Request) -> HTTPResponse:
    """The messages that were given up, the oldest first."""
    after = _number_of(request.args.get("after") or "0", "after")

    async def read(dead: DeadLetters) -> tuple[int, Sequence[DeadLetter]]:
        return await dead.number(), await dead.read(after=after, limit=_PAGE)

    try:
        number, found = await _ask(request, read)
    except Unavailable as error:
        return _page(request, after, wrong=Wrong(field="", reason=told(error), status=503))
    return _page(request, after, number, found)


def _page(
    request: Request,
    after: int,
    number: int | None = None,
    found: Sequence[DeadLetter] = (),
    *,
    wrong: Wrong | None = None,
) -> HTTPResponse:
    return render(
        request,
        "dead_letters.html",
        status=wrong.status if wrong else 200,
        wrong=wrong,
        number=number,
        letters=[(letter, text_of(letter.payload)) for letter in found],
        after=after,
        next=found[-1].number if len(found) == _PAGE else None,
        done=_done(request),
    )


@blueprint.post("/console/dead-letters/<number:str>/retry", ctx_changes=True)
@for_administrators
async def retry(request: Request, number: str) -> HTTPResponse:
    """Let provisioners have a message once more."""
    return await _deal(request, number, "retried", DeadLetters.retry)


@blueprint.post("/console/dead-letters/<number:str>/drop", ctx_changes=True)
@for_administrators
async def drop(request: Request, number: str) -> HTTPResponse:
    """Forget a message."""
    return await _deal(request, number, "dropped", DeadLetters.drop)


def text_of(payload: bytes) -> str:
    """A message for people: indented when it is JSON, and as much of it as can be read at once."""
    try:
        text = msgspec.json.format(payload).decode()
    except (msgspec.DecodeError, UnicodeDecodeError):
        text = payload.decode(errors="backslashreplace")
    return text if len(text) <= _TEXT_BYTES else f"{text[:_TEXT_BYTES]}… ({len(payload)} bytes in all)"


async def _deal(
    request: Request, text: str, outcome: str, act: Callable[[DeadLetters, int], Awaitable[None]]
) -> HTTPResponse:
    number = _number_of(text, "number")
    try:
        await _ask(request, lambda dead: act(dead, number))
    except NotFound:
        outcome = "gone"
    # as from the command line, it is no event: the log of the process says who did it
    _log.info("dead letter", outcome=outcome, number=number, actor=actor_of(request))
    return see(request, _PLACE, done=outcome, number=number)


async def _ask(request: Request, question: Callable[[DeadLetters], Awaitable[T]]) -> T:
    async with context_of(request).backend.bus("calipso console", patience=_PATIENCE_SECONDS) as bus:
        return await question(DeadLetters(bus))


def _done(request: Request) -> str:
    """What was done a moment ago, as the address says; empty for nothing."""
    sentence, number = _DONE.get(request.args.get("done") or ""), request.args.get("number") or ""
    return f"Dead letter {_number_of(number, 'number')} {sentence}" if sentence else ""


def _number_of(text: str, field: str) -> int:
    """The number of a dead letter.

    Raises:
        Invalid: it is none.
    """
    if not (text.isascii() and text.isdecimal()) or len(text) > _DIGITS:
        raise Invalid(field, "must be the number of a dead letter")
    return int(text)
