"""How many processes of one kind live, by the locks that they hold."""

import asyncio
from collections.abc import Callable

from tests.conftest import wait_until

from calipso.database import Database


async def until_held(database: Database, number: int) -> None:
    """Wait until the server has noticed who went away."""
    await asyncio.to_thread(wait_until, lambda: database.count_held("provisioner/a") == number, "the locks")


async def test_those_that_hold_a_lock_of_their_kind_are_counted(make_database: Callable[[], str]) -> None:
    one, another = Database(make_database()), Database(make_database())
    assert one.count_held("provisioner/a") == 0
    async with one.holding_one_of("provisioner/a") as (first, _), one.holding_one_of("provisioner/b"):
        async with one.holding_one_of("provisioner/a") as (second, _):
            assert (first, second) == ("provisioner/a/0", "provisioner/a/1")
            assert one.count_held("provisioner/a") == 2
            assert one.count_held("provisioner/b") == 1
            assert another.count_held("provisioner/a") == 0  # another installation on the same server
        await until_held(one, 1)
    await until_held(one, 0)
    one.close()
    another.close()
