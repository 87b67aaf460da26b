"""The timeline of events, and one event with what caused it and what it caused."""

from collections.abc import Sequence

from sanic import Blueprint, HTTPResponse, Request
from sqlalchemy import Connection

from calipso.api import audit
from calipso.api.audit import Asked, Found, find_events, until_audited
from calipso.api.audit_objects import event_object
from calipso.api.console.chain import chain
from calipso.api.console.shell import Wrong, for_auditors, render
from calipso.api.context import context_of
from calipso.api.readings import readings_of
from calipso.api.wire import read_id
from calipso.errors import Invalid, NotFound
from calipso.events.envelope import EVENT_TYPES, History
from calipso.projections.audit import about
from calipso.projections.audit.history import Entry, page
from calipso.projections.audit.selection import Selection, neighbours

blueprint = Blueprint("console_events")

KINDS = sorted({topic.split(".")[1] for topic in EVENT_TYPES})
TYPES = sorted({topic.split(".")[2] for topic in EVENT_TYPES})
_FILTERS = (*audit.WORDS, "since", "until")
_KEPT = (*_FILTERS, "order", "limit")
_BESIDE = 100  # events of the same request before and after one


@blueprint.get("/console/events/")
@for_auditors
async def timeline(request: Request) -> HTTPResponse:
    """A page of the events that have something in common, the newest first."""
    try:
        found = await find_events(request, Asked.of(request, order="newest"))
    except (Invalid, NotFound) as error:
        return _timeline(request, Found(entries=(), upto=0, next=""), Wrong.of(error))
    return _timeline(request, found, None)


@blueprint.get("/console/events/<number:str>")
@for_auditors
async def one(request: Request, number: str) -> HTTPResponse:
    """One event, with all that came of the same request."""
    context, position = context_of(request), read_id("event", number)
    await until_audited(context)
    beside = await context.look(lambda connection: _beside(connection, context.backend.store, position))
    entry = next((each for each in beside if each.recorded.position == position), None)
    if entry is None:
        raise NotFound("event", number)
    before, after = await context.look(lambda connection: neighbours(connection, position))
    whom = about(entry.recorded.event)["user_id"]
    await readings_of(request).record(request, "event", whom, {"position": str(position)})
    return render(
        request,
        "event.html",
        entry=entry,
        told=event_object(entry),
        chain=chain(beside),
        is_cut=len(beside) > _BESIDE,
        before=before,
        after=after,
    )


def _beside(connection: Connection, history: History, position: int) -> Sequence[Entry]:
    """The event at a position amid those of the same request, none when there is no event."""
    found = history.at([position])
    if not found:
        return ()
    same = Selection(correlation_id=found[0].correlation_id)
    before = page(connection, history, same.up_to(position), limit=_BESIDE, newest_first=True)
    return [*before[::-1], *page(connection, history, same.from_after(position), limit=_BESIDE)]


def _timeline(request: Request, found: Found, wrong: Wrong | None) -> HTTPResponse:
    asked = {name: request.args.get(name) or "" for name in _KEPT}
    return render(
        request,
        "timeline.html",
        status=wrong.status if wrong else 200,
        wrong=wrong,
        asked=asked,
        found=found,
        is_filtered=any(asked[name] for name in _FILTERS),
        is_continued=bool(request.args.get("after")),
        kinds=KINDS,
        types=TYPES,
    )
