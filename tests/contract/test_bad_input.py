"""What no client should send, wherever something can be sent: a right status, a sentence, and nothing is stored."""

import io
import json
from collections.abc import Callable, Iterator

import pytest
from sanic import Blueprint, HTTPResponse, Request
from tests.api.conftest import Api, served
from tests.api.visitors import Answer, People, people_of
from tests.contract.conftest import DESKTOP, LINK, grant

from calipso.api.app import BLUEPRINTS
from calipso.backend import Backend

# names as they stand in an address
NAMES = {
    "slash": "a%2Fb",
    "dots": "%2E%2E",
    "way out": "..%2F..%2Fetc%2Fpasswd",
    "emoji": "%F0%9F%98%80",
    "300": "x" * 300,
    "300 emoji": "%F0%9F%98%80" * 300,
    "line": "a%0D%0ASet-Cookie:%20x=1",
    "nul": "a%00b",
    "latin 1": "caf%E9",
    "surrogate": "%ED%A0%80",
    "overlong": "%C0%AF",
    "backwards": "%E2%80%AEx",
    "percent": "%25n%25s",
    "quote": "'%20OR%20'1'='1",
    "script": "%3Cscript%3Ealert(1)%3C%2Fscript%3E",
    "space": "%20",
    "number": "9" * 40,
}
PLACES = [
    "GET /images/{}/",
    "PUT /images/{}/",
    "DELETE /images/{}/",
    "GET /quota/{}/",
    "POST /quota/{}/",
    "GET /used_quota/{}/",
    "GET /users/{}/",
    "GET /users/{}/admin",
    "POST /users/{}/admin",
    "GET /users/{}/containers/",
    "GET /users/{}/experiments/",
    "PUT /favorite/{}/",
    "GET /containers/{}",
    "POST /containers/{}/enter",
    "GET /experiments/{}/users",
    "GET /resource/list/{}/",
    "GET /resource/run/{}/own/" + LINK + "/",
    "GET /resource/run/ADMIN/own/{}/",
    "GET /resource/run/ADMIN/{}~1/" + LINK + "/",
    "GET /resource/run/ADMIN/P1~{}/" + LINK + "/",
    "GET /resource/stop/ADMIN/{}/x/",
    "GET /resource/rm/ADMIN/{}/x/",
    "POST /resource/rm/{}/x/x/",
]
BODIES = {
    "deep": b'{"a":' * 5000 + b"1" + b"}" * 5000,
    "deep array": b"[" * 100_000,
    "unknown fields only": b'{"x": 1}',
    "other encoding": '{"image": "é"}'.encode("utf-16"),
    "byte order mark": b"\xef\xbb\xbf{}",
    "nul": b'{"image": "a\0b"}',
    "duplicate": b'{"favorite": true, "favorite": false, "is_superuser": 1, "is_superuser": 0, "cpu": 1, "cpu": 2}',
    "surrogate": b'{"favorite": "\\ud800", "is_superuser": "\\ud800", "image": "\\ud800", "cpu": "\\ud800"}',
    "not finite": b'{"favorite": NaN, "is_superuser": NaN, "cpu": Infinity}',
    "truncated": b'{"favorite": tru',
    "list": b"[1]",
    "empty": b"",
}
TAKES_A_BODY = [
    "POST /images/new/",
    f"PUT /images/{DESKTOP}/",
    "POST /quota/ADA/",
    "POST /users/ADA/admin",
    "PUT /favorite/LINK/",
]


@pytest.fixture(scope="module")
def people(api: Api) -> People:
    return people_of(api)


def check(answer: Answer, *statuses: int) -> None:
    """Check that an answer refuses, says why, and tells nothing of the server's inside."""
    assert answer.status in statuses, answer.body
    problem = answer.json()
    assert problem["status"] == answer.status
    assert len(problem["error"]) > 3
    assert "Set-Cookie" not in answer.headers
    for inside in (b"Traceback", b'File "', b"calipso.", b"sqlalchemy", b"psycopg", b"0x7f"):
        assert inside not in answer.body


@pytest.mark.parametrize("place", PLACES)
async def test_names_of_every_kind(api: Api, people: People, place: str) -> None:
    method, path = place.replace("ADMIN", people.admin.name).split(" ")
    before = api.backend.store.head()
    for kind, name in NAMES.items():
        answer = await people.admin.ask(method, path.format(name), {} if method != "GET" else None)
        check(answer, 400, 404)
        assert api.backend.store.head() == before, kind


@pytest.mark.parametrize("place", TAKES_A_BODY)
async def test_bodies_of_every_kind(api: Api, people: People, place: str) -> None:
    grant(api, people.admin)
    link = (await people.admin.get(f"/users/{people.admin.name}/experiments/")).json()["results"][0]["id"]
    method, path = place.replace("ADA", people.ada.name).replace("LINK", str(link)).split(" ")
    before = api.backend.store.head()
    for kind, body in BODIES.items():
        answer = await people.admin.ask(method, path, data=body, kind="application/json")
        # without its flag, a promotion is no promotion
        check(answer, 400, *([403] if path.endswith("/admin") else []))
        assert api.backend.store.head() == before, kind


async def test_a_mebibyte_is_the_limit(people: People) -> None:
    for size, status in ((2**20, 400), (2**20 + 1, 413), (2**22, 413), (2**24, 413)):
        body = b'{"is_superuser": true, "x": "' + b"x" * size
        answer = await people.admin.ask(
            "POST", f"/users/{people.ada.name}/admin", data=io.BytesIO(body[:size]), kind="application/json"
        )
        check(answer, status)
    assert not (await people.admin.get(f"/users/{people.ada.name}/admin")).json()["is_admin"]


async def test_fields_that_nobody_knows_are_passed_over(people: People) -> None:
    body = {"max_simultaneous": 7, "memory": "1G", "cpu": 1, "hdd": "1G", "x": {"y": [1, None]}, "__class__": "Quota"}
    assert (await people.admin.ask("POST", f"/quota/{people.bob.name}/", body)).status == 200
    assert (await people.bob.get(f"/quota/{people.bob.name}/")).json()["max_simultaneous"] == 7


@pytest.mark.parametrize(
    "query", ["page=", "page=1&page=2", "ordering=password", "ordering=-", "search=%25%5F", "a" * 5000]
)
async def test_queries_of_every_kind(people: People, query: str) -> None:
    for path in ("/users/", f"/users/{people.ada.name}/experiments/"):
        answer = await people.ada.get(f"{path}?{query}")
        assert answer.status == 200, answer.body


@pytest.fixture(scope="module")
def broken(make_backend: Callable[..., Backend]) -> Iterator[Api]:
    """An installation with a fault in it."""
    blueprint = Blueprint("broken")

    @blueprint.get("/broken/")
    async def fail(request: Request) -> HTTPResponse:
        raise RuntimeError(f"the secret of {request.path}")

    backend = make_backend(cors_origin_whitelist="https://portal.example.org")
    try:
        with served(backend, projecting=False, blueprints=[*BLUEPRINTS, blueprint]) as made:
            yield made
    finally:
        backend.close()


async def test_a_fault_of_ours_tells_nothing_but_where_the_log_tells_it(
    broken: Api, capfd: pytest.CaptureFixture[str]
) -> None:
    headers = {"Origin": "https://portal.example.org"}
    async with broken.anonymous(headers=headers) as session, session.get("/broken/") as answer:
        body = await answer.text()
        assert answer.status == 500
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert answer.headers["Access-Control-Allow-Origin"] == "https://portal.example.org"
    assert json.loads(body)["error"] == "internal error"
    assert json.loads(body)["request_id"] == answer.headers["X-Request-ID"]
    assert "secret" not in body
    told = capfd.readouterr()
    logged = told.out + told.err
    assert json.loads(body)["request_id"] in logged
    assert "the secret of /broken/" in logged
