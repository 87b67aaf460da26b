"""The timeline of events, and one event with what caused it and what it caused."""

from sanic import Blueprint, HTTPResponse, Request

from calipso.api import audit
from calipso.api.audit import Asked, Found, find_events
from calipso.api.console.shell import Wrong, for_auditors, render
from calipso.errors import Invalid, NotFound
from calipso.events.envelope import EVENT_TYPES

blueprint = Blueprint("console_events")

KINDS = sorted({topic.split(".")[1] for topic in EVENT_TYPES})
TYPES = sorted({topic.split(".")[2] for topic in EVENT_TYPES})
_FILTERS = (*audit.WORDS, "since", "until")
_KEPT = (*_FILTERS, "order", "limit")


@blueprint.get("/console/events/")
@for_auditors
async def timeline(request: Request) -> HTTPResponse:
    """A page of the events that have something in common, the newest first."""
    try:
        found = await find_events(request, Asked.of(request, order="newest"))
    except (Invalid, NotFound) as error:
        return _timeline(request, Found(entries=(), upto=0, next=""), Wrong.of(error))
    return _timeline(request, found, None)


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
