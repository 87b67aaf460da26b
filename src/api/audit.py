"""The history, for administrators and auditors; whoever reads that of others is recorded."""

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from operator import itemgetter
from urllib.parse import urlencode
from uuid import UUID

from sanic import Blueprint, HTTPResponse, Request
from sqlalchemy import Connection

from calipso.api import past
from calipso.api.audit_objects import EventsPage, event_object
from calipso.api.auth import signed_in
from calipso.api.context import Context, context_of, require_auditor
from calipso.api.proxies import absolute_url, inner_path
from calipso.api.reach_objects import MembersObject, ReachObject, members_object, reach_object
from calipso.api.readings import readings_of
from calipso.api.usage_objects import UsageObject, UsageRow, read_by, usage_rows
from calipso.api.wire import json, read_count, read_text
from calipso.backend import Backend
from calipso.errors import Invalid, NotVisibleYet
from calipso.events.usage import By
from calipso.moments import format_time, parse_bound
from calipso.projections import audit
from calipso.projections.audit import history
from calipso.projections.audit.history import Entry
from calipso.projections.audit.question import Question, select
from calipso.projections.audit.selection import Selection
from calipso.projections.containers import Containers
from calipso.projections.usage import usage as used_within

blueprint = Blueprint("audit")

WORDS = ("stream", "user", "experiment", "container", "kind", "type", "actor", "correlation")
_ORDERS = ("oldest", "newest")
_PAGE, _PAGE_LIMIT = 100, 1000
_NAMED = 20
_PERIOD = timedelta(days=30)


@blueprint.get("/audit/events/")
@signed_in
async def events(request: Request) -> HTTPResponse:
    """A page of the events that have something in common."""
    require_auditor(request)
    found = await find_events(request, Asked.of(request))
    body = EventsPage(
        next=_address(request, found.next) if found.next else None,
        upto=found.upto,
        results=[event_object(entry) for entry in found.entries],
    )
    return json(body)


@blueprint.get("/audit/reach/")
@signed_in
async def reach(request: Request) -> HTTPResponse:
    """Who could reach a data set at a moment, through what, and why."""
    require_auditor(request)
    dataset = read_text(request.args.get("dataset"), "dataset")
    return json(await find_reach(request, dataset, past.moment_of(request)))


@blueprint.get("/audit/members/")
@signed_in
async def members(request: Request) -> HTTPResponse:
    """The members of an experiment at a moment, with the events that made them so."""
    require_auditor(request)
    experiment = read_text(request.args.get("experiment"), "experiment")
    return json(await find_members(request, experiment, past.moment_of(request)))


@blueprint.get("/audit/usage/")
@signed_in
async def usage(request: Request) -> HTTPResponse:
    """What containers used within a period."""
    require_auditor(request)
    begin, end = period_of(request)
    rows = await find_usage(request, begin, end, read_by(request.args.get("by") or ""))
    return json(UsageObject(since=format_time(begin), until=format_time(end), rows=rows))


def period_of(request: Request) -> tuple[datetime, datetime]:
    """The period that an address means: until now, and of 30 days, where it says nothing.

    Raises:
        Invalid: a time is none, or the period ends before it begins.
    """
    since, until = bounds_of(request)
    end = until or datetime.now(UTC)
    return since or end - _PERIOD, end


async def find_usage(request: Request, begin: datetime, end: datetime, by: tuple[By, ...]) -> list[UsageRow]:
    """What containers used within a period; that somebody's is read is recorded.

    Raises:
        Unavailable: the reading cannot be recorded, or a database does not answer.
    """
    if By.USER in by:
        bounds = zip(("since", "until"), bounds_of(request), strict=True)
        told = {name: format_time(bound) if bound else "" for name, bound in bounds}
        await readings_of(request).record(request, "usage", None, {"by": ",".join(by), **told})
    ask = partial(used_within, since=begin, until=end, by=by)
    return await context_of(request).look(lambda connection: usage_rows(connection, ask(connection), by))


async def find_events(request: Request, asked: "Asked") -> "Found":
    """The events that are asked for; that they are read is recorded.

    Raises:
        Invalid, NotFound: the question names what is not lawful, or nothing.
        Unavailable: the reading cannot be recorded, or a database does not answer.
    """
    context = context_of(request)
    upto = await until_audited(context)
    wanted = await context.look(asked.selection)
    await readings_of(request).record(request, "events", wanted.user_id, _narrowing(asked.question, wanted))
    entries = await context.look(lambda connection: asked.page(connection, wanted))
    return Found(entries=entries, upto=upto, next=asked.cursor_after(entries) if len(entries) == asked.limit else "")


async def find_reach(request: Request, dataset: str, moment: datetime | None) -> ReachObject:
    """Who could reach a data set at a moment, now without one; that it is read is recorded.

    Raises:
        Invalid: the folder is none.
        Unavailable: the reading cannot be recorded, a database does not answer, or a newer program wrote what counts.
    """
    context, then = context_of(request), moment or datetime.now(UTC)
    position = await asyncio.to_thread(context.backend.store.position_at, then)
    await context.waiting.until_told((audit.AUDIT, Containers.name), position)
    found = await context.look(lambda connection: reach_object(context.backend, connection, dataset, then))
    # a folder may have a person's name; an experiment has not
    asked = {"experiments": ", ".join(sorted({way.experiment for way in found.ways if way.experiment})[:_NAMED])}
    await readings_of(request).record(request, "reach", None, asked | _at(moment))
    return found


async def find_members(request: Request, experiment: str, moment: datetime | None) -> MembersObject:
    """The members of an experiment at a moment, now without one; that it is read is recorded.

    Raises:
        NotFound: there never was such an experiment.
        Unavailable: the reading cannot be recorded, a database does not answer, or a newer program wrote what counts.
    """
    context, then = context_of(request), moment or datetime.now(UTC)
    await until_audited(context)
    found = await context.look(lambda connection: members_object(context.backend, connection, experiment, then))
    await readings_of(request).record(request, "members", None, {"experiment": experiment} | _at(moment))
    return found


def _at(moment: datetime | None) -> dict[str, str]:
    return {"at": format_time(moment) if moment else "now"}


async def until_audited(context: Context) -> int:
    """Wait until the audit tells of all that is stored now, and give how far it does; it may be behind all the same."""
    head = await asyncio.to_thread(context.backend.store.head)
    with contextlib.suppress(NotVisibleYet):
        await context.waiting.until_shown((audit.AUDIT,), head, "")
    return await context.look(audit.position)


def question_of(request: Request) -> Question:
    """What an address asks of the history.

    Raises:
        Invalid: a time is none.
    """
    words = {word: request.args.get(word) or "" for word in WORDS}
    since, until = bounds_of(request)
    return Question(**words, since=since, until=until)


def bounds_of(request: Request) -> tuple[datetime | None, datetime | None]:
    """The period that an address asks for.

    Raises:
        Invalid: a time is none, or the period ends before it begins.
    """
    since, until = (parse_bound(request.args.get(name) or "", name) for name in ("since", "until"))
    if since and until and until < since:
        raise Invalid("until", "must not be before since")
    return since, until


@dataclass(frozen=True, kw_only=True)
class Found:
    """A page of events: `upto` is the position up to which was looked, `next` the cursor of the next page, or empty."""

    entries: Sequence[Entry]
    upto: int
    next: str


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What a request asks for; `after` is the position that a cursor stands for, None at the beginning."""

    backend: Backend
    question: Question
    is_newest_first: bool
    limit: int
    after: int | None

    @classmethod
    def of(cls, request: Request, *, order: str = _ORDERS[0]) -> "Asked":
        """What the address of a request asks for.

        Args:
            request: whose address.
            order: `oldest` or `newest`, where the address does not say.

        Raises:
            Invalid: a part of it is not of its form.
        """
        backend = context_of(request).backend
        order = request.args.get("order") or order
        if order not in _ORDERS:
            raise Invalid("order", f"must be one of {', '.join(_ORDERS)}")
        limit = read_count(request.args.get("limit") or str(_PAGE), "limit")
        if not 1 <= limit <= _PAGE_LIMIT:
            raise Invalid("limit", f"must be from 1 to {_PAGE_LIMIT}")
        cursor = request.args.get("after") or ""
        return cls(
            backend=backend,
            question=question_of(request),
            is_newest_first=order == "newest",
            limit=limit,
            after=parse_cursor(cursor, backend.installation.id) if cursor else None,
        )

    def selection(self, connection: Connection) -> Selection:
        """The selection that is meant; see `question.select`."""
        store = self.backend.store
        wanted = select(self.question, connection, store, self.backend.installation.naming)
        if self.after is None:
            return wanted
        if self.after > store.head():
            raise Invalid("after", "the history ends before this cursor; was another backup restored?")
        if self.is_newest_first:
            return wanted.up_to(self.after - 1)
        return wanted.from_after(self.after)

    def page(self, connection: Connection, wanted: Selection) -> Sequence[Entry]:
        """The events of the page."""
        return history.page(connection, self.backend.store, wanted, limit=self.limit, newest_first=self.is_newest_first)

    def cursor_after(self, found: Sequence[Entry]) -> str:
        """The cursor that stands for the last of some events."""
        return format_cursor(found[-1].recorded.position, self.backend.installation.id)


def format_cursor(position: int, installation: UUID) -> str:
    """The text that stands for a position in the history of an installation, and in no other."""
    return f"{position}.{installation.hex[:8]}"


def parse_cursor(text: str, installation: UUID) -> int:
    """The position of a cursor.

    Raises:
        Invalid: it is none, or one of another installation.
    """
    position, _, mark = text.partition(".")
    if not (position.isascii() and position.isdecimal()) or len(position) > 18 or not mark:  # noqa: PLR2004 - 64 bits
        raise Invalid("after", "is not a cursor; take it from `next` of the page before")
    if mark != installation.hex[:8]:
        raise Invalid("after", "is a cursor of another installation's history; begin without one")
    return int(position)


def _narrowing(question: Question, wanted: Selection) -> dict[str, str]:
    """What narrows a question, as it may be recorded: persons by their uuids."""
    found = {word: getattr(question, word) for word in WORDS if word not in {"user", "actor"}}
    moments = {name: format_time(value) for name in ("since", "until") if (value := getattr(question, name))}
    told = found | moments | {"actor": wanted.actor or ""}
    return {name: value for name, value in told.items() if value}


def _address(request: Request, cursor: str) -> str:
    others = [(name, value) for name, value in request.get_query_args(keep_blank_values=True) if name != "after"]
    query = urlencode(sorted([*others, ("after", cursor)], key=itemgetter(0)))
    return absolute_url(request, f"{inner_path(request)}?{query}")
