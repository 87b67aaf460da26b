"""Run, stop and remove: requests that are held open until what they ask for is done."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from uuid import UUID

from sanic import Blueprint, HTTPResponse, Request

from calipso.api import containers as container_lists
from calipso.api import past
from calipso.api.auth import authentication_of, refuse_navigation, signed_in
from calipso.api.container_objects import container_object
from calipso.api.context import Context, caller_of, context_of
from calipso.api.outside.directory import Directory
from calipso.api.provided import confirm_membership
from calipso.api.ready import repeatable
from calipso.api.waiting import ENDS, Following
from calipso.api.wire import json
from calipso.commands.container import ContainerCommand, ExpireContainer, RemoveContainer, StopContainer
from calipso.commands.handling import CONTAINER, IMAGE, USER, USER_NAME
from calipso.commands.request import NumericAccount, RequestContainer, SessionWanted
from calipso.errors import Conflict, ContainerNotStarted, Invalid, NotFound, NotPermitted, Unavailable
from calipso.events import container as facts
from calipso.events.container import State
from calipso.events.envelope import Recorded
from calipso.events.naming import Naming, new_id
from calipso.events.user import User
from calipso.projections import containers
from calipso.projections.registry import GUACAMOLE

blueprint = Blueprint("resources")

_LABEL_LIMIT = 200
_EXPIRY_GRACE = timedelta(seconds=5)  # the provisioner and the reconciler end a start at its deadline; then we do
_STOP_SLACK = timedelta(seconds=60)
_REMOVED = (facts.ContainerRemoved, facts.ContainerFailed, facts.ContainerLost)
_ENDED_STATES = frozenset({State.STOPPED, State.REMOVED, State.FAILED, State.LOST})
_GONE_STATES = frozenset({State.REMOVED, State.FAILED, State.LOST})


@blueprint.get("/resource/list/<username:str>/", unquote=True)
@signed_in
async def list_active(request: Request, username: str) -> HTTPResponse:
    """The active containers of a user."""
    past.require_reader(request, username)
    return repeatable(request, container_lists.answer(request, await container_lists.active_rows(request, username)))


@blueprint.get("/resource/run/<username:str>/<experiment:str>/<public_name:str>/", unquote=True, ctx_changes=True)
@blueprint.post("/resource/run/<username:str>/<experiment:str>/<public_name:str>/", unquote=True, name="run_by_post")
@signed_in
async def run(request: Request, username: str, experiment: str, public_name: str) -> HTTPResponse:
    """Request a container and answer when it is usable, or say why it is not."""
    refuse_navigation(request)
    with context_of(request).runs.by(caller_of(request).user_id):
        return await _run(request, await _command(request, username, experiment, public_name))


async def _run(request: Request, command: RequestContainer) -> HTTPResponse:
    context = context_of(request)
    with context.waiting.following(command.container_id) as following:
        stored = await context.dispatch(command, request)
        requested = next(r.event for r in stored if isinstance(r.event, facts.ContainerRequested))
        outcome = await following.first_of(facts.ContainerStarted, *ENDS, until=requested.deadline + _EXPIRY_GRACE)
        if outcome is None:
            outcome = await _expire(request, command.container_id, following)
    await _shown(context, outcome, reserved=min(recorded.position for recorded in stored))
    match outcome.event:
        case facts.ContainerStarted():
            return await _answer(request, command.container_id, status=201)
        case facts.ContainerFailed(reason=reason, detail=detail):
            raise ContainerNotStarted(reason.value, detail)
        case _:
            raise Conflict("run", "the container was stopped before it was usable")


@blueprint.get("/resource/stop/<username:str>/<name:str>/<public_name:str>/", unquote=True, ctx_changes=True)
@blueprint.post("/resource/stop/<username:str>/<name:str>/<public_name:str>/", unquote=True, name="stop_by_post")
@signed_in
async def stop(request: Request, username: str, name: str, public_name: str) -> HTTPResponse:  # noqa: ARG001 - contract
    """Stop a container and answer when it has ended."""
    refuse_navigation(request)
    with context_of(request).ends.by(caller_of(request).user_id):
        container_id = await _find(request, username, name)
        return await _end(request, StopContainer(container_id=container_id), ENDS, _ENDED_STATES)


@blueprint.get("/resource/rm/<username:str>/<name:str>/<public_name:str>/", unquote=True, ctx_changes=True)
@blueprint.post("/resource/rm/<username:str>/<name:str>/<public_name:str>/", unquote=True, name="remove_by_post")
@signed_in
async def remove(request: Request, username: str, name: str, public_name: str) -> HTTPResponse:  # noqa: ARG001 - contract
    """Remove a container, stopping it first if need be, and answer when nothing of it is left."""
    refuse_navigation(request)
    with context_of(request).ends.by(caller_of(request).user_id):
        container_id = await _find(request, username, name)
        return await _end(request, RemoveContainer(container_id=container_id), _REMOVED, _GONE_STATES)


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What the path's `<experiment>` asks for: `session` is None for a container without a session's data."""

    label: str
    info: str
    session: SessionWanted | None


def parse_experiment(text: str, naming: Naming) -> Wanted:
    """Read `<proposal>~<session>`, or the user's own word for a container.

    Raises:
        Invalid: it is too long.
    """
    if len(text) > _LABEL_LIMIT or not text.isprintable():
        raise Invalid("experiment", f"must be at most {_LABEL_LIMIT} printable characters")
    parts = text.split("~")
    if len(parts) != 2:  # noqa: PLR2004 - proposal and session
        return Wanted(label=text, info=text, session=None)
    proposal, number = parts
    session = SessionWanted(experiment_id=naming.experiment(proposal), proposal_id=proposal, session_number=number)
    return Wanted(label=number, info=proposal, session=session)


async def _command(request: Request, username: str, experiment: str, public_name: str) -> RequestContainer:
    """The command of a run; the image is looked at before the user name, as clients expect."""
    context = context_of(request)
    naming = context.backend.installation.naming
    image_id = naming.image(public_name)
    if await context.state(IMAGE, image_id) is None:
        raise NotFound("image", public_name)
    user_id = await _owner(request, username)
    wanted = parse_experiment(experiment, naming)
    user = await context.state(USER, user_id)
    name = user.name if user else username
    if wanted.session is None:
        await _check_authorised(request, name)
    else:
        await confirm_membership(request, user_id, name, wanted.session)
    return RequestContainer(
        container_id=new_id(),
        user_id=user_id,
        image_id=image_id,
        image_name=public_name,
        label=wanted.label,
        info=wanted.info,
        session=wanted.session,
        targets=context.targets,
        account=await _numeric_account(request, user, name),
    )


async def _numeric_account(request: Request, user: User | None, name: str) -> NumericAccount | None:
    """What the directory has for a user, when nothing is known here.

    Raises:
        Unavailable: it does not say.
    """
    if user is not None and user.uid is not None and user.gid is not None:
        return None
    directory: Directory = request.app.ctx.directory
    return await directory.find(name)


async def _check_authorised(request: Request, name: str) -> None:
    """Let those have containers without a session who may.

    Raises:
        NotPermitted: the User Office says that this user may not.
        Unavailable: it does not say.
    """
    backend = context_of(request).backend
    if backend.settings.backend_default_authorization:
        return
    if not await authentication_of(request).user_office.authorises(name):
        raise NotPermitted("not authorised to have containers without a session")


async def _owner(request: Request, username: str) -> UUID:
    """The named user: the caller, or anybody for administrators.

    Raises:
        NotPermitted: the caller names somebody else.
        NotFound: an administrator names nobody.
    """
    caller = caller_of(request)
    if caller.name.casefold() == username.casefold():
        return caller.user_id
    if not caller.is_administrator:
        raise NotPermitted("username mismatch")
    context = context_of(request)
    found = await context.state(USER_NAME, context.backend.installation.naming.user_name(username))
    if found is None:
        raise NotFound("user", username)
    return found


async def _find(request: Request, username: str, name: str) -> UUID:
    """The named user's container of this name.

    Raises:
        NotFound: the user has none of this name.
    """
    owner = await _owner(request, username)
    row = await context_of(request).query(partial(containers.by_name, name=name))
    if row is None or row.user_id != owner:
        raise NotFound("container", name)
    return row.container_id


async def _expire(request: Request, container_id: UUID, following: Following) -> Recorded:
    """End a request whose deadline is over and that nobody else has ended."""
    context = context_of(request)
    stored = await context.dispatch(ExpireContainer(container_id=container_id), request)
    if stored:
        return stored[0]
    # somebody else ended it in this very moment
    outcome = await following.first_of(facts.ContainerStarted, *ENDS, until=datetime.now(UTC) + _EXPIRY_GRACE)
    if outcome is None:
        raise Unavailable("the container", "its outcome is not known yet")
    return outcome


async def _end(
    request: Request,
    command: ContainerCommand,
    ends: Sequence[type[facts.ContainerEvent]],
    states: frozenset[State],
) -> HTTPResponse:
    """Ask for an end and wait until it is reached; at once when it is reached already."""
    context = context_of(request)
    backend, container_id = context.backend, command.container_id
    until = datetime.now(UTC) + timedelta(seconds=backend.settings.stop_grace) + _STOP_SLACK
    with context.waiting.following(container_id) as following:
        stored = await context.dispatch(command, request)
        container = await asyncio.to_thread(backend.dispatcher.state, CONTAINER, container_id)
        outcome = stored[-1] if stored else None
        if container is not None and container.state not in states:
            outcome = await following.first_of(*ends, until=until)
            if outcome is None:
                raise Unavailable(f"target {container.request.target}", "it did not end the container in time")
    if outcome is not None:
        await _shown(context, outcome, reserved=outcome.position)
    return await _answer(request, container_id, status=200)


async def _shown(context: Context, outcome: Recorded, *, reserved: int) -> None:
    """Wait until lists, quota and Guacamole show an outcome; `reserved` is the position of the quota's reservation."""
    lists = ["containers", GUACAMOLE] if context.backend.settings.has_guacamole else ["containers"]
    position = quota = outcome.position
    if isinstance(outcome.event, facts.ContainerStarted):
        quota = reserved  # a start does not concern it, so that nothing wakes it before its next look
    else:
        # an end and the release of its quota are neighbours in one transaction
        position = quota = min(position + 1, await asyncio.to_thread(context.backend.store.head))
    await context.waiting.until_shown(["quotas"], quota, str(outcome.id))
    await context.waiting.until_shown(lists, position, str(outcome.id))


async def _answer(request: Request, container_id: UUID, *, status: int) -> HTTPResponse:
    context = context_of(request)
    row = await context.containers.find(container_id)
    if row is None:
        raise NotFound("container", str(container_id))
    return json(container_object(row, request), status=status)
