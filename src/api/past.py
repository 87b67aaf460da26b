"""What the address of a request asks of the past: `?at=` shows what was shown then."""

import asyncio
from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import TypeVar
from uuid import UUID

from sanic import Request
from sqlalchemy import Connection

from calipso.api.context import caller_of, context_of, require_self_or_administrator
from calipso.api.readings import readings_of
from calipso.moments import format_time, parse_moment
from calipso.projections import past
from calipso.projections.past import View

T = TypeVar("T")

AT = {"at": "a time with its zone: what was shown then"}


def moment_of(request: Request) -> datetime | None:
    """The time that an address asks for, None for the present.

    Raises:
        Invalid: it is no time, has no zone, or lies in the future.
    """
    # one without a value must not be taken for the present
    text = dict(request.get_query_args(keep_blank_values=True)).get("at")
    return None if text is None else parse_moment(text, "at")


def require_reader(request: Request, username: str) -> None:
    """Refuse callers who name somebody else, unless they administrate, or look back as auditors.

    Raises:
        NotPermitted: the caller may not look at this.
    """
    if not (caller_of(request).is_auditor and moment_of(request)):
        require_self_or_administrator(request, username)


async def query(
    request: Request,
    ask: Callable[[Connection], T],
    view: Callable[[datetime], View],
    *,
    about: UUID | None = None,
    is_personal: bool = True,
) -> T:
    """Ask the read models as they are, or as they were at the time that the address names.

    Args:
        request: whose address.
        ask: the query, as `Context.query` takes it.
        view: the part of the past that it needs, by the time.
        about: whose past it is, None for everybody's.
        is_personal: whether it is recorded who looks at it, if it is the past of others.

    Raises:
        Invalid: the time is none, or lies in the future.
        NotVisibleYet: the time is so near that the read models do not tell of it yet.
        Unavailable: a database does not answer, or a newer program wrote what counts.
    """
    moment = moment_of(request)
    if moment is None:
        return await context_of(request).query(ask)
    if is_personal:
        await record_looking_back(request, moment, about)
    return await as_it_was(request, ask, view(moment), moment)


async def record_looking_back(request: Request, moment: datetime, user_id: UUID | None) -> None:
    """Record that the caller looks at the past of somebody, None for everybody, unless it is their own."""
    route = request.route.path.partition("<")[0].strip("/") if request.route else ""
    await readings_of(request).record(request, route, user_id, {"at": format_time(moment)})


async def as_it_was(request: Request, ask: Callable[[Connection], T], view: View, moment: datetime) -> T:
    """Ask the read models as they were at a moment; see `query`."""
    context = context_of(request)
    backend = context.backend
    position = await asyncio.to_thread(backend.store.position_at, moment)
    await context.waiting.until_told(view.needs, position)
    return await context.work(partial(past.look, backend.engine, backend.store, position, view, ask))
