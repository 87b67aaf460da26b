"""A user's quota over time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from sanic import Blueprint, HTTPResponse, Request
from sqlalchemy import Connection

from calipso.api.audit import bounds_of, until_audited
from calipso.api.console.course import AMOUNTS, HEIGHT, WIDTH, Step, course, draw
from calipso.api.console.shell import Wrong, for_auditors, render
from calipso.api.context import context_of
from calipso.api.readings import readings_of
from calipso.backend import Backend
from calipso.errors import Invalid, NotFound
from calipso.events.envelope import Recorded
from calipso.events.naming import quota_stream
from calipso.moments import format_time
from calipso.projections import users
from calipso.projections.audit import entries
from calipso.projections.audit.history import Entry, told
from calipso.projections.audit.question import user_of
from calipso.projections.audit.reading import readable

blueprint = Blueprint("console_quota")

_PERIOD = timedelta(days=30)
_ROWS = 500


@dataclass(frozen=True, kw_only=True)
class Course:
    """What a quota was within a period, with the entries of its newest steps by their positions."""

    begin: datetime
    end: datetime
    steps: Sequence[Step]
    entries: Mapping[int, Entry]


@blueprint.get("/console/quota/")
@for_auditors
async def over_time(request: Request) -> HTTPResponse:
    """The limits of a user and what was held of them, over a period: by default the last 30 days."""
    if not (text := (request.args.get("user") or "").strip()):
        return _answer(request, "")
    context = context_of(request)
    try:
        since, until = bounds_of(request)
        await until_audited(context)
        user_id, name = await context.look(lambda connection: _user(connection, text))
    except (Invalid, NotFound) as error:
        return _answer(request, text, wrong=Wrong.of(error))
    bounds = {"since": since, "until": until}
    asked = {word: format_time(bound) for word, bound in bounds.items() if bound}
    await readings_of(request).record(request, "quota", user_id, asked)
    found = await context.look(lambda connection: _course(connection, context.backend, user_id, since, until))
    return _answer(request, name, found)


def _answer(request: Request, user: str, found: Course | None = None, *, wrong: Wrong | None = None) -> HTTPResponse:
    return render(
        request,
        "quota.html",
        status=wrong.status if wrong else 200,
        wrong=wrong,
        user=user,
        since=request.args.get("since") or "",
        until=request.args.get("until") or "",
        found=found,
        charts=[draw(found.steps, amount, found.end) for amount in AMOUNTS] if found else [],
        amounts=AMOUNTS,
        rows=found.steps[-_ROWS:][::-1] if found else [],
        size={"width": WIDTH, "height": HEIGHT},
    )


def _user(connection: Connection, text: str) -> tuple[UUID, str]:
    """The account of a name or a uuid, and what to call it."""
    user_id = user_of(connection, text)
    row = users.by_id(connection, user_id)
    return user_id, row.name if row and not row.erased else str(user_id)


def _course(
    connection: Connection, backend: Backend, user_id: UUID, since: datetime | None, until: datetime | None
) -> Course:
    store, end = backend.store, until or datetime.now(UTC)
    position = store.position_at(end)
    events = list(readable(connection, store, position, entries.c.stream == quota_stream(user_id)))
    begin = since or _beginning(events, end)
    steps = course(events, backend.settings.limits(), begin, end)
    shown = told(connection, [step.recorded for step in steps[-_ROWS:] if step.recorded])
    return Course(begin=begin, end=end, steps=steps, entries={each.recorded.position: each for each in shown})


def _beginning(events: Sequence[Recorded], end: datetime) -> datetime:
    """Where a period begins of which only the end is known: not long before the first event."""
    first = next((recorded.time for recorded in events), end - _PERIOD)
    return max(first - (end - first) / 50, end - _PERIOD)
