"""Every endpoint: who may ask, with which status it answers each of them, and what the answer looks like."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import msgspec
import pytest
from tests.api.conftest import PASSWORD, Api
from tests.api.visitors import Answer, People, people_of
from tests.contract.conftest import DESKTOP, LINK, grant, run

from calipso.api import objects

CREDENTIALS = {"username": "{ada}", "password": PASSWORD}
IMAGE = {"image": "desktop:12", "protocol": "vnc", "cpu": "2", "memory": "3G", "hdd": "5G", "resource_type": "docker"}
LIMITS = {"max_simultaneous": 1000, "memory": "30G", "cpu": 10, "hdd": "80G"}
UMBRELLA = {"EAAHash": "9f86", "uid": "ada"}
EMPTY = None
PAGE = "text/html; charset=utf-8"


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """A request, and how it is answered: `statuses` of nobody, another user, the user named in it, an administrator.

    `shape` is the type of a success, a text for what its body is, or None for no body.
    """

    method: str
    path: str
    statuses: tuple[int, int, int, int]
    shape: Any = EMPTY
    body: Mapping[str, object] | None = None
    kind: str = "application/json"


def one(method: str, path: str, *statuses: int, shape: Any = EMPTY, **more: Any) -> Endpoint:  # noqa: ANN401 - a type
    nobody, other, owner, admin = statuses * 4 if len(statuses) == 1 else statuses
    return Endpoint(method=method, path=path, statuses=(nobody, other, owner, admin), shape=shape, **more)


ENDPOINTS = [
    one("GET", "settings/", 200, shape=b'{"local_auth": true}'),
    one("POST", "login/", 200, body=CREDENTIALS, shape=b'"Login OK"'),
    one("GET", "login/type/", 200, shape=b'{"result": true}'),
    one("GET", "logout/", 200, shape=b'"Logout OK"'),
    one("GET", "authenticated/", 401),
    one("GET", "openidtest/", 200, shape=str, kind=PAGE),
    one("GET", "images/", 403, 200, 200, 200, shape=list[objects.ImageObject]),
    one("GET", f"images/{DESKTOP}/", 403, 200, 200, 200, shape=objects.ImageObject),
    one("POST", "images/{new}/", 403, 403, 403, 201, body=IMAGE),
    one("PUT", "images/{changed}/", 403, 403, 403, 200, body=IMAGE),
    one("DELETE", "images/{withdrawn}/", 403, 403, 403, 204),
    one("GET", "quota/{ada}/", 403, 403, 200, 200, shape=objects.QuotaObject),
    one("POST", "quota/{ada}/", 403, 403, 403, 200, body=LIMITS),
    one("GET", "used_quota/{ada}/", 403, 403, 200, 200, shape=objects.QuotaObject),
    one("GET", "users/", 403, 200, 200, 200, shape=objects.UsersPage),
    one("GET", "users/{ada}/", 403, 200, 200, 200, shape=objects.UserObject),
    one("GET", "users/{ada}/admin", 403, 403, 403, 200, shape=objects.RoleObject),
    one("POST", "users/{eve}/admin", 403, 403, 403, 200, body={"is_superuser": True}),
    one("GET", "users/{ada}/containers/", 403, 403, 200, 200, shape=list[objects.ContainerObject]),
    one("GET", "users/{ada}/experiments/", 403, 403, 200, 200, shape=objects.ExperimentsPage),
    one("PUT", "favorite/{link}/", 403, 403, 200, 403, body={"favorite": "1"}, shape=objects.FavoriteObject),
    one("PATCH", "favorite/{link}/", 403, 403, 200, 403, body={"favorite": False}, shape=objects.FavoriteObject),
    one("GET", "containers/", 403, 200, 200, 200, shape=list[objects.ContainerObject]),
    one("GET", "containers/{id}", 403, 404, 200, 200, shape=objects.ContainerObject),
    one("POST", "containers/{id}/enter", 403, 404, 200, 403, shape=objects.PlaceObject),
    one("GET", "activecontainers/", 403, 200, 200, 200, shape=list[objects.ContainerObject]),
    one("GET", "resource/list/{ada}/", 403, 403, 200, 200, shape=list[objects.ContainerObject]),
    one("GET", f"resource/run/{{ada}}/{{new}}/{LINK}/", 403, 403, 201, 201, shape=objects.ContainerObject),
    one("POST", f"resource/run/{{ada}}/{{new}}/{LINK}/", 403, 403, 201, 201, shape=objects.ContainerObject),
    one("GET", "resource/stop/{ada}/{name}/x/", 403, 403, 200, 200, shape=objects.ContainerObject),
    one("POST", "resource/stop/{ada}/{name}/x/", 403, 403, 200, 200, shape=objects.ContainerObject),
    one("GET", "resource/rm/{ada}/{name}/x/", 403, 403, 200, 200, shape=objects.ContainerObject),
    one("POST", "resource/rm/{ada}/{name}/x/", 403, 403, 200, 200, shape=objects.ContainerObject),
    one("GET", "umbrella/session/", 404),
    one("GET", "umbrella/login/", 302, shape="https://idp.example.org/login"),
    one("GET", "umbrella/frontend/", 302, shape="https://portal.example.org/autologin"),
    one("POST", "umbrella/wuo/", 404, body=UMBRELLA),
    one("POST", "umbrella/wuo/", 400, body={"uid": "ada"}),
    one("GET", "umbrella/logout/", 200, shape=b'"ok logout"'),
    one("GET", "oidc/authenticate/", 404),
    one("GET", "oidc/callback/", 404),
    one("POST", "oidc/logout/", 302, shape="https://portal.example.org"),
    one("GET", "experiments/1/users", 403, 404, 404, 404),
]


@pytest.fixture(scope="module")
def people(api: Api) -> People:
    return people_of(api)


@pytest.fixture(scope="module")
def values(api: Api, people: People) -> Mapping[str, object]:
    """What the paths name."""
    return asyncio.run(made_for(api, people))


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda each: f"{each.method} {each.path}")
async def test_every_endpoint_answers_each_as_it_must(
    people: People, values: Mapping[str, object], endpoint: Endpoint
) -> None:
    for visitor, status in zip((people.nobody, people.bob, people.ada, people.admin), endpoint.statuses, strict=True):
        new = {"new": uuid4().hex}
        body = endpoint.body and {key: fill(value, values) for key, value in endpoint.body.items()}
        answer = await visitor.ask(endpoint.method, "/" + endpoint.path.format(**values, **new), body)
        assert answer.status == status, (visitor.name, answer.body)
        if status < 400:
            check_success(answer, endpoint)
        else:
            check_refusal(answer)


async def made_for(api: Api, people: People) -> Mapping[str, object]:
    """A membership of ada's, containers that are kept and ended, images, and somebody to promote."""
    grant(api, people.ada)
    kept, ended = [(await run(people.ada)).json() for _ in range(2)]
    changed, withdrawn = uuid4().hex, uuid4().hex
    for name in (changed, withdrawn):
        assert (await people.admin.ask("POST", f"/images/{name}/", IMAGE)).status == 201
    page = (await people.ada.get(f"/users/{people.ada.name}/experiments/")).json()
    return {
        "ada": people.ada.name,
        "eve": api.add_user(),
        "changed": changed,
        "withdrawn": withdrawn,
        "link": page["results"][0]["id"],
        "id": kept["id"],
        "name": ended["container_name"],
    }


def fill(value: object, values: Mapping[str, object]) -> object:
    return value.format(**values) if isinstance(value, str) else value


def check_success(answer: Answer, endpoint: Endpoint) -> None:
    """Check the body of an answer, and that its keys stand in the order in which clients know them."""
    match endpoint.shape:
        case None:
            assert answer.body == b""
        case bytes() as body:
            assert (answer.body, answer.headers["Content-Type"]) == (body, endpoint.kind)
        case str() as place:
            assert (answer.body, answer.headers["Location"]) == (b"", place)
        case shape if shape is str:
            assert answer.headers["Content-Type"] == endpoint.kind
        case shape:
            found = msgspec.json.decode(answer.body, type=shape)
            assert answer.headers["Content-Type"] == endpoint.kind
            assert msgspec.json.encode(found) == answer.body


def check_refusal(answer: Answer) -> None:
    """Check that an error says in JSON or on a page what is wrong, and asks no browser for a password."""
    kind = answer.headers["Content-Type"]
    assert kind in {"application/problem+json", "application/json", PAGE}
    assert answer.body
    assert "WWW-Authenticate" not in answer.headers
    if kind == "application/problem+json":
        assert answer.json()["error"]
        assert answer.json()["status"] == answer.status
