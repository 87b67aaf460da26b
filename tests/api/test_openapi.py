"""The document of the interface: complete, true to what is answered, and there to be tried."""

import re
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from tests.api.catalogue import BODY, new_name
from tests.api.conftest import Api, make_backend, served  # noqa: F401 - fixtures
from tests.api.visitors import Answer, People, Visitor, people_of

from calipso.api import objects
from calipso.api.app import BLUEPRINTS, create_app
from calipso.api.openapi import is_described, key_of
from calipso.api.operations import OPERATIONS
from calipso.backend import Backend


@pytest.fixture(scope="module")
def people(api: Api) -> People:
    return people_of(api)


def strictly(answer: Answer, shape: Any) -> Any:  # noqa: ANN401 - of the shape
    """The value of an answer, which has all keys of its shape in order, and no other."""
    assert answer.status < 400
    found = msgspec.json.decode(answer.body, type=shape)
    assert msgspec.json.decode(msgspec.json.encode(found)) == answer.json()
    return found


def test_every_route_is_described_and_nothing_else(api: Api) -> None:
    app = create_app(api.backend, BLUEPRINTS)
    routes = {key_of(route, method) for route in filter(is_described, app.router.routes) for method in route.methods}
    assert routes == set(OPERATIONS)


async def test_what_is_open_is_told(api: Api, people: People) -> None:
    app = create_app(api.backend, BLUEPRINTS)
    for route in filter(is_described, app.router.routes):
        for method in route.methods:
            key = key_of(route, method)
            answer = await people.nobody.ask(method, re.sub(r"\{\w+\}", "1", key[1]))
            is_refused = answer.body.find(b"Authentication credentials were not provided.") >= 0
            assert is_refused is not OPERATIONS[key].is_open, key


async def test_it_is_served_with_the_version_of_the_package(people: People) -> None:
    found = (await people.nobody.get("/openapi.json")).json()
    assert (found["openapi"], found["info"]["title"], found["servers"]) == ("3.1.0", "Calipso", [{"url": "/"}])
    body = found["paths"]["/images/{public_name}/"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    name = body["$ref"].rpartition("/")[2]
    assert found["components"]["schemas"][name]["required"] == ["image", "protocol", "cpu", "memory", "hdd"]
    operation_ids = [each["operationId"] for path in found["paths"].values() for each in path.values()]
    assert len(set(operation_ids)) == len(operation_ids) == len(OPERATIONS)
    assert all(each["summary"] for path in found["paths"].values() for each in path.values())


async def test_the_stream_of_events_is_described(people: People) -> None:
    told = (await people.nobody.get("/openapi.json")).json()["paths"]["/events/"]["get"]
    assert set(told["responses"]["200"]["content"]) == {"application/cloudevents-batch+json", "text/event-stream"}
    for status in ("429", "503"):
        assert set(told["responses"][status]["content"]) == {"application/problem+json"}
        assert told["responses"][status]["description"] != "done"
    assert [each["name"] for each in told["parameters"] if each["in"] == "header"] == ["Last-Event-ID"]


async def test_answers_are_as_they_are_described(people: People) -> None:
    name = new_name()
    assert (await people.admin.ask("POST", f"/images/{name}/", BODY)).status == 201
    strictly(await people.ada.get("/images/"), list[objects.ImageObject])
    strictly(await people.ada.get(f"/images/{name}/"), objects.ImageObject)
    strictly(await people.ada.get(f"/quota/{people.ada.name}/"), objects.QuotaObject)
    strictly(await people.ada.get(f"/used_quota/{people.ada.name}/"), objects.QuotaObject)
    strictly(await people.ada.get("/users/?page=1"), objects.UsersPage)
    strictly(await people.ada.get(f"/users/{people.ada.name}/"), objects.UserObject)
    strictly(await people.admin.get(f"/users/{people.ada.name}/admin"), objects.RoleObject)
    strictly(await people.ada.get(f"/users/{people.ada.name}/experiments/"), objects.ExperimentsPage)
    strictly(await people.ada.get("/containers/"), list[objects.ContainerObject])
    strictly(await people.nobody.get("/settings/"), objects.LocalAuthObject)
    strictly(await people.nobody.get("/login/type/"), objects.ResultObject)


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/images/none/", None, 404),
        ("GET", "/nowhere/", None, 404),
        ("GET", "/users/?page=99", None, 404),
        ("DELETE", "/users/", None, 405),
        ("POST", "/quota/{ada}/", {"cpu": "many"}, 400),
        ("POST", "/quota/{ada}/", {"max_simultaneous": "x", "memory": "1G", "cpu": 1, "hdd": "1G"}, 400),
    ],
)
async def test_errors_are_problems(people: People, method: str, path: str, body: object, status: int) -> None:
    answer = await people.admin.ask(method, path.replace("{ada}", people.ada.name), body)
    assert (answer.status, answer.headers["Content-Type"]) == (status, "application/problem+json")
    found = strictly_problem(answer)
    assert (found.status, found.type) == (status, "about:blank")
    assert found.title
    assert found.detail


def strictly_problem(answer: Answer) -> objects.Problem:
    """The problem that an answer is."""
    found = msgspec.json.decode(answer.body, type=objects.Problem)
    assert set(answer.json()) <= set(objects.Problem.__struct_fields__)
    return found


@pytest.mark.parametrize(
    "body", [b'{"favorite": true, "favorite": false}', b'{"x": {"y": 1, "y": 2}, "favorite": "1"}', b'{"a":1,"a":1}']
)
async def test_a_name_that_stands_twice_is_refused(people: People, body: bytes) -> None:
    answer = await people.admin.ask("POST", f"/users/{people.ada.name}/admin", data=body, kind="application/json")
    assert answer.status == 400
    assert "twice" in answer.json()["error"]
    assert not (await people.admin.get(f"/users/{people.ada.name}/admin")).json()["is_admin"]


@pytest.mark.parametrize(
    "body",
    [b"[" * 100_000, b'{"a":' * 100_000, b"\xff\xfe{\x00}\x00", b'{"a": "\xff"}', b"null", b'"text"', b"[]", b""],
)
async def test_absurd_bodies_are_refused(people: People, body: bytes) -> None:
    for path in ("/login/", f"/users/{people.ada.name}/admin"):
        assert (await people.admin.ask("POST", path, data=body, kind="application/json")).status == 400


async def test_numbers_of_any_length_are_no_trouble_where_nobody_reads_them(people: People) -> None:
    body = b'{"is_superuser": false, "unknown": ' + b"9" * 10_000 + b"}"
    answer = await people.admin.ask("POST", f"/users/{people.ada.name}/admin", data=body, kind="application/json")
    assert answer.status == 403


async def test_the_page_loads_nothing_from_elsewhere(people: People) -> None:
    page = await people.nobody.get("/docs/")
    assert (page.status, page.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert "script-src 'self';" in page.headers["Content-Security-Policy"]
    for file in re.findall(r'(?:src|href)="([^"]+)"', page.body.decode()):
        answer = await people.nobody.get(f"/docs/{file}")
        assert answer.status == 200, file
        assert answer.headers["Content-Type"].startswith(("text/css", "text/javascript"))
        assert answer.body
    for other in ("LICENSE", "..%2F__init__.py", "swagger-ui.css.map"):
        assert (await people.nobody.get(f"/docs/{other}")).status == 404


async def test_behind_a_prefix_the_document_says_so(
    make_backend: Callable[..., Backend],  # noqa: F811 - the fixture
) -> None:
    backend = make_backend(base_path="/calipsoplus-services/")
    try:
        with served(backend) as api:
            found = (await Visitor(api=api).get("/calipsoplus-services/openapi.json")).json()
            assert found["servers"] == [{"url": "/calipsoplus-services"}]
    finally:
        backend.close()
