"""Entering a desktop through Guacamole: we sign in there, and the browser gets a token of one desktop, no password."""

import asyncio
import base64
import binascii
import hmac
import re
from functools import partial
from urllib.parse import parse_qs

import structlog
from sanic import Blueprint, HTTPResponse, Request
from sqlalchemy import Connection

from calipso import credentials
from calipso.api.auth import signed_in
from calipso.api.container_objects import THROUGH_GUACAMOLE, address_of
from calipso.api.containers import visible_row
from calipso.api.context import caller_of, context_of
from calipso.api.outside.guacamole import GuacamoleWeb
from calipso.api.pages import page
from calipso.api.problems import status_of
from calipso.api.proxies import origin_of
from calipso.api.wire import json
from calipso.errors import CalipsoError, Conflict, Invalid, NotFound, NotPermitted, TooManyAttempts, Unavailable
from calipso.events.container import State
from calipso.projections import containers
from calipso.projections.containers import ContainerRow

_log = structlog.get_logger()

blueprint = Blueprint("entering")

_TITLE = "The desktop cannot be entered"
_ACCOUNT = re.compile(r"[0-9a-f]{32}")
_TEXT_LIMIT = 1000


@blueprint.get("/enter/", ctx_changes=True)
async def enter(request: Request) -> HTTPResponse:
    """Take a browser into the desktop of the account in `t`, which is what the frontend hands to Guacamole."""
    try:
        place = await _by_account(request, *read_account(request.args.get("t") or ""))
    except CalipsoError as error:
        return _told(error)
    return HTTPResponse(status=302, headers={"Location": place, "Referrer-Policy": "no-referrer"})


@blueprint.post("/containers/<number:str>/enter")
@signed_in
async def enter_own(request: Request, number: str) -> HTTPResponse:
    """The address at which a browser finds the caller's container open."""
    row = await visible_row(request, number)
    if row.user_id != caller_of(request).user_id:
        raise NotPermitted("a container is entered by its owner only")
    if row.state is not State.RUNNING:
        raise Conflict("container", f"it is {row.state.value}; it can be entered while it is running")
    if address := address_of(row, request):
        return json({"url": address})
    if row.protocol not in THROUGH_GUACAMOLE:
        raise Conflict("container", "it is not entered through Guacamole, and has no link")
    return json({"url": await _open(request, row)})


def read_account(text: str) -> tuple[str, str]:
    """Account and password of the parameter `t`: base64 of `un=..&up=..`.

    Raises:
        Invalid: it is something else.
    """
    # a plus sign of base64 comes as a space out of a query, and the end may be cut off
    encoded = text.strip().replace(" ", "+").replace("-", "+").replace("_", "/").rstrip("=")
    try:
        content = base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True).decode("ascii")
        given = parse_qs(content, strict_parsing=True, max_num_fields=2) if len(text) <= _TEXT_LIMIT else {}
    except (binascii.Error, ValueError):
        given = {}
    account, password = given.get("un", []), given.get("up", [])
    if len(account) != 1 or len(password) != 1 or not _ACCOUNT.fullmatch(account[0]):
        raise Invalid("t", "must be base64 of un=ACCOUNT&up=PASSWORD, both from the container's own object")
    return account[0], password[0]


async def _by_account(request: Request, account: str, password: str) -> str:
    """Where the desktop of an account is open.

    Guacamole is asked with the right password only: it bans addresses that send wrong ones, and they would be ours.

    Raises:
        NotFound: no running container has this account.
        NotPermitted: the password is another one.
        TooManyAttempts: that was so too often of late.
    """
    context, client = context_of(request), origin_of(request).client
    row = await context.query(partial(_running_of, account=account))
    if row is None:
        raise NotFound("desktop", account)
    attempts, keys = context.backend.sign_in_attempts, context.backend.keys
    await asyncio.to_thread(attempts.check, account, client)
    expected = credentials.guacamole_password(keys, row.key_number, row.container_id)
    if not hmac.compare_digest(password.encode(), expected.encode()):
        await asyncio.to_thread(attempts.count, account, client)
        raise NotPermitted("the link is not that of a desktop")
    return await _open(request, row)


async def _open(request: Request, row: ContainerRow) -> str:
    guacamole: GuacamoleWeb = request.app.ctx.guacamole
    if not guacamole.is_set:
        raise NotFound("setting", "CALIPSO_GUACAMOLE_URL")
    keys = context_of(request).backend.keys
    return await guacamole.open(
        credentials.guacamole_username(row.container_id),
        credentials.guacamole_password(keys, row.key_number, row.container_id),
        row.name,
        origin_of(request).client,
    )


def _running_of(connection: Connection, account: str) -> ContainerRow | None:
    """The running container that has an account."""
    found = containers.running(connection)
    # names of accounts derive from the ids, and cannot be turned back
    mine = next((each for each in found if credentials.guacamole_username(each) == account), None)
    return containers.by_uuid(connection, mine) if mine else None


def _told(error: CalipsoError) -> HTTPResponse:
    """The page that tells of an error; a reason that concerns operators is for the log."""
    status = status_of(error)
    match error:
        case Unavailable(part=part, reason=reason):
            _log.warning("not available", part=part, reason=reason)
            text = f"{part} does not answer as it should. Try again in a moment; if it stays so, tell the facility."
        case NotFound(what="desktop"):
            text = "It has ended, or never was. Go back, and look at the list of your containers."
        case NotPermitted():
            text = "The link is not a lawful one. Go back, and open the desktop from the list of your containers."
        case _:
            text = str(error)
    answer = page(_TITLE, text, status=status)
    if isinstance(error, TooManyAttempts):
        answer.headers["Retry-After"] = str(error.seconds)
    return answer
