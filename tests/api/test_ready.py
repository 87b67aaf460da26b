"""What is ready is what the whole way would answer, and is gone as soon as it is not."""

import contextlib
import re
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit
from uuid import uuid4

import aiohttp
import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sanic import Request
from tests.api.conftest import PASSWORD, Api, basic
from tests.api.visitors import obey
from tests.conftest import PATIENCE, wait_until

from calipso.api.ready import Answer, Place, Ready
from calipso.commands.user import GrantRole
from calipso.events.user import Role

PATHS = ["settings/", "images/", "quota/{}/", "used_quota/{}/", "resource/list/{}/", "users/{}/experiments/"]
IMAGE = {"image": "desktop:12", "protocol": "vnc", "cpu": 1, "memory": "3G", "hdd": "5G"}
QUOTA = {"max_simultaneous": 7, "memory": "4G", "cpu": 2, "hdd": "9G"}
LENGTH = re.compile(rb"\r\ncontent-length: (\d+)", re.IGNORECASE)
REQUEST_ID = re.compile(rb"\r\nx-request-id: [0-9a-f-]{36}", re.IGNORECASE)


@dataclass
class Connection:
    """A kept connection, on which exactly what is given is sent."""

    socket: socket.socket
    received: bytes = field(default=b"")

    def send(self, *requests: bytes) -> None:
        self.socket.sendall(b"".join(requests))

    def answer(self, *, has_body: bool = True) -> bytes:
        """The next answer, without the id of its request, which it must have once."""
        while (end := self.received.find(b"\r\n\r\n") + 4) < 4:
            self._receive()
        length = LENGTH.search(self.received[:end])
        end += int(length[1]) if length and has_body else 0
        while len(self.received) < end:
            self._receive()
        whole, self.received = self.received[:end], self.received[end:]
        told, number = REQUEST_ID.subn(b"", whole)
        assert number == 1
        return told

    def ask(self, request: bytes) -> bytes:
        self.send(request)
        return self.answer(has_body=not request.startswith(b"HEAD"))

    def status(self, request: bytes) -> int:
        return int(self.ask(request).split(b" ")[1])

    def _receive(self) -> None:
        more = self.socket.recv(1 << 16)
        assert more, "the connection was closed"
        self.received += more


@contextlib.contextmanager
def connected(api: Api) -> Iterator[Connection]:
    place = urlsplit(api.url)
    with socket.create_connection((place.hostname, place.port), timeout=PATIENCE) as made:
        yield Connection(made)


def head(api: Api, path: str, *lines: str, method: str = "GET") -> bytes:
    """The bytes of a request."""
    host = f"Host: {urlsplit(api.url).netloc}"
    return "\r\n".join([f"{method} /{path} HTTP/1.1", host, *lines, "", ""]).encode()


def whole_way(request: bytes) -> bytes:
    """The same request with an id of its own, by which none is ready."""
    return request.replace(b"\r\n\r\n", f"\r\nX-Request-ID: {uuid4()}\r\n\r\n".encode())


async def cookie_of(api: Api, name: str) -> str:
    """The cookie header of a new login."""
    async with api.signed_in(name) as session:
        return "Cookie: " + "; ".join(f"{cookie.key}={cookie.value}" for cookie in session.cookie_jar)


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Of each request that asked for a ready answer, whether there was one."""
    seen: list[bool] = []
    find = Ready.find

    def seeing(self: Ready, head: bytes, place: Place) -> Answer | None:
        answer = find(self, head, place)
        seen.append(answer is not None)
        return answer

    monkeypatch.setattr(Ready, "find", seeing)
    return seen


@pytest.fixture(scope="module")
def cookies(api: Api, somebody: str, administrator: str) -> Sequence[str]:
    """The credentials of two people, by password."""
    obey(api)
    return [f"Authorization: {basic(name, PASSWORD)}" for name in (somebody, administrator)]


@pytest.mark.parametrize("path", PATHS)
async def test_what_is_asked_again_is_ready(api: Api, somebody: str, found: list[bool], path: str) -> None:
    obey(api)
    request = head(api, path.format(somebody), await cookie_of(api, somebody))
    with connected(api) as connection:
        whole = connection.ask(whole_way(request))
        assert whole.startswith(b"HTTP/1.1 200")
        found.clear()
        # a ring in between lets it go the whole way again
        for _ in range(200):
            assert connection.ask(request) == whole
            if sum(found) == 10:
                return
    raise AssertionError(f"{sum(found)} of {len(found)} were ready")


METHODS = st.sampled_from(["GET", "GET", "GET", "HEAD", "OPTIONS", "PUT"])
QUERIES = st.sampled_from(
    ["", "", "?page=1", "?page=2", "?ordering=-proposal_id", "?at=2020-01-01T00:00:00Z", "?a=%zz"]
)
LINES = st.lists(
    st.sampled_from(
        [
            "Origin: https://portal.example.org",
            "Origin: https://elsewhere.example.org",
            "Access-Control-Request-Method: GET",
            "Accept: text/html",
            "X-Forwarded-Proto: https",
            "Sec-Fetch-Site: cross-site",
            "X-CSRFToken: x",
            "Cookie: sessionid=nobody",
            "Content-Length: 0",
            "Content-Type: text/plain",
            "Connection: keep-alive",
            "Upgrade: h2c",
            "Broken\x01: header",
        ]
    ),
    max_size=3,
    unique=True,
)


@settings(max_examples=150)
@given(data=st.data())
def test_both_ways_answer_the_same(api: Api, somebody: str, cookies: Sequence[str], data: st.DataObject) -> None:
    path = data.draw(st.sampled_from([*PATHS, "containers/", "authenticated/", "nowhere/", "login/type/"]))
    lines = [*data.draw(st.sampled_from([[], *([cookie] for cookie in cookies)])), *data.draw(LINES)]
    request = head(api, path.format(somebody) + data.draw(QUERIES), *lines, method=data.draw(METHODS))
    answers = []
    for each in (whole_way(request), request, request, whole_way(request), request):
        with connected(api) as connection:
            answers.append(connection.ask(each))
    assert len(set(answers)) == 1


async def test_requests_that_come_together_or_in_pieces_are_answered_in_order(api: Api, somebody: str) -> None:
    login = await cookie_of(api, somebody)
    requests = [head(api, path.format(somebody), login) for path in PATHS]
    with connected(api) as connection:
        expected = [connection.ask(request) for request in requests]
        for _ in range(3):
            connection.send(*requests)
            assert [connection.answer() for _ in requests] == expected
            connection.send(requests[1][:-2])
            connection.send(requests[1][-2:], requests[2])
            assert [connection.answer(), connection.answer()] == expected[1:3]
            # a body that looks like a request is none
            body = requests[3]
            connection.send(head(api, "settings/", login, f"Content-Length: {len(body)}"))
            connection.send(body)
            connection.send(requests[1])
            assert [connection.answer(), connection.answer()] == [expected[0], expected[1]]


async def test_who_has_signed_out_is_nobody_at_once(api: Api, somebody: str) -> None:
    with connected(api) as connection:
        for _ in range(5):
            login = await cookie_of(api, somebody)
            request = head(api, "images/", login)
            assert [connection.status(request) for _ in range(5)] == [200] * 5
            assert connection.status(head(api, "logout/", login)) == 200
            assert connection.status(request) == 403


async def test_nothing_is_ready_after_the_end_of_a_login(api: Api, somebody: str) -> None:
    login = await cookie_of(api, somebody)
    request, answered, user_id = head(api, "images/", login), 0, api.user_id(somebody)
    with (
        psycopg.connect(api.backend.settings.database_url, autocommit=True) as database,
        connected(api) as connection,
    ):
        ends = datetime.now(UTC) + timedelta(seconds=1)
        database.execute("UPDATE logins SET expires = %s WHERE user_id = %s", (ends, user_id))
        at = datetime.now(UTC)
        while connection.status(request) == 200:
            assert at < ends
            answered, at = answered + 1, datetime.now(UTC)
    assert answered > 2


async def test_what_has_changed_is_seen_at_once(api: Api, somebody: str, administrator: str) -> None:
    login = await cookie_of(api, somebody)
    images, quota = head(api, "images/", login), head(api, f"quota/{somebody}/", login)
    async with api.signed_in(administrator) as session:
        with connected(api) as connection:
            for number in range(5):
                before = {connection.ask(images) for _ in range(5)} | {connection.ask(quota) for _ in range(5)}
                assert len(before) == 2
                await changed(session, f"/images/ready{number}/", IMAGE)
                assert f'"ready{number}"'.encode() in connection.ask(images)
                await changed(session, f"/quota/{somebody}/", {**QUOTA, "max_simultaneous": 10 + number})
                assert f'"max_simultaneous":{10 + number}'.encode() in connection.ask(quota)


async def changed(session: aiohttp.ClientSession, path: str, body: object) -> None:
    async with session.post(path, json=body) as answer:
        assert answer.status < 300, await answer.text()


async def test_what_one_may_not_see_any_more_is_not_shown(api: Api, somebody: str) -> None:
    name = api.add_user()
    obey(api)
    login = await cookie_of(api, name)
    request = head(api, f"quota/{somebody}/", login)
    with connected(api) as connection:
        assert [connection.status(request) for _ in range(3)] == [403] * 3
        obey(api, GrantRole(user_id=api.user_id(name), role=Role.ADMINISTRATOR))
        while connection.status(request) != 200:
            pass
        api.backend.logins.close_all(api.user_id(name))
        while connection.status(request) == 200:
            pass
        assert connection.status(request) == 403


def test_secrets_are_not_kept_as_they_were_sent(api: Api, somebody: str, cookies: Sequence[str]) -> None:
    kept: list[Ready] = []
    keep = Ready.keep

    def seeing(ready: Ready, request: Request, sent: bytes) -> None:
        kept.append(ready)
        keep(ready, request, sent)

    def questions() -> str:
        """What is kept; a ring in between may have taken it away."""
        connection.ask(head(api, f"quota/{somebody}/", cookies[0]))
        return repr(list(kept[-1].memory._kept))

    with pytest.MonkeyPatch.context() as patch, connected(api) as connection:
        patch.setattr(Ready, "keep", seeing)
        connection.ask(head(api, f"quota/{somebody}/?b={uuid4()}", cookies[0]))
        wait_until(lambda: questions() != "[]", "an answer to be kept")
        assert cookies[0].rpartition(" ")[2] not in questions()
