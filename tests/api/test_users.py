"""Users over HTTP: who they are, and who administrates."""

from collections.abc import Callable, Iterator
from urllib.parse import quote
from uuid import uuid4

import pytest
from tests.api.conftest import Api, served
from tests.api.visitors import People, Visitor, obey, people_of

from calipso.backend import Backend
from calipso.commands.user import RecordLogin

FORBIDDEN = (403, "You do not have permission to perform this action.")


@pytest.fixture(scope="module")
def api(make_backend: Callable[..., Backend]) -> Iterator[Api]:
    """An installation with small pages."""
    backend = make_backend(page_size_users=2)
    try:
        with served(backend) as made:
            yield made
    finally:
        backend.close()


@pytest.fixture(scope="module")
def people(api: Api) -> People:
    return people_of(api)


@pytest.fixture(scope="module")
def crowd(api: Api) -> str:
    """Five users with a word in their names, which nobody else has; gives the word."""
    word = f"crowd{uuid4().hex}"
    for letter in "cabed":
        api.add_user(f"{letter}-{word}")
    obey(api)
    return word


async def names(visitor: Visitor, query: str) -> list[str]:
    """The first letters of the users on a page."""
    return [user["user"]["username"][0] for user in (await visitor.get(f"/users/?{query}")).json()["results"]]


async def test_a_user_as_bytes(api: Api, people: People) -> None:
    name = api.add_user()
    obey(api)
    visitor = Visitor(api=api, name=name)
    answer = await visitor.get(f"/users/{name}/")
    number = answer.json()["id"]
    text = (
        f'{{"id":{number},"calipso_uid":"{visitor.user_id}","user_id":{number},'
        f'"user":{{"username":"{name}","last_login":%s,"is_superuser":false}}}}'
    )
    assert isinstance(number, int)
    assert (answer.status, answer.body) == (200, (text % "null").encode())
    obey(api, RecordLogin(user_id=visitor.user_id, method="local"))
    answer = await visitor.get(f"/users/{name}/")
    moment = answer.json()["user"]["last_login"]
    assert answer.body == (text % f'"{moment}"').encode()
    assert moment.endswith("Z")
    assert (await people.bob.get(f"/users/{name}/")).body == answer.body


async def test_names_are_read_as_people_write_them(api: Api) -> None:
    name = f"Ada+{uuid4().hex}@example.org"
    visitor = Visitor(api=api, name=api.add_user(name))
    obey(api)
    for written in (name, name.upper(), quote(name)):
        assert (await visitor.get(f"/users/{written}/")).json()["user"]["username"] == name


@pytest.mark.parametrize("name", ["none", "a%2Fb", "%0A", "x" * 2001])
async def test_unknown_users_are_not_found(people: People, name: str) -> None:
    assert (await people.ada.get(f"/users/{name}/")).detail() == (404, "Not found.")
    assert (await people.admin.get(f"/users/{name}/admin")).detail() == (404, "Not found.")
    assert (await people.admin.ask("POST", f"/users/{name}/admin", {"is_superuser": True})).status == 404


async def test_pages_lead_to_each_other(api: Api, people: People, crowd: str) -> None:
    url = f"{api.url}/users/?"
    query = f"ordering=user__username&search={crowd}"
    first = (await people.ada.get(f"/users/?search={crowd}&ordering=user__username")).json()
    assert list(first) == ["next", "previous", "count", "results", "page_size"]
    assert (first["next"], first["previous"]) == (f"{url}ordering=user__username&page=2&search={crowd}", None)
    assert (first["count"], first["page_size"]) == (5, 2)
    second = (await people.ada.get(first["next"].removeprefix(api.url))).json()
    assert second["next"] == f"{url}ordering=user__username&page=3&search={crowd}"
    assert second["previous"] == f"{url}{query}"
    third = (await people.ada.get(second["next"].removeprefix(api.url))).json()
    assert (third["next"], third["previous"]) == (None, f"{url}ordering=user__username&page=2&search={crowd}")
    found = [user["user"]["username"][0] for page in (first, second, third) for user in page["results"]]
    assert found == ["a", "b", "c", "d", "e"]


async def test_users_on_a_page_are_what_they_are_alone(people: People, crowd: str) -> None:
    found = (await people.ada.get(f"/users/?search=a-{crowd}")).json()
    assert found["results"] == [(await people.ada.get(f"/users/a-{crowd}/")).json()]


async def test_orders(people: People, crowd: str) -> None:
    for ordering, expected in (
        ("", ["c", "a"]),
        ("id", ["c", "a"]),
        ("-id", ["d", "e"]),
        ("user__username", ["a", "b"]),
        ("-user__username", ["e", "d"]),
        ("no_such_word", ["c", "a"]),
    ):
        assert await names(people.ada, f"search={crowd}&ordering={ordering}") == expected, ordering
    assert await names(people.ada, f"search={crowd}") == ["c", "a"]


async def test_searches(people: People, crowd: str) -> None:
    number = (await people.ada.get(f"/users/c-{crowd}/")).json()["id"]
    # others may have the number in their names
    found = (await people.ada.get(f"/users/?search={number}&ordering=id")).json()
    pages = range(1, -(-found["count"] // found["page_size"]) + 1)
    assert "c" in [name for n in pages for name in await names(people.ada, f"search={number}&ordering=id&page={n}")]
    assert await names(people.ada, f"search={crowd.upper()}&ordering=user__username") == ["a", "b"]
    for text in ("%25", "_", "no%20such%20user", "%5C", "%27", "%ED%95%9C"):
        found = (await people.ada.get(f"/users/?search={crowd}{text}")).json()
        assert (found["count"], found["results"], found["next"]) == (0, [], None)


@pytest.mark.parametrize(
    "page", ["0", "-1", "4", "999999999", "9" * 40, "two", "1.0", "%D9%A1", "%20", "last", "1%202", "+1"]
)
async def test_there_is_no_such_page(people: People, crowd: str, page: str) -> None:
    answer = await people.ada.get(f"/users/?search={crowd}&page={page}")
    assert answer.detail() == (404, "Invalid page.")


async def test_the_first_page_may_be_called_so(people: People, crowd: str) -> None:
    assert await names(people.ada, f"search={crowd}&page=1") == ["c", "a"]
    assert await names(people.ada, f"search={crowd}&page=") == ["c", "a"]


async def test_administrators_learn_who_administrates(people: People) -> None:
    for visitor, expected in ((people.ada, b'{"is_admin":false}'), (people.admin, b'{"is_admin":true}')):
        answer = await people.admin.get(f"/users/{visitor.name}/admin")
        assert (answer.status, answer.body) == (200, expected)
    for name in (people.ada.name, people.bob.name, "none"):
        assert (await people.ada.get(f"/users/{name}/admin")).detail() == FORBIDDEN


@pytest.mark.parametrize("flag", [True, 1, "true"])
async def test_promotion_may_be_repeated(api: Api, people: People, flag: object) -> None:
    name = api.add_user()
    obey(api)
    for _ in range(2):
        answer = await people.admin.ask("POST", f"/users/{name}/admin", {"is_superuser": flag})
        assert (answer.status, answer.body) == (200, b"")
        assert (await people.admin.get(f"/users/{name}/admin")).json() == {"is_admin": True}
        assert (await people.ada.get(f"/users/{name}/")).json()["user"]["is_superuser"] is True


async def test_a_promoted_user_administrates(api: Api, people: People) -> None:
    visitor = Visitor(api=api, name=api.add_user())
    obey(api)
    await people.admin.ask("POST", f"/users/{visitor.name}/admin", {"is_superuser": True})
    assert (await visitor.get(f"/users/{people.ada.name}/admin")).status == 200


@pytest.mark.parametrize("body", [{}, {"is_superuser": False}, {"is_superuser": None}, {"is_superuser": "0"}])
async def test_nothing_but_promotion_can_be_asked_for(people: People, body: object) -> None:
    assert (await people.admin.ask("POST", f"/users/{people.ada.name}/admin", body)).status == 403
    assert (await people.admin.get(f"/users/{people.ada.name}/admin")).json() == {"is_admin": False}


@pytest.mark.parametrize("value", ["yes", 2, [], {}, 1.5])
async def test_a_wrong_flag_is_refused_by_name(people: People, value: object) -> None:
    answer = await people.admin.ask("POST", f"/users/{people.ada.name}/admin", {"is_superuser": value})
    assert answer.field() == (400, "is_superuser")


async def test_only_administrators_promote(people: People) -> None:
    for name in (people.ada.name, "none"):
        assert (await people.ada.ask("POST", f"/users/{name}/admin", {"is_superuser": True})).detail() == FORBIDDEN
    assert (await people.admin.get(f"/users/{people.ada.name}/admin")).json() == {"is_admin": False}


@pytest.mark.parametrize("path", ["/users/", "/users/x/", "/users/x/admin"])
async def test_nobody_is_refused(people: People, path: str) -> None:
    assert (await people.nobody.get(path)).detail() == (403, "Authentication credentials were not provided.")


async def test_slashes(people: People) -> None:
    name = people.ada.name
    for path in ("/users", f"/users/{name}", f"/users?search={name}"):
        answer = await people.ada.get(path)
        assert answer.status == 301
        assert (await people.ada.get(answer.headers["Location"])).status == 200
    assert (await people.admin.get(f"/users/{name}/admin/")).status == 404


async def test_head(people: People) -> None:
    for path in ("/users/", f"/users/{people.ada.name}/", f"/users/{people.ada.name}/admin"):
        head, full = await people.admin.ask("HEAD", path), await people.admin.get(path)
        assert (head.status, head.body, head.headers["Content-Length"]) == (200, b"", str(len(full.body)))
