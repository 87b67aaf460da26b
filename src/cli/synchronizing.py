"""Asks the provider for all experiments of users, for cron."""

import asyncio
from collections.abc import Iterator, Sequence
from typing import Annotated

import typer

from calipso.api.outside.http import Outside
from calipso.api.outside.provider import ExperimentProvider, Member
from calipso.api.synchronizing import Synchronizer, provider_of, synchronize_all
from calipso.backend import Backend
from calipso.cli.common import Data, running, user_id_of
from calipso.errors import Invalid
from calipso.events.envelope import Recorded
from calipso.projections import users

_PAGE = 500


def synchronize(
    userlogin: Annotated[str | None, typer.Option("--userlogin", help="The user's name.")] = None,
    everybody: Annotated[bool, typer.Option("--all", help="All users, one after the other.")] = False,
    data: Data = None,
) -> None:
    """Take over all experiments of a user from the provider, and end the memberships that it does not give any more."""
    if bool(userlogin) == everybody:
        raise typer.BadParameter("give either --userlogin or --all")
    with running(data) as backend:
        if backend.settings.icat_openid_connect:
            raise Invalid("settings", "CALIPSO_ICAT_OPENID_CONNECT: users are asked for by their own tokens only")
        names = [userlogin] if userlogin else list(_all_names(backend))
        changes = asyncio.run(_synchronize(backend, names))
    print(f"Successfully synchronized {len(names)} users, {changes} changes")


async def _synchronize(backend: Backend, names: Sequence[str]) -> int:
    outside = Outside(backend.settings.outside_timeout)
    try:
        provider = provider_of(backend, outside)
        if provider is None:
            raise Invalid("settings", "no provider of experiments is set: CALIPSO_DYNAMIC_EXPERIMENTS_DATA_RETRIEVAL")
        return sum([len(await _synchronize_one(backend, provider, name)) for name in names])
    finally:
        await outside.close()


async def _synchronize_one(backend: Backend, provider: ExperimentProvider, name: str) -> Sequence[Recorded]:
    user_id = await asyncio.to_thread(user_id_of, backend, name)
    provided = await provider.all(Member(name=name))
    return await synchronize_all(Synchronizer(backend, user_id), provided, is_complete=True)


def _all_names(backend: Backend) -> Iterator[str]:
    page = 1
    while True:
        with backend.engine.connect() as connection:
            found = users.page(connection, page=page, page_size=_PAGE)
        yield from (row.name for row in found.rows)
        if page * _PAGE >= found.count:
            return
        page += 1
