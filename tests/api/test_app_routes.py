"""Paths, methods, origins and malformed requests, as they are on the wire."""

import asyncio
from uuid import UUID, uuid4

import aiohttp
import pytest
from tests.api.conftest import PASSWORD, Api
from yarl import URL

# what the contract lists, by the methods that each path has
CONTRACT = {
    "/settings/": "GET",
    "/login/": "POST",
    "/login/type/": "GET",
    "/logout/": "GET",
    "/authenticated/": "GET",
    "/openidtest/": "GET",
    "/oidc/authenticate/": "GET",
    "/oidc/callback/": "GET",
    "/oidc/logout/": "POST",
    "/umbrella/session/": "GET",
    "/umbrella/login/": "GET",
    "/umbrella/frontend/": "GET",
    "/umbrella/wuo/": "POST",
    "/umbrella/logout/": "GET",
    "/images/": "GET",
    "/images/x/": "DELETE GET POST PUT",
    "/quota/x/": "GET POST",
    "/used_quota/x/": "GET",
    "/users/": "GET",
    "/users/x/": "GET",
    "/users/x/admin": "GET POST",
    "/users/x/containers/": "GET",
    "/users/x/experiments/": "GET",
    "/favorite/1/": "PATCH PUT",
    "/experiments/x/users": "GET",
    "/containers/": "GET",
    "/containers/1": "GET",
    "/containers/1/enter": "POST",
    "/enter/": "GET",
    "/activecontainers/": "GET",
    "/resource/list/x/": "GET",
    "/resource/run/x/y/z/": "GET POST",
    "/resource/stop/x/y/z/": "GET POST",
    "/resource/rm/x/y/z/": "GET POST",
    "/health": "GET",
    "/health/live": "GET",
    "/health/ready": "GET",
    "/metrics": "GET",
}
CHANGED_BY_GET = {
    "/logout/",
    "/oidc/authenticate/",
    "/oidc/callback/",
    "/umbrella/session/",
    "/umbrella/logout/",
    "/enter/",
    "/resource/run/x/y/z/",
    "/resource/stop/x/y/z/",
    "/resource/rm/x/y/z/",
}
METHODS = ("DELETE", "GET", "PATCH", "POST", "PUT")
ORIGIN = "https://portal.example.org"


def allowed_at(path: str) -> list[str]:
    methods = CONTRACT[path].split()
    has_head = "GET" in methods and path not in CHANGED_BY_GET
    return sorted([*methods, "OPTIONS", *(["HEAD"] if has_head else [])])


@pytest.mark.parametrize("path", CONTRACT)
async def test_every_path_has_its_methods_and_no_others(api: Api, path: str) -> None:
    async with api.anonymous() as session:
        async with session.options(path) as answer:
            assert answer.status == 200
            assert answer.headers["Allow"] == ", ".join(allowed_at(path))
        for method in set(METHODS) - set(CONTRACT[path].split()):
            async with session.request(method, path) as answer:
                assert answer.status == 405
                assert answer.headers["Allow"] == ", ".join(allowed_at(path))
                assert (await answer.json())["detail"] == f'Method "{method}" not allowed.'


@pytest.mark.parametrize("path", [path for path in CONTRACT if "GET" in CONTRACT[path]])
async def test_head_is_get_without_its_body(api: Api, administrator: str, path: str) -> None:
    async with api.basic(administrator) as session, session.head(path) as answer:
        if path in CHANGED_BY_GET:
            assert answer.status == 405
            return
        status, length = answer.status, answer.headers["Content-Length"]
        async with session.get(path) as other:
            assert status == other.status
            if not path.startswith(("/health", "/metrics", "/nothing")):
                assert length == other.headers["Content-Length"]


@pytest.mark.parametrize("path", [path for path in CONTRACT if path.endswith("/") and "GET" in CONTRACT[path]])
async def test_a_get_without_its_slash_is_sent_to_the_path(api: Api, path: str) -> None:
    async with api.anonymous() as session:
        async with session.get(f"{path[:-1]}?a=1&b=%20", allow_redirects=False) as answer:
            assert (answer.status, answer.headers["Location"]) == (301, f"{path}?a=1&b=%20")
        async with session.post(path[:-1]) as answer:
            assert answer.status == 404


@pytest.mark.parametrize("path", [path for path in CONTRACT if not path.endswith("/")])
async def test_a_slash_that_does_not_belong_there(api: Api, path: str) -> None:
    async with api.anonymous() as session, session.get(f"{path}/") as answer:
        assert answer.status == 404


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "//",
        "/nothing",
        "/nothing/",
        "/images//",
        "/users//experiments/",
        "/images/a/b/",
        "//images",
        "/IMAGES/",
        "//evil.example/users",
        "/resource/run/x/y/",
        "/favorite//",
        "/images/a%2Fb/c/",
        "/.",
        "/../images/",
    ],
)
async def test_an_unknown_path(api: Api, path: str) -> None:
    async with (
        api.anonymous() as session,
        session.get(URL(api.url + path, encoded=True), allow_redirects=False) as answer,
    ):
        assert answer.status == 404
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert (await answer.json())["detail"] == "Not found."


async def test_names_come_percent_encoded(api: Api) -> None:
    name = api.add_user("a+b@örg")
    async with api.signed_in(name) as session:
        for path in ("/users/a%2Bb%40%C3%B6rg/", "/users/a+b@%c3%b6rg/"):
            async with session.get(URL(api.url + path, encoded=True)) as answer:
                assert (await answer.json())["user"]["username"] == name
        async with session.get(URL(f"{api.url}/images/caf%C3%A9%20%25/", encoded=True)) as answer:
            assert (answer.status, (await answer.json())["error"]) == (404, "image 'café %' does not exist")


@pytest.mark.parametrize("path", ["/images/", "/nothing", "/health/live", "/login/"])
@pytest.mark.parametrize("origin", [ORIGIN, "http://localhost:4200", "https://localhost:4200"])
async def test_a_listed_origin_may_read_answers_and_errors(api: Api, path: str, origin: str) -> None:
    async with api.anonymous() as session, session.get(path, headers={"Origin": origin}) as answer:
        assert answer.headers["Access-Control-Allow-Origin"] == origin
        assert answer.headers["Access-Control-Allow-Credentials"] == "true"
        assert answer.headers["Vary"] == "Origin"


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://portal.example.org", "https://portal.example.org.evil.example"]
)
async def test_other_origins_may_not(api: Api, origin: str) -> None:
    async with api.anonymous() as session, session.get("/settings/", headers={"Origin": origin}) as answer:
        assert answer.status == 200
        assert "Access-Control-Allow-Origin" not in answer.headers
        assert answer.headers["Vary"] == "Origin"


@pytest.mark.parametrize("path", ["/images/", "/login/", "/favorite/1/", "/resource/run/x/y/z/", "/nothing/"])
async def test_a_preflight_needs_no_sign_in(api: Api, path: str) -> None:
    headers = {
        "Origin": ORIGIN,
        "Access-Control-Request-Method": "PUT",
        "Access-Control-Request-Headers": "content-type,x-csrftoken",
    }
    async with api.anonymous() as session, session.options(path, headers=headers) as answer:
        assert answer.status == 200
        assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN
        assert answer.headers["Access-Control-Allow-Credentials"] == "true"
        assert answer.headers["Access-Control-Max-Age"] == "86400"
        assert set(answer.headers["Access-Control-Allow-Methods"].split(", ")) >= {"GET", "POST", "PUT", "DELETE"}
        assert set(answer.headers["Access-Control-Allow-Headers"].split(", ")) >= {"content-type", "x-csrftoken"}


async def test_options_of_an_unknown_path(api: Api) -> None:
    async with api.anonymous() as session, session.options("/nothing/") as answer:
        assert answer.status == 404


async def test_every_answer_has_a_request_id(api: Api) -> None:
    given = str(uuid4())
    async with api.anonymous() as session:
        for sent in (given, given.upper()):
            async with session.get("/nothing", headers={"X-Request-ID": sent}) as answer:
                assert answer.headers["X-Request-ID"] == given
        for sent in ("", "x", "7", given[1:], f"{{{given}}}", f"urn:uuid:{given}"):
            async with session.get("/settings/", headers={"X-Request-ID": sent}) as answer:
                assert UUID(answer.headers["X-Request-ID"]) != UUID(given)


async def test_the_request_id_correlates_events(api: Api) -> None:
    name, given = api.add_user(), uuid4()
    async with (
        api.anonymous(headers={"X-Request-ID": str(given)}) as session,
        session.post("/login/", json={"username": name, "password": PASSWORD}) as answer,
    ):
        assert answer.status == 200
    assert api.backend.store.load(api.user_id(name))[-1].correlation_id == given


async def test_what_no_cache_may_keep(api: Api) -> None:
    async with api.anonymous() as session, session.get("/settings/") as answer:
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


async def test_many_clients_at_once(api: Api) -> None:
    names = [api.add_user() for _ in range(5)]

    async def ask(name: str) -> str:
        async with api.basic(name) as session, session.get(f"/users/{name}/") as answer:
            found: str = (await answer.json())["user"]["username"]
            return found

    assert await asyncio.gather(*(ask(name) for name in names * 10)) == names * 10


async def test_a_client_that_goes_away_harms_nothing(api: Api) -> None:
    timeout = aiohttp.ClientTimeout(total=0.01)
    async with api.basic(api.add_user()) as session:
        for _ in range(10):
            with pytest.raises(TimeoutError):
                async with session.post("/login/", json={"username": "x", "password": "y"}, timeout=timeout):
                    raise TimeoutError
        async with session.get("/settings/") as answer:
            assert answer.status == 200
