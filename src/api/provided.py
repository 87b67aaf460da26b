"""Requests that the provider of experiments has a say in: lists of experiments, runs, and who takes part."""

import asyncio
import contextlib
from collections.abc import Sequence
from functools import partial
from uuid import UUID

from sanic import Blueprint, HTTPResponse, Request

from calipso.api.auth import signed_in
from calipso.api.context import Context, caller_of, context_of
from calipso.api.opening import provider_tokens_of
from calipso.api.outside.icat import IcatProvider
from calipso.api.outside.provider import ExperimentProvider, Member, Wanted
from calipso.api.paging import PageQuery
from calipso.api.synchronizing import Synchronizer, synchronize_all
from calipso.api.wire import json, read_name
from calipso.commands.request import SessionWanted
from calipso.errors import NotFound, NotVisibleYet
from calipso.events.envelope import Recorded
from calipso.projections import experiments
from calipso.projections.experiments import ExperimentRow
from calipso.projections.paging import Page

blueprint = Blueprint("provided")


def provider_of(request: Request) -> ExperimentProvider | None:
    """The provider of this application, None when experiments come by the command line alone."""
    provider: ExperimentProvider | None = request.app.ctx.provider
    return provider


async def provided_page(
    request: Request, provider: ExperimentProvider, user_id: UUID, name: str, query: PageQuery
) -> Page[ExperimentRow]:
    """A page of a user's experiments as the provider tells it now; what is new in it is stored before.

    Raises:
        Unavailable: the provider does not tell.
        NotPermitted: it tells nothing to this user.
        NotVisibleYet: stored, but not shown in time.
    """
    context = context_of(request)
    size = context.backend.settings.page_size_experiments
    wanted = Wanted(page=query.page, size=size, ordering=query.ordering, search=query.search)
    found = await provider.page(await _member(request, user_id, name), wanted)
    is_complete = query.page == 1 and not query.search and found.count <= len(found.experiments)
    synchronizer = Synchronizer(context.backend, user_id, request.ctx.correlation_id)
    await _until_shown(request, await synchronize_all(synchronizer, found.experiments, is_complete=is_complete))
    naming = context.backend.installation.naming
    ids = [naming.experiment(each.proposal_id) for each in found.experiments]
    return Page(count=found.count, rows=await _rows(context, user_id, ids))


async def _rows(context: Context, user_id: UUID, ids: Sequence[UUID]) -> Sequence[ExperimentRow]:
    wanted = partial(experiments.of_proposals, user_id=user_id, experiment_ids=ids)
    rows = await context.query(wanted)
    if len(rows) == len(ids):
        return rows
    # another request of the user may have stored them a moment ago
    head = await asyncio.to_thread(context.backend.store.head)
    with contextlib.suppress(NotVisibleYet):
        await context.waiting.until_shown(("experiments",), head, "")
    return await context.query(wanted)


async def confirm_membership(request: Request, user_id: UUID, name: str, wanted: SessionWanted) -> None:
    """Ask the provider again for the experiment of a run, and take over what it says.

    Raises:
        Unavailable: it does not say; unless the membership does not depend on it.
    """
    provider = provider_of(request)
    if provider is None:
        return
    synchronizer = Synchronizer(context_of(request).backend, user_id, request.ctx.correlation_id)
    if await asyncio.to_thread(synchronizer.is_member_otherwise, wanted.proposal_id):
        return
    found = await provider.find(await _member(request, user_id, name), wanted.proposal_id)
    if found is None:
        await asyncio.to_thread(synchronizer.withdraw, wanted.proposal_id)
    else:
        await asyncio.to_thread(synchronizer.take_over, [found])


@blueprint.get("/experiments/<investigation:str>/users", unquote=True)
@signed_in
async def users(request: Request, investigation: str) -> HTTPResponse:
    """Who takes part in an investigation; for those who take part themselves, and for administrators."""
    provider, caller = provider_of(request), caller_of(request)
    if not isinstance(provider, IcatProvider):
        raise NotFound("setting", "CALIPSO_ENABLE_ICAT_DATA_RETRIEVAL")
    name = read_name("investigation", investigation)
    member = await _member(request, caller.user_id, caller.name)
    found = await provider.users(member, name)
    if not caller.is_administrator and not provider.takes_part(member, found):
        raise NotFound("investigation", name)
    return json(found)


async def _member(request: Request, user_id: UUID, name: str) -> Member:
    """On whose behalf the provider is asked: a token is the caller's own."""
    tokens = await provider_tokens_of(request) if caller_of(request).user_id == user_id else None
    return Member(name=name, token=tokens.access_token if tokens else "")


async def _until_shown(request: Request, stored: Sequence[Recorded]) -> None:
    if stored:
        await context_of(request).waiting.until_shown(("experiments",), stored[-1].position, str(stored[-1].id))
