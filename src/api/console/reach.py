"""Who could reach a data set, or the data of an experiment, at a moment, and why."""

from collections.abc import Sequence
from datetime import UTC, datetime

from sanic import Blueprint, HTTPResponse, Request

from calipso.api import past
from calipso.api.audit import find_members, find_reach
from calipso.api.console.shell import Wrong, for_auditors, render
from calipso.api.reach_objects import MembersObject, ReachObject
from calipso.api.wire import read_text
from calipso.errors import Invalid, NotFound

blueprint = Blueprint("console_reach")

_FOLDERS = 20
HOW = {
    "opened": ("opened", "bad", "it was open at that moment, as Guacamole tells"),
    "could_open": ("could open", "marked", "a container of theirs ran with it"),
    "could_start": ("could start", "plain", "as a member: a container beside it could have been asked for"),
}


@blueprint.get("/console/reach/")
@for_auditors
async def reach(request: Request) -> HTTPResponse:
    """Everybody who could reach a folder, or the folders of an experiment's sessions, at a moment."""
    try:
        members, found = await _found(request)
    except (Invalid, NotFound) as error:
        return _answer(request, None, (), wrong=Wrong.of(error))
    return _answer(request, members, found)


def _answer(
    request: Request, members: MembersObject | None, found: Sequence[ReachObject], *, wrong: Wrong | None = None
) -> HTTPResponse:
    return render(
        request,
        "reach.html",
        status=wrong.status if wrong else 200,
        wrong=wrong,
        asked={name: request.args.get(name) or "" for name in ("dataset", "experiment", "at")},
        members=members,
        found=found,
        left_out=members.folders[_FOLDERS:] if members else [],
        how=HOW,
    )


async def _found(request: Request) -> tuple[MembersObject | None, Sequence[ReachObject]]:
    dataset, experiment = (read_text(request.args.get(name), name) for name in ("dataset", "experiment"))
    # the field may be left empty; all folders are asked for one moment, so that read models are waited for once
    moment = (past.moment_of(request) if request.args.get("at") else None) or datetime.now(UTC)
    members = await find_members(request, experiment, moment) if experiment else None
    folders = [*([dataset] if dataset else []), *(members.folders[:_FOLDERS] if members else [])]
    return members, [await find_reach(request, folder, moment) for folder in folders]
