"""Asks the provider for all experiments of users, for cron."""

import asyncio
import sys
from collections.abc import Iterator, Sequence
from typing import Annotated

import typer

from calipso.api.outside.http import Outside
from calipso.api.outside.provider import ExperimentProvider, Member
from calipso.api.synchronizing import Synchronizer, provider_of, synchronize_all
from calipso.backend import Backend
from calipso.cli.common import Data, running, user_id_of
from calipso.errors import CalipsoError, Invalid, Unavailable
from calipso.projections import users
from calipso.settings import Settings

_PAGE = 500
_FAILURES_IN_A_ROW = 5


def synchronize(
    userlogin: Annotated[str | None, typer.Option("--userlogin", help="The user's name.")] = None,
    everybody: Annotated[bool, typer.Option("--all", help="All users, one after the other.")] = False,
    data: Data = None,
) -> None:
    """Take over all experiments of a user from the provider, and end the memberships that it does not give any more."""
    if bool(userlogin) == everybody:
        raise typer.BadParameter("give either --userlogin or --all")
    with running(data) as backend:
        _check(backend.settings)
        names = [userlogin] if userlogin else list(_all_names(backend))
        done, changes = asyncio.run(_synchronize(backend, names))
    if everybody or done:
        print(f"Successfully synchronized {done} users, {changes} changes")
    if done < len(names):
        raise typer.Exit(1)


def _check(settings: Settings) -> None:
    if settings.enable_icat_data_retrieval and settings.icat_openid_connect and not settings.icat_username:
        raise Invalid(
            "settings", "CALIPSO_ICAT_USERNAME: without an account of ours users are asked for by their own tokens only"
        )


async def _synchronize(backend: Backend, names: Sequence[str]) -> tuple[int, int]:
    """Gives how many users were synchronized, and how many changes were stored."""
    outside = Outside(backend.settings.outside_timeout)
    try:
        provider = provider_of(backend, outside)
        if provider is None:
            raise Invalid(
                "settings",
                "no provider of experiments is set: CALIPSO_DYNAMIC_EXPERIMENTS_DATA_RETRIEVAL or "
                "CALIPSO_ENABLE_ICAT_DATA_RETRIEVAL",
            )
        return await _synchronize_each(backend, provider, names)
    finally:
        await outside.close()


async def _synchronize_each(backend: Backend, provider: ExperimentProvider, names: Sequence[str]) -> tuple[int, int]:
    """One user of whom the provider cannot say anything does not keep the others from theirs."""
    done = changes = failures = 0
    for name in names:
        try:
            changes += await _synchronize_one(backend, provider, name)
        except CalipsoError as error:
            print(f"error: {name}: {error}", file=sys.stderr)
            failures += 1
            if failures == _FAILURES_IN_A_ROW:
                raise Unavailable("the provider", f"{failures} users failed one after the other") from error
        else:
            done, failures = done + 1, 0
    return done, changes


async def _synchronize_one(backend: Backend, provider: ExperimentProvider, name: str) -> int:
    user_id = await asyncio.to_thread(user_id_of, backend, name)
    provided = await provider.all(Member(name=name))
    return len(await synchronize_all(Synchronizer(backend, user_id), provided, is_complete=True))


def _all_names(backend: Backend) -> Iterator[str]:
    page = 1
    while True:
        with backend.engine.connect() as connection:
            found = users.page(connection, page=page, page_size=_PAGE)
        yield from (row.name for row in found.rows)
        if page * _PAGE >= found.count:
            return
        page += 1
