"""The events that other services follow on NATS, over HTTP: for those who fell behind what its stream keeps."""

import asyncio
from functools import partial

from sanic import Blueprint, HTTPResponse, Request

from calipso.api import live
from calipso.api.auth import signed_in
from calipso.api.context import context_of, require_auditor
from calipso.api.operations import BATCH
from calipso.bus import POSITION
from calipso.errors import Invalid
from calipso.events.envelope import readable
from calipso.relay import to_message

blueprint = Blueprint("feed")

_EVENTS, _MOST_EVENTS = 500, 1000
_MOST = 2**63 - 1  # of a position in the store


@blueprint.get("/events/")
@signed_in
async def events(request: Request) -> HTTPResponse | None:
    """The events after a position as CloudEvents; to who accepts server-sent events, states as they change."""
    if live.is_wanted(request):
        return await live.follow(request, _last_seen(request))
    require_auditor(request)
    backend = context_of(request).backend
    after = _number(request, "after", default=0, least=0, most=_MOST)
    limit = _number(request, "limit", default=_EVENTS, least=1, most=_MOST_EVENTS)
    read = partial(backend.public_store.read, after=after, limit=limit, is_tolerant=True)
    page = readable(await asyncio.to_thread(read))
    messages = [to_message(recorded, backend.settings.facility) for recorded in page.events]
    return HTTPResponse(
        b"[%s]" % b",".join(message.payload for message in messages),
        headers={POSITION: str(page.last)},
        content_type=BATCH,
    )


def _last_seen(request: Request) -> int | None:
    text = request.headers.get("last-event-id")
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal()) or len(text) > len(str(_MOST)) or int(text) > _MOST:
        raise Invalid("Last-Event-ID", f"must be a whole number from 0 to {_MOST}")
    return int(text)


def _number(request: Request, name: str, *, default: int, least: int, most: int) -> int:
    """A number of the query.

    Raises:
        Invalid: it is none, or out of its bounds.
    """
    text = request.args.get(name) or str(default)
    if not (text.isascii() and text.isdecimal()) or len(text) > len(str(most)) or not least <= int(text) <= most:
        raise Invalid(name, f"must be a whole number from {least} to {most}")
    return int(text)
