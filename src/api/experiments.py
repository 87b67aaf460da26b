"""The experiments of a user, and the marks on them."""

from functools import partial

import msgspec
from sanic import Blueprint, HTTPResponse, Request

from calipso.api import past
from calipso.api.auth import signed_in
from calipso.api.context import caller_of, context_of
from calipso.api.objects import ExperimentObject, SessionObject
from calipso.api.paging import PageQuery, page_object
from calipso.api.provided import provided_page, provider_of
from calipso.api.ready import repeatable
from calipso.api.users import user_named
from calipso.api.wire import json, read_body, read_id, read_switch
from calipso.commands.user import MarkFavorite
from calipso.errors import NotFound, NotPermitted
from calipso.moments import format_time
from calipso.projections import experiments
from calipso.projections.experiments import ExperimentRow, SessionRow
from calipso.projections.past import experiments_of

blueprint = Blueprint("experiments")

_FAVORITE = "calipsouserexperiment__favorite"
_UNSET = "."


class FavoriteBody(msgspec.Struct):
    """Whether an experiment is marked."""

    favorite: bool | int | str


@blueprint.get("/users/<username:str>/experiments/", unquote=True)
@signed_in
async def page(request: Request, username: str) -> HTTPResponse:
    """A page of the experiments of which a user is a member."""
    past.require_reader(request, username)
    context, query, user = context_of(request), PageQuery.of(request), await user_named(request, username)
    size = context.backend.settings.page_size_experiments
    favorite, provider = _favorite_filter(request), provider_of(request)
    if provider is not None and favorite is None and past.moment_of(request) is None:
        found = await provided_page(request, provider, user.user_id, user.name, query)
        return json(page_object(request, query, found, size, experiment_object))
    wanted = partial(
        experiments.page,
        user_id=user.user_id,
        page=query.page,
        page_size=size,
        ordering=query.ordering,
        search=query.search,
        favorite=favorite,
    )
    shown = await past.query(request, wanted, lambda _: experiments_of(user.user_id), about=user.user_id)
    return repeatable(request, json(page_object(request, query, shown, size, experiment_object)))


@blueprint.put("/favorite/<number:str>/")
@blueprint.patch("/favorite/<number:str>/", name="mark_by_patch")
@signed_in
async def mark(request: Request, number: str) -> HTTPResponse:
    """Mark an experiment, or take the mark away."""
    context, link_id = context_of(request), read_id("favorite", number)
    link = await context.query(partial(experiments.link, link_id=link_id))
    if link is None:
        raise NotFound("favorite", number)
    if link.user_id != caller_of(request).user_id:
        raise NotPermitted
    favorite = read_switch(read_body(request, FavoriteBody).favorite, "favorite")
    command = MarkFavorite(user_id=link.user_id, experiment_id=link.experiment_id, favorite=favorite)
    await context.dispatch(command, request, shown_by=("experiments",))
    return json({"id": link_id, "favorite": favorite})


def experiment_object(row: ExperimentRow) -> ExperimentObject:
    """The JSON object of an experiment as one of its members sees it."""
    return ExperimentObject(
        proposal_id=row.proposal_id,
        subject=row.title,
        body=row.description,
        beam_line=row.beam_line,
        sessions=[session_object(session) for session in row.sessions],
        uid=_UNSET if row.uid is None else str(row.uid),
        gid=_UNSET if row.gid is None else str(row.gid),
        id=row.link_id,
        favorite=row.favorite,
    )


def session_object(row: SessionRow) -> SessionObject:
    """The JSON object of a session."""
    return SessionObject(
        session_number=row.session_number,
        start_date=format_time(row.start) if row.start else None,
        end_date=format_time(row.end) if row.end else None,
        subject=row.subject,
        body=row.body,
        data_set_path=row.data_set_path,
    )


def _favorite_filter(request: Request) -> bool | None:
    """The filter by the user's own mark, None for no filter."""
    value = request.args.get(_FAVORITE) or ""
    return read_switch(value, _FAVORITE) if value else None
