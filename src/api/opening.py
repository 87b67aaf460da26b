"""How a login begins and ends, whichever way somebody signs in."""

import asyncio

import structlog
from sanic import HTTPResponse, Request

from calipso.api import cookies
from calipso.api.auth import authentication_of, login_key
from calipso.api.context import Caller, context_of
from calipso.commands.user import RecordLogin
from calipso.errors import NotVisibleYet
from calipso.login_tokens import ProviderTokens

_log = structlog.get_logger()


async def open_login(request: Request, answer: HTTPResponse, caller: Caller, method: str) -> str:
    """Give a browser a login; an earlier one of it ends.

    Args:
        request: from the browser.
        answer: to the browser; gets the cookies.
        caller: who has signed in; `Caller.of(user)`.
        method: how, as the record says it, such as `local` or `oidc`.

    Returns:
        The key of the login, which only the browser keeps.

    Raises:
        CalipsoError: the sign-in cannot be recorded; then nobody is signed in.
    """
    await close_login(request)
    context = context_of(request)
    request.ctx.caller = caller
    await _record(request, RecordLogin(user_id=caller.user_id, method=method))
    key, opened = await asyncio.to_thread(context.backend.logins.open, caller.user_id)
    cookies.set_login(answer, key, opened, secure=cookies.are_secure(request))
    return key


async def _record(request: Request, command: RecordLogin) -> None:
    try:
        # the next that a frontend asks for is the account, which may be new
        await context_of(request).dispatch(command, request, shown_by=("users",))
    except NotVisibleYet as error:
        _log.warning("signed in before the account is shown", reason=str(error))


async def close_login(request: Request) -> None:
    """End the browser's login, if it has one."""
    if key := login_key(request):
        await asyncio.to_thread(context_of(request).backend.logins.close, key)
        # other processes hear of it; here it must hold before the answer
        authentication_of(request).known.forget()


async def provider_tokens_of(request: Request) -> ProviderTokens | None:
    """What the OpenID provider handed out for the login of a request; None when it did not come by such a login."""
    caller = request.ctx.caller
    if caller is None or not caller.login_key:
        return None
    return await asyncio.to_thread(context_of(request).backend.login_tokens.find, caller.login_key)
