"""What processes of the API remember of logins and read models: never longer than it is true."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from uuid import uuid4

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.api.conftest import PASSWORD, Api, served
from tests.api.ringing import heard_of
from tests.api.visitors import obey
from tests.builders import image_spec
from tests.conftest import PATIENCE, wait_until

from calipso.api.memory import Memory
from calipso.backend import Backend
from calipso.commands.image import AddImage, WithdrawImage
from calipso.commands.quota import AssignQuota
from calipso.commands.user import GrantRole, RevokeRole
from calipso.database import DEAF, HEARING
from calipso.events.user import Role
from calipso.events.values import Limits, Resources

OTHER_PASSWORD = "another password of the account"
NOTHING = Limits(containers=0, resources=Resources(millicores=0, memory=0, disk=0))


@pytest.fixture(scope="module")
def other(api: Api) -> Iterator[Api]:
    """A second process of the same installation."""
    backend = Backend(api.backend.settings)
    try:
        with served(backend, projecting=False) as made:
            yield made
    finally:
        backend.close()


def memory(size: int = 10) -> Memory[str | None]:
    """A memory that hears, and that a ring of `here` concerns."""
    made: Memory[str | None] = Memory(
        lambda channel, payload: (channel, payload) == ("here", "x"), size=size, seconds=60
    )
    made.hear("", HEARING)
    return made


def answers(*given: str | None) -> Callable[[], Awaitable[str | None]]:
    """Gives one answer after the other."""
    left = iter(given)

    async def look() -> str | None:
        return next(left)

    return look


async def test_an_answer_is_looked_for_once() -> None:
    made, look = memory(), answers("a", "b")
    assert [await made.find(1, look), await made.find(1, look), await made.find(2, look)] == ["a", "a", "b"]


async def test_nothing_is_no_answer_to_keep() -> None:
    made, look = memory(), answers(None, "a")
    assert [await made.find(1, look), await made.find(1, look)] == [None, "a"]


@pytest.mark.parametrize(
    ("ring", "kept"),
    [
        (("here", "x"), False),
        (("here", "y"), True),
        (("there", "x"), True),
        (("", ""), True),
        (("", DEAF), False),
        (("", HEARING), False),
    ],
)
async def test_rings_that_concern_it_let_it_forget(ring: tuple[str, str], kept: bool) -> None:
    made, look = memory(), answers("old", "new")
    await made.find(1, look)
    made.hear(*ring)
    assert await made.find(1, look) == ("old" if kept else "new")


async def test_nothing_is_kept_while_no_ring_can_be_heard() -> None:
    made: Memory[str | None] = Memory(lambda *_: False, size=1, seconds=60)
    look = answers("a", "b", "c", "d")
    assert [await made.find(1, look), await made.find(1, look)] == ["a", "b"]
    made.hear("", HEARING)
    assert [await made.find(1, look), await made.find(1, look)] == ["c", "c"]
    made.hear("", DEAF)
    assert await made.find(1, look) == "d"


async def test_what_is_kept_is_not_known_while_the_database_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("calipso.api.memory.monotonic", lambda: now)
    made, look = memory(), answers("a", "b")
    await made.find(1, look)
    for _ in range(4):
        now += 2.9
        made.hear("", "")
    assert made.recall(1) == "a"
    now += 3.1
    assert made.recall(1) is None
    assert await made.find(1, look) == "b"
    made.hear("", "")
    assert made.recall(1) == "a"  # nothing rang meanwhile


async def test_what_was_looked_for_while_it_changed_is_not_kept() -> None:
    made, going, begun = memory(), asyncio.Event(), asyncio.Event()

    async def slow() -> str:
        begun.set()
        await going.wait()
        return "old"

    looking = asyncio.create_task(made.find(1, slow))
    await begun.wait()
    made.hear("here", "x")
    going.set()
    assert await looking == "old"
    assert await made.find(1, answers("new")) == "new"


@given(st.lists(st.integers(0, 30)))
def test_it_is_bounded(questions: list[int]) -> None:
    made = memory(size=5)

    async def ask() -> int:
        for question in questions:
            await made.find(question, answers(str(question)))
        return sum([await made.find(n, answers("looked for")) == str(n) for n in range(31)])

    assert asyncio.run(ask()) <= 5


async def status(api: Api, cookies: dict[str, str]) -> int:
    """How a process answers somebody with these cookies."""
    async with api.anonymous(cookies=cookies) as session, session.get("/images/") as answer:
        return answer.status


async def sign_in(api: Api, name: str) -> dict[str, str]:
    """The cookies of a new login."""
    async with api.signed_in(name) as session:
        return {cookie.key: cookie.value for cookie in session.cookie_jar}


async def test_a_sign_out_holds_here_at_once_and_everywhere_soon(api: Api, other: Api) -> None:
    name = api.add_user()
    cookies = await sign_in(api, name)
    for _ in range(3):
        assert [await status(api, cookies), await status(other, cookies)] == [200, 200]
    async with api.anonymous(cookies=cookies) as session:
        await session.get("/logout/")
    assert await status(api, cookies) == 403

    async def is_out() -> bool:
        return await status(other, cookies) == 403

    await heard_of(is_out, "the sign-out to be heard of")
    assert await status(other, cookies) == 403


async def test_a_sign_out_that_cannot_be_heard_of_holds_too(api: Api, other: Api) -> None:
    name = api.add_user()
    for _ in range(3):
        cookies = await sign_in(api, name)
        assert await status(other, cookies) == 200
        with psycopg.connect(api.backend.settings.database_url, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND (query LIKE 'LISTEN%' OR query = 'SELECT 1')"
            )
        api.backend.logins.close_all(api.user_id(name))

        async def is_out(cookies: dict[str, str] = cookies) -> bool:
            return await status(other, cookies) == 403

        await heard_of(is_out, "the login to be looked for")


async def test_roles_that_are_taken_away_are_gone_everywhere(api: Api, other: Api) -> None:
    name = api.add_user()
    obey(api)
    user_id = api.user_id(name)
    async with other.basic(name) as session:

        async def administrates() -> bool:
            async with session.get(f"/users/{name}/admin") as answer:
                return answer.status == 200

        assert not await administrates()
        api.obey(GrantRole(user_id=user_id, role=Role.ADMINISTRATOR))
        await heard_of(administrates, "the role")
        api.obey(RevokeRole(user_id=user_id, role=Role.ADMINISTRATOR))

        async def is_gone() -> bool:
            return not await administrates()

        await heard_of(is_gone, "the role to be gone")


async def test_an_old_password_is_refused_everywhere(api: Api, other: Api) -> None:
    name = api.add_user()
    async with other.basic(name, PASSWORD) as session:

        async def is_refused() -> bool:
            async with session.get("/images/") as answer:
                return answer.status == 401

        assert not await is_refused()
        api.backend.passwords.set(api.user_id(name), OTHER_PASSWORD)
        await heard_of(is_refused, "the old password to be refused")
    async with other.basic(name, OTHER_PASSWORD) as session, session.get("/images/") as answer:
        assert answer.status == 200


async def test_what_one_has_done_is_shown_by_the_next_answer(api: Api, administrator: str) -> None:
    body = {"image": "desktop:12", "protocol": "vnc", "cpu": 1, "memory": "3G", "hdd": "5G"}
    async with api.signed_in(administrator) as session:
        for number in range(20):
            async with session.post(f"/images/shown{number}/", json=body) as answer:
                assert answer.status == 201
            async with session.get("/images/") as answer:
                assert f"shown{number}" in {each["public_name"] for each in await answer.json()}


async def test_an_answer_survives_a_restart_of_the_databases_connections(api: Api, somebody: str) -> None:
    async with api.signed_in(somebody) as session:
        for _ in range(3):
            with psycopg.connect(api.backend.settings.database_url, autocommit=True) as connection:
                connection.execute(
                    "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
                    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
            async with session.get(f"/quota/{somebody}/") as answer:
                assert answer.status == 200, await answer.text()
    wait_until(lambda: api.backend.parts.all() != [], "the parts to report again")


async def test_a_run_knows_what_was_changed_elsewhere(api: Api, other: Api, administrator: str) -> None:
    name, image = f"user-{uuid4().hex[:8]}", f"image-{uuid4().hex[:8]}"
    image_id = api.backend.installation.naming.image(image)
    async with other.signed_in(administrator) as session:

        async def said() -> str:
            async with session.post(f"/resource/run/{name}/own/{image}/") as answer:
                error: str = (await answer.json())["error"]
                return error

        async def told(error: str) -> None:
            async with asyncio.timeout(PATIENCE):
                while await said() != error:
                    pass

        await told(f"image {image!r} does not exist")
        api.obey(AddImage(image_id=image_id, name=image, spec=image_spec()))
        await told(f"user {name!r} does not exist")
        api.add_user(name)
        api.obey(AssignQuota(user_id=api.user_id(name), limits=NOTHING))
        await told("Max machines exceeded")
        api.obey(WithdrawImage(image_id=image_id, name=image))
        await told(f"image {image!r} does not exist")
