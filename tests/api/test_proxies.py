"""What a request says of its origin, and from whom that is believed."""

from collections.abc import Sequence
from ipaddress import ip_address
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sanic.compat import Header
from sanic.models.server_types import ConnInfo

from calipso import settings
from calipso.api.arriving import Request
from calipso.api.proxies import Origin, Proxies, absolute_url, find_origin, inner_path, outer_path
from calipso.errors import Invalid

PROXY, CLIENT = "10.0.0.1", "198.51.100.7"
TOLD = (
    ("X-Forwarded-For", "192.0.2.1"),
    ("X-Forwarded-Proto", "https"),
    ("X-Forwarded-Host", "portal.example.org"),
    ("X-Forwarded-Prefix", "/services"),
)


class Connection:
    """What the library asks of a connection."""

    def __init__(self, peer: str, *, is_secure: bool) -> None:
        peername = (peer, 4711, 0, 0) if ":" in peer else (peer, 4711)
        self._told: dict[str, object] = {"sockname": ("127.0.0.1", 8000), "peername": peername}
        if is_secure:
            self._told["ssl_object"] = SimpleNamespace(context=None)

    def get_extra_info(self, name: str) -> object:
        return self._told.get(name)


def arrived(
    peer: str, *headers: tuple[str, str], is_secure: bool = False, path: str = "/users/", **configured: object
) -> Request:
    """A request that came over a connection, at an API with these settings."""
    connection: Any = Connection(peer, is_secure=is_secure)
    behind = {"trusted_proxies": "10.0.0.0/8, fd00::/8", **configured}
    app: Any = SimpleNamespace(ctx=SimpleNamespace(proxies=Proxies(settings.load(**behind))))
    host = [] if any(name == "Host" for name, _ in headers) else [("Host", "api.example.org")]
    fields = Header([(name.lower(), value) for name, value in [*host, *headers]])
    request = Request(path.encode(), fields, method="GET", version="1.1", transport=connection, app=app)
    request.conn_info = ConnInfo(connection)
    return request


def origin(peer: str, *headers: tuple[str, str], **configured: Any) -> Origin:  # noqa: ANN401 - passed on
    """The origin of such a request."""
    request = arrived(peer, *headers, **configured)
    found: Origin = request.app.ctx.proxies.origin_of(request)
    return found


def test_nobody_but_a_trusted_proxy_is_believed() -> None:
    told = Origin(client=CLIENT, scheme="http", host="api.example.org", prefix="", is_trusted=False)
    assert origin(CLIENT, *TOLD) == told
    assert origin(CLIENT, *((name, "\xff,,;\x01") for name, _ in TOLD)) == told


def test_a_trusted_proxy_is_believed() -> None:
    assert origin(PROXY, *TOLD) == Origin(
        client="192.0.2.1", scheme="https", host="portal.example.org", prefix="/services", is_trusted=True
    )


def test_a_trusted_proxy_that_says_nothing() -> None:
    assert origin(PROXY) == Origin(client=PROXY, scheme="http", host="api.example.org", is_trusted=True)
    assert origin(PROXY, is_secure=True).scheme == "https"


def test_other_headers_of_proxies_are_not_looked_at() -> None:
    others = [
        ("Forwarded", "for=192.0.2.1;host=evil.example;proto=https"),
        ("X-Real-IP", "192.0.2.1"),
        ("X-Forwarded-Port", "66"),
        ("X-Scheme", "https"),
        ("X_Forwarded_For", "192.0.2.1"),
        ("X-Forwarded-Path", "/evil"),
    ]
    assert origin(PROXY, *others) == origin(PROXY)


@pytest.mark.parametrize(
    ("peer", "values", "client"),
    [
        (PROXY, ["192.0.2.1"], "192.0.2.1"),
        (PROXY, ["203.0.113.9, 192.0.2.1"], "192.0.2.1"),
        (PROXY, ["203.0.113.9, 192.0.2.1, 10.0.0.2, 10.9.9.9"], "192.0.2.1"),
        (PROXY, ["203.0.113.9", "192.0.2.1,10.0.0.2"], "192.0.2.1"),
        (PROXY, ["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        (PROXY, ["192.0.2.1:55555"], "192.0.2.1"),
        (PROXY, ["[2001:db8::1]:443"], "2001:db8::1"),
        (PROXY, ["[2001:db8::1]"], "2001:db8::1"),
        (PROXY, ["2001:DB8:0::1"], "2001:db8::1"),
        (PROXY, ["::ffff:192.0.2.1"], "192.0.2.1"),
        (PROXY, ["192.0.2.1, ::ffff:10.0.0.2"], "192.0.2.1"),
        (PROXY, ["192.0.2.1, unknown"], PROXY),
        (PROXY, ["192.0.2.1, unknown, 10.0.0.2"], "10.0.0.2"),
        (PROXY, ["192.0.2.1,"], PROXY),
        (PROXY, ["evil, 192.0.2.1"], "192.0.2.1"),
        (PROXY, [""], PROXY),
        (PROXY, ["192.0.2.01"], PROXY),
        (PROXY, ["192.0.2.1 10.0.0.2"], PROXY),
        (PROXY, ["<script>"], PROXY),
        ("::ffff:10.0.0.1", ["192.0.2.1"], "192.0.2.1"),
        ("fd00::1", ["192.0.2.1"], "192.0.2.1"),
        (PROXY, ["fe80::1%eth0"], "fe80::1"),
        ("fe80::1", ["192.0.2.1"], "fe80::1"),
        ("11.0.0.1", ["192.0.2.1"], "11.0.0.1"),
    ],
)
def test_the_client_is_the_last_that_is_no_proxy(peer: str, values: Sequence[str], client: str) -> None:
    assert origin(peer, *(("X-Forwarded-For", value) for value in values)).client == client


@given(value=st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=255)))
def test_a_client_is_always_an_address(value: str) -> None:
    for peer in (PROXY, CLIENT):
        found = origin(peer, ("X-Forwarded-For", value)).client
        assert str(ip_address(found)) == found


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("X-Forwarded-Proto", "javascript"),
        ("X-Forwarded-Proto", "javascript:"),
        ("X-Forwarded-Proto", "https, http"),
        ("X-Forwarded-Proto", "https://evil.example/"),
        ("X-Forwarded-Proto", "ws"),
        ("X-Forwarded-Host", "evil.example, portal.example.org"),
        ("X-Forwarded-Host", "portal.example.org evil.example"),
        ("X-Forwarded-Host", "portal.example.org/evil"),
        ("X-Forwarded-Host", "evil.example@portal.example.org"),
        ("X-Forwarded-Host", "portal.example.org?x"),
        ("X-Forwarded-Host", "portal.example.org#"),
        ("X-Forwarded-Host", "portal.example.org\\evil"),
        ("X-Forwarded-Host", "javascript:alert(1)"),
        ("X-Forwarded-Host", "portal.example.org:"),
        ("X-Forwarded-Host", "portal.example.org:0"),
        ("X-Forwarded-Host", "portal.example.org:65536"),
        ("X-Forwarded-Host", "portal.example.org:99999999999"),
        ("X-Forwarded-Host", "portal.example.org:80:80"),
        ("X-Forwarded-Host", "[::::]"),
        ("X-Forwarded-Host", "[::1"),
        ("X-Forwarded-Host", "::1"),
        ("X-Forwarded-Host", "pörtal.example.org"),
        ("X-Forwarded-Host", "x" * 256),
        ("X-Forwarded-Host", "portal.example.org\x01"),
        ("X-Forwarded-Prefix", "//evil.example"),
        ("X-Forwarded-Prefix", "services"),
        ("X-Forwarded-Prefix", "https://evil.example/"),
        ("X-Forwarded-Prefix", "/a//b"),
        ("X-Forwarded-Prefix", "/a/../b"),
        ("X-Forwarded-Prefix", "/\\evil.example"),
        ("X-Forwarded-Prefix", "/a b"),
        ("X-Forwarded-Prefix", "/a%2f"),
        ("X-Forwarded-Prefix", "/a?b"),
        ("X-Forwarded-Prefix", "/a, /b"),
        ("X-Forwarded-Prefix", "/" + "x" * 255),
    ],
)
def test_what_could_not_stand_in_an_address_is_refused(name: str, value: str) -> None:
    with pytest.raises(Invalid) as refused:
        origin(PROXY, (name, value))
    assert refused.value.field == name
    assert origin(CLIENT, (name, value)) == origin(CLIENT)


@pytest.mark.parametrize("name", ["X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-Prefix"])
def test_what_is_said_twice_is_refused(name: str) -> None:
    value = dict(TOLD)[name]
    with pytest.raises(Invalid, match="once"):
        origin(PROXY, (name, value), (name, value))


@pytest.mark.parametrize("value", ["evil.example/x", "a b", "a,b", "user@host", "host:port", "http://host"])
def test_a_malformed_host_is_refused_of_anybody(value: str) -> None:
    for peer in (PROXY, CLIENT):
        with pytest.raises(Invalid, match="Host"):
            origin(peer, ("Host", value))


@pytest.mark.parametrize(
    "value", ["portal.example.org:8443", "PORTAL", "calipso_api:8000", "127.0.0.1:1", "[::1]:65535", "[2001:db8::1]"]
)
def test_lawful_hosts(value: str) -> None:
    assert origin(CLIENT, ("Host", value)).host == value
    assert origin(PROXY, ("X-Forwarded-Host", value)).host == value


@pytest.mark.parametrize(
    ("value", "prefix"), [("", ""), ("/", ""), ("/a", "/a"), ("/a/", "/a"), ("/a/b-c.d/~e", "/a/b-c.d/~e")]
)
def test_lawful_prefixes(value: str, prefix: str) -> None:
    assert origin(PROXY, ("X-Forwarded-Prefix", value)).prefix == prefix


@pytest.mark.parametrize(
    ("secret", "sent", "is_trusted"),
    [
        ("", None, True),
        ("", "anything", True),
        ("s3cret", "s3cret", True),
        ("s3cret", None, False),
        ("s3cret", "", False),
        ("s3cret", "s3cre", False),
        ("s3cret", "\udcff", False),
    ],
)
def test_the_secret_of_proxies(secret: str, sent: str | None, is_trusted: bool) -> None:
    headers = [*TOLD, *([("X-Calipso-Proxy-Secret", sent)] if sent is not None else [])]
    found = origin(PROXY, *headers, proxy_secret=secret)
    assert (found.is_trusted, found.client) == (is_trusted, "192.0.2.1")
    assert not origin(CLIENT, *headers, proxy_secret=secret).is_trusted


@pytest.mark.parametrize(
    ("allowed", "host", "is_allowed"),
    [
        ("", "anything", True),
        ("*", "anything", True),
        ("portal.example.org", "portal.example.org", True),
        ("portal.example.org", "PORTAL.example.org.:8443", True),
        ("Portal.example.org", "portal.example.org", True),
        ("portal.example.org", "evil.example", False),
        ("portal.example.org", "x.portal.example.org", False),
        ("portal.example.org", "", False),
        (".example.org", "portal.example.org", True),
        (".example.org", "a.b.example.org", True),
        (".example.org", "example.org", True),
        (".example.org", "evilexample.org", False),
        ("127.0.0.1, [::1]", "127.0.0.1:8000", True),
        ("127.0.0.1, [::1]", "[::1]:8000", True),
    ],
)
def test_names_that_are_allowed(allowed: str, host: str, is_allowed: bool) -> None:
    cases = [(CLIENT, ("Host", host)), (PROXY, ("Host", host))]
    if host:
        cases.append((PROXY, ("X-Forwarded-Host", host)))
    for peer, header in cases:
        if is_allowed:
            origin(peer, header, allowed_hosts=allowed)
        else:
            with pytest.raises(Invalid, match="CALIPSO_ALLOWED_HOSTS"):
                origin(peer, header, allowed_hosts=allowed)


def test_the_name_behind_a_proxy_need_not_be_allowed() -> None:
    outer = ("X-Forwarded-Host", "portal.example.org")
    assert origin(PROXY, outer, ("Host", "127.0.0.1:8000"), allowed_hosts="portal.example.org").host == outer[1]
    with pytest.raises(Invalid):
        origin(CLIENT, outer, ("Host", "127.0.0.1:8000"), allowed_hosts="portal.example.org")


@pytest.mark.parametrize(
    ("backend", "base", "url"),
    [
        ("", "/", "https://portal.example.org/services/users/"),
        ("", "/calipso/", "https://portal.example.org/services/calipso/users/"),
        ("https://other.example.org/api/", "/calipso/", "https://other.example.org/api/users/"),
        ("https://other.example.org", "/", "https://other.example.org/services/users/"),
    ],
)
async def test_absolute_addresses(backend: str, base: str, url: str) -> None:
    request = arrived(PROXY, *TOLD, path=f"{base}users/", backend_calipso=backend, base_path=base)
    find_origin(request)
    assert inner_path(request) == "/users/"
    assert outer_path(request) == f"/services{base}users/"
    assert absolute_url(request, inner_path(request)) == url
