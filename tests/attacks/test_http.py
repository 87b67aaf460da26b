"""What attackers try over HTTP. Each test is an attack, and holds when it fails."""

import asyncio
import contextlib
import time
from html.parser import HTMLParser
from uuid import uuid4

import aiohttp
import pytest
from yarl import URL

from tests.api.conftest import PASSWORD, Api, basic
from tests.api.visitors import People
from tests.conftest import PATIENCE
from tests.portal.test_portal import start

EVIL = "https://evil.example.org"
QUOTA = {"max_simultaneous": 99, "cpu": 99, "memory": "9G", "hdd": "9G"}
IMAGE = {"image": "x", "protocol": "vnc", "cpu": 1, "memory": "1G", "hdd": "1G"}


async def raw(api: Api, request: bytes) -> bytes:
    """What comes back for bytes as they are, until the connection ends."""
    url = URL(api.url)
    reader, writer = await asyncio.open_connection(url.host, url.port)
    writer.write(request)
    found = b""
    with contextlib.suppress(ConnectionResetError):
        async with asyncio.timeout(PATIENCE):
            while piece := await reader.read(65536):
                found += piece
    writer.close()
    return found


def status_of(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


# who one is


@pytest.mark.parametrize(
    "name", ["X-Remote-User", "Remote-User", "X-Forwarded-User", "uid", "EAAHash", "X-Calipso-User"]
)
async def test_a_forged_header_signs_nobody_in(api: Api, people: People, name: str) -> None:
    headers = {name: people.admin.name, "EAAHash": people.admin.name, "uid": people.admin.name}
    async with api.anonymous(headers=headers) as session:
        async with session.get("/users/") as answer:
            assert answer.status == 403
        async with session.get("/umbrella/session/") as answer:
            assert answer.status == 404


async def test_a_forged_address_does_not_give_more_guesses(api: Api) -> None:
    name, statuses = api.add_user(), []
    async with api.anonymous() as session:
        for number in range(12):
            forged = {"X-Forwarded-For": f"198.51.100.{number}", "X-Real-IP": f"198.51.100.{number}"}
            body = {"username": name, "password": f"guess {number}"}
            async with session.post("/login/", json=body, headers=forged) as answer:
                statuses.append(answer.status)
    assert statuses == [401] * 10 + [429] * 2


async def test_a_chosen_login_is_not_taken_over(api: Api, people: People) -> None:
    """Session fixation: the key that somebody planted opens nothing after the sign-in."""
    planted = "planted-by-somebody-else"
    right = {"username": people.ada.name, "password": PASSWORD}
    async with (
        api.anonymous(cookies={"sessionid": planted}) as session,
        session.post("/login/", json=right) as answer,
    ):
        assert answer.status == 200
        assert answer.cookies["sessionid"].value != planted
    async with (
        api.anonymous(headers={"Cookie": f"sessionid={planted}"}) as session,
        session.get("/authenticated/") as answer,
    ):
        assert answer.status == 401


async def test_an_answer_does_not_tell_whether_a_name_exists(api: Api) -> None:
    known, unknown = api.add_user(), f"nobody-{uuid4().hex[:8]}"
    told, taken = {}, dict[str, list[float]]({known: [], unknown: []})
    async with api.anonymous() as session:
        for name in (known, unknown) * 7:  # in turn, so that what else the machine does slows both
            began = time.perf_counter()
            async with session.post("/login/", json={"username": name, "password": "wrong"}) as answer:
                varying = {"X-Request-ID", "Date", "Content-Length"}
                headers = {key: value for key, value in answer.headers.items() if key not in varying}
                told[name] = (answer.status, await answer.read(), headers)
            taken[name].append(time.perf_counter() - began)
    assert told[known] == told[unknown]
    # a hash takes tens of milliseconds: an answer without one would come in a tenth of the time
    assert 0.4 < min(taken[known]) / min(taken[unknown]) < 2.5


async def test_a_role_is_not_assigned_by_who_has_none(api: Api, people: People) -> None:
    del api
    tried = [
        await people.ada.ask("POST", f"/users/{people.ada.name}/admin", {"is_superuser": True}),
        await people.ada.ask(
            "POST", f"/quota/{people.ada.name}/", {"max_simultaneous": 99, "cpu": 99, "memory": "9G", "hdd": "9G"}
        ),
        await people.ada.ask(
            "POST", "/images/mine/", {"image": "x", "protocol": "vnc", "cpu": 1, "memory": "1G", "hdd": "1G"}
        ),
        await people.ada.ask("DELETE", "/images/desktop/"),
    ]
    assert [answer.status for answer in tried] == [403] * 4


# in somebody else's name


@pytest.mark.parametrize(
    ("method", "path"),
    [("PUT", "/favorite/1/"), ("POST", "/images/x/"), ("DELETE", "/images/x/"), ("POST", "/oidc/logout/")],
)
async def test_another_site_changes_nothing_in_a_users_name(api: Api, people: People, method: str, path: str) -> None:
    async with api.signed_in(people.admin.name) as session:
        del session.headers["X-CSRFToken"]
        for headers in ({}, {"X-CSRFToken": "guessed"}, {"Origin": EVIL}):
            async with session.request(method, path, json={}, headers=headers) as answer:
                assert answer.status in {403, 404}


@pytest.mark.parametrize("act", ["run/{}/own/desktop/", "stop/{}/x/desktop/", "rm/{}/x/desktop/"])
@pytest.mark.parametrize("headers", [{"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Mode": "navigate"}])
async def test_a_link_starts_and_stops_nothing(api: Api, people: People, act: str, headers: dict[str, str]) -> None:
    async with (
        api.signed_in(people.ada.name) as session,
        session.get(f"/resource/{act.format(people.ada.name)}", headers=headers) as answer,
    ):
        assert answer.status == 403


async def test_another_origin_reads_nothing(api: Api, people: People) -> None:
    async with api.signed_in(people.ada.name) as session:
        for origin in (
            EVIL,
            "null",
            "https://portal.example.org.evil.example.org",
            "http://evil.example.org/portal.example.org",
        ):
            async with session.get("/images/", headers={"Origin": origin}) as answer:
                assert "Access-Control-Allow-Origin" not in answer.headers


async def test_a_foreign_container_is_not_there(api: Api, people: People, port: int) -> None:
    notebook = await start(people.ada, port)
    name, number = notebook.shown["container_name"], notebook.shown["id"]
    tried = {
        f"/containers/{number}": 404,
        f"/resource/stop/{people.bob.name}/{name}/x/": 404,
        f"/resource/rm/{people.bob.name}/{name}/x/": 404,
        f"/resource/stop/{people.ada.name}/{name}/x/": 403,
        f"/resource/list/{people.ada.name}/": 403,
        f"/users/{people.ada.name}/containers/": 403,
        f"/quota/{people.ada.name}/": 403,
        notebook.path: 404,
    }
    assert {path: (await people.bob.get(path)).status for path in tried} == tried
    assert (await people.bob.ask("POST", f"/containers/{number}/enter")).status == 404
    assert all(row["container_name"] != name for row in (await people.bob.get("/containers/")).json())
    assert (await people.ada.get(f"/containers/{number}")).json()["container_status"] == "created"
    del api


async def test_another_site_opens_no_socket_to_a_container(api: Api, people: People, port: int) -> None:
    notebook = await start(people.ada, port)
    async with notebook.browser() as session:
        for origin in (EVIL, "null", "http://portal.example.org.evil.example.org"):
            with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
                await session.ws_connect(notebook.at("socket"), headers={"Origin": origin})
            assert caught.value.status == 403
    del api


# paths, headers, bodies


@pytest.mark.parametrize(
    "path",
    [
        "/docs/../../../../etc/passwd",
        "/docs/..%2f..%2f..%2fetc%2fpasswd",
        "/docs/%2e%2e/%2e%2e/etc/passwd",
        "/docs/....//....//etc/passwd",
        "/docs/swagger-ui.css/../../pyproject.toml",
        "/docs//etc/passwd",
        "//etc/passwd",
        "/web/..%2f..%2fetc/passwd",
    ],
)
async def test_no_path_leads_out(api: Api, path: str) -> None:
    answer = await raw(api, f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    assert status_of(answer) in {400, 403, 404}
    assert b"root:" not in answer


SMUGGLED = b"GET /health/live HTTP/1.1\r\nHost: smuggled\r\n\r\n"


@pytest.mark.parametrize(
    "framing",
    [
        b"Content-Length: 0\r\nContent-Length: 46\r\n",
        b"Content-Length: 46, 0\r\n",
        b"Content-Length: +46\r\n",
        b"Content-Length: 0x2e\r\n",
        b"Content-Length: 4 6\r\n",
        b"Content-Length : 46\r\n",
        b"Content-Length: 46\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
        b"Transfer-Encoding: xchunked\r\n",
        b"Transfer-Encoding : chunked\r\n",
        b"Transfer-Encoding:\x0bchunked\r\n",
        b"X: y\r\n Transfer-Encoding: chunked\r\n",
        b"X: y\nContent-Length: 46\r\n",
    ],
)
async def test_no_request_is_hidden_in_another(api: Api, framing: bytes) -> None:
    answer = await raw(api, b"POST /login/ HTTP/1.1\r\nHost: x\r\n" + framing + b"\r\n" + SMUGGLED)
    assert status_of(answer) >= 400
    assert b'"status":"ok"' not in answer


@pytest.mark.parametrize(
    "path", ["/images%0d%0aSet-Cookie:%20a=b", "/images%0aX-Injected:%201", "/images\tx", "/ima\rges"]
)
async def test_no_header_is_injected(api: Api, path: str) -> None:
    answer = await raw(
        api, f"GET {path} HTTP/1.1\r\nHost: x\r\nX-Request-ID: a%0d%0ab\r\nConnection: close\r\n\r\n".encode()
    )
    head = answer.partition(b"\r\n\r\n")[0].lower()
    assert b"\r\nset-cookie" not in head
    assert b"\r\nx-injected" not in head
    assert b"a%0d" not in head


@pytest.mark.parametrize(
    "header",
    [b"Cookie: " + b"a=b; " * 5000, b"Cookie: sessionid=" + b"x" * 15000, b"X: " + b"y" * 20000, b"x: y\r\n" * 3000],
)
async def test_no_header_is_too_large(api: Api, header: bytes) -> None:
    answer = await raw(
        api, b"GET /images/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + header.rstrip() + b"\r\n\r\n"
    )
    assert not answer or status_of(answer) in {400, 403, 413, 431}
    assert status_of(await raw(api, b"GET /health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")) == 200


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 500_000,
        b'{"a":' * 100_000,
        b'{"username": ' + b"9" * 500_000 + b', "password": "x"}',
        b'{"username": "x", "password": "' + b"\\u0000" * 1000 + b'"}',
        b'{"username": 1e999999, "password": "x"}',
        b'{"username": "x", "password": ["x"]}',
        b'{"username": "' + b"x" * 900_000 + b'", "password": "x"}',
        b'{"username": "\\ud800", "password": "x"}',
    ],
)
async def test_a_bomb_of_json_is_an_error_and_soon(api: Api, body: bytes) -> None:
    began = time.perf_counter()
    headers = {"Content-Type": "application/json"}
    async with api.anonymous() as session, session.post("/login/", data=body, headers=headers) as answer:
        assert answer.status in {400, 401, 413}
    assert time.perf_counter() - began < 5


async def test_a_body_without_end_is_cut_off(api: Api) -> None:
    answer = await raw(api, b"POST /login/ HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n{")
    assert status_of(answer) == 413


# what is stored, and where one is sent


@pytest.mark.parametrize(
    "body",
    [
        {"image": "javascript:alert(1)", "resource_type": "static link"},
        {"image": "data:text/html,<script>1</script>", "resource_type": "static link"},
        {"image": "file:///etc/passwd", "resource_type": "static link"},
        {"image": "x", "parameters": {"hostname": "169.254.169.254"}},
        {"image": "x", "parameters": {"port": "22"}},
        {"image": "x", "parameters": {"password": "x"}},
        {"image": "x", "parameters": {"wol-send-packet": "true"}},
        {"image": "x", "parameters": {"gateway-hostname": "internal"}},
        {"image": "x", "parameters": {"sftp-hostname": "internal"}},
        {"image": "x y; rm -rf /"},
        {"image": "--privileged"},
        {"image": "../../etc"},
        {"image": "x", "port_hook": "22/tcp; x"},
    ],
)
async def test_an_image_leads_nobody_astray(people: People, body: dict[str, object]) -> None:
    """Requests that we or guacd would make in somebody's place, and links that run something in a browser."""
    answer = await people.admin.ask("POST", f"/images/evil-{uuid4().hex[:6]}/", {**IMAGE, **body})
    assert answer.status == 400, answer.body


@pytest.mark.parametrize(
    "path",
    [
        "//evil.example.org",
        "//evil.example.org/images",
        "/\\evil.example.org",
        "/enter/?t=https://evil.example.org",
        "/enter?t=x&next=//evil.example.org",
        "/umbrella/login/?target=https://evil.example.org",
        "/umbrella/frontend/?next=https://evil.example.org",
        "/oidc/authenticate/?next=https://evil.example.org",
        "/oidc/callback/?state=x&code=y&next=https://evil.example.org",
        "/images?next=//evil.example.org",
    ],
)
async def test_no_answer_sends_a_browser_elsewhere(api: Api, path: str) -> None:
    answer = await raw(api, f"GET {path} HTTP/1.1\r\nHost: own\r\nConnection: close\r\n\r\n".encode())
    head = answer.partition(b"\r\n\r\n")[0].decode().split("\r\n")
    for location in [line.partition(": ")[2] for line in head if line.lower().startswith("location:")]:
        assert URL("http://own/").join(URL(location)).host == "own", location


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        del attrs
        self.found.append(tag)


@pytest.mark.parametrize("path", ["/enter/?t={}", "/oidc/callback/?error={}", "/{}", "/openidtest/?{}", "/docs/{}"])
async def test_nothing_that_is_said_becomes_a_part_of_a_page(api: Api, path: str) -> None:
    said = "%3Cscript%3Ealert(1)%3C/script%3E%3Cimg%20src=x%3E"
    url = URL(api.url + path.format(said), encoded=True)
    async with api.anonymous() as session, session.get(url, allow_redirects=False) as answer:
        text, kind = await answer.text(), answer.headers.get("Content-Type", "")
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert "script" not in answer.headers["Content-Security-Policy"]
    tags = _Tags()
    if kind.startswith("text/html"):
        tags.feed(text)
    assert not {"script", "img"} & set(tags.found)


@pytest.mark.parametrize(
    "name", ["<script>alert(1)</script>", "a'--", 'a"b', "../admin", "a\nb", "a\0b", "ada ", "=cmd()"]
)
async def test_no_account_has_a_name_that_is_more_than_a_name(api: Api, name: str) -> None:
    async with api.anonymous() as session:
        async with session.post("/login/", json={"username": name, "password": "x"}) as answer:
            assert answer.status in {400, 401}
        async with session.get("/users/", headers={"Authorization": basic(name, PASSWORD)}) as answer:
            assert answer.status in {400, 401}
    with pytest.raises(Exception, match=r"name|user"):
        api.add_user(name)


# what every answer has


@pytest.mark.parametrize(
    "path", ["/images/", "/nothing", "/login/type/", "/docs/", "/openapi.json", "/%", "/enter/?t=x", "/health"]
)
async def test_every_answer_is_guarded(api: Api, path: str) -> None:
    async with api.anonymous() as session, session.get(URL(api.url + path, encoded=True)) as answer:
        headers = answer.headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["X-Frame-Options"] == "DENY"
        assert headers["Cache-Control"] == "no-store"
        assert "Strict-Transport-Security" not in headers
        assert headers["X-Request-ID"]
        assert "Server" not in headers or "sanic" not in headers["Server"].lower()


async def test_a_request_keeps_its_id(api: Api) -> None:
    sent = str(uuid4())
    async with api.anonymous(headers={"X-Request-ID": sent}) as session, session.get("/health/live") as answer:
        assert answer.headers["X-Request-ID"] == sent
    async with api.anonymous(headers={"X-Request-ID": "mine; x"}) as session, session.get("/health/live") as answer:
        assert answer.headers["X-Request-ID"] != "mine; x"
