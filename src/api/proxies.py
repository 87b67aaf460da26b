"""Proxies in front of the API: whose word counts for where a request comes from, and for the address it was sent to.

From trusted proxies X-Forwarded-For, -Proto, -Host and -Prefix are believed; from anybody else they are not looked at.
Forwarded (RFC 7239), X-Real-IP, X-Forwarded-Port and the like are not looked at in any request.
"""

import hmac
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from urllib.parse import urlsplit

from sanic import Request

from calipso.errors import Invalid
from calipso.settings import Settings

SECRET_HEADER = "X-Calipso-Proxy-Secret"  # noqa: S105 - the name of a header

_FOR = "X-Forwarded-For"
_HOST = "X-Forwarded-Host"
_PREFIX = "X-Forwarded-Prefix"
_PROTO = "X-Forwarded-Proto"
_HOST_LIMIT = 255
_PREFIX_LIMIT = 255
_PORT_LIMIT = 65535
_NAMED = re.compile(r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::([0-9]{1,5}))?")
_PLACE = re.compile(r"(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)*/?")
_ADDRESS_AND_PORT = re.compile(r"\[(?P<six>[^\]]+)\](:\d+)?|(?P<four>[\d.]+):\d+")

Address = IPv4Address | IPv6Address


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Where a request comes from, and how its client sees the API; at `request.ctx.origin`.

    `client` is the address of the client, or of the last trusted proxy when that does not tell; `scheme` is http or
    https; `host` is a name with or without a port; `prefix` stands before the paths of the routes as the client sees
    them, without a slash at its end. `is_trusted` says that a trusted proxy sends the request, and with the secret if
    there is one: then alone its headers about who has signed in there may be believed.
    """

    client: str = ""
    scheme: str = "http"
    host: str = ""
    prefix: str = ""
    is_trusted: bool = False


class Proxies:
    """Finds the origins of requests.

    Args:
        settings: which proxies are trusted, and under which names the API may be called.
    """

    def __init__(self, settings: Settings) -> None:
        self._networks = [ip_network(network) for network in settings.trusted_proxies]
        self._secret = settings.proxy_secret.get_secret_value().encode()
        self._hosts = [host.lower() for host in settings.allowed_hosts]
        self._base = settings.base_path.rstrip("/")
        self._backend = settings.backend_calipso.rstrip("/")
        self._names_place = bool(urlsplit(self._backend).path)

    def origin_of(self, request: Request) -> Origin:
        """Where a request comes from.

        Raises:
            Invalid: its host, or what a trusted proxy says of it, is malformed or not allowed.
        """
        peer = _peer(request.ip)
        scheme = "https" if request.conn_info and request.conn_info.ssl else "http"
        host = _read_host("Host", request.headers.get("host", "")) if "host" in request.headers else ""
        prefix, is_behind = "", self._trusts(peer)
        if is_behind:
            scheme = _read_scheme(_only(request, _PROTO)) or scheme
            host = _read_host(_HOST, _only(request, _HOST)) or host
            prefix = _read_prefix(_only(request, _PREFIX))
        self._check_host(request, host)
        return Origin(
            client=str(self._client(request, peer) if is_behind else peer or ""),
            scheme=scheme,
            host=host or (request.conn_info.server if request.conn_info else ""),
            prefix=prefix + self._base,
            is_trusted=is_behind and self._knows_secret(request),
        )

    def absolute(self, origin: Origin, path: str) -> str:
        """The address of a path of the routes, as the client of an origin sees it."""
        if self._backend and self._names_place:
            return self._backend + path
        return (self._backend or f"{origin.scheme}://{origin.host}") + origin.prefix + path

    def inner(self, path: str) -> str:
        """A path as the routes have it, without the base path."""
        return path.removeprefix(self._base)

    def _trusts(self, address: Address | None) -> bool:
        return address is not None and any(address in network for network in self._networks)

    def _knows_secret(self, request: Request) -> bool:
        sent = request.headers.get(SECRET_HEADER, "").encode(errors="surrogateescape")
        return not self._secret or hmac.compare_digest(sent, self._secret)

    def _client(self, request: Request, peer: Address | None) -> Address | None:
        """The last address that is no trusted proxy's; each proxy appends the one from which it was asked."""
        found = peer
        for text in _entries_from_last(request.headers.getall(_FOR, [])):
            address = _read_address(text)
            if address is None:  # nothing that stands before it is vouched for
                return found
            found = address
            if not self._trusts(found):
                return found
        return found

    def _check_host(self, request: Request, host: str) -> None:
        name = _name_of(host)
        if not self._hosts or "*" in self._hosts or any(_fits(name, allowed) for allowed in self._hosts):
            return
        # probes come by address, and make nothing of the name
        is_open = getattr(request.route and request.route.ctx, "open", False)
        if not (is_open and (name in {"", "localhost"} or _read_address(name.strip("[]")))):
            raise Invalid("Host", "is not among the names under which this API may be called (CALIPSO_ALLOWED_HOSTS)")


def find_origin(request: Request) -> None:
    """Put the origin of a request into `request.ctx.origin`.

    Raises:
        Invalid: its host, or what a trusted proxy says of it, is malformed or not allowed.
    """
    if request.conn_info is not None:  # else it could not be read, and is answered with that
        request.ctx.origin = _proxies_of(request).origin_of(request)


def origin_of(request: Request) -> Origin:
    """Where a request comes from, see `Origin`."""
    origin: Origin = request.ctx.origin
    return origin


def absolute_url(request: Request, path: str) -> str:
    """The address of something of this API as browsers see it: below CALIPSO_BACKEND_CALIPSO, else as they asked.

    Args:
        request: from a browser.
        path: as in the routes, such as /login/; a query may follow.
    """
    return _proxies_of(request).absolute(origin_of(request), path)


def outer_path(request: Request) -> str:
    """The path of a request as its client sees it."""
    return f"{origin_of(request).prefix}{inner_path(request)}"


def inner_path(request: Request) -> str:
    """The path of a request as in the routes, without the base path."""
    return _proxies_of(request).inner(request.path)


def _proxies_of(request: Request) -> Proxies:
    found: Proxies = request.app.ctx.proxies
    return found


def _only(request: Request, name: str) -> str:
    values: Sequence[str] = request.headers.getall(name, [])
    if len(values) > 1:
        raise Invalid(name, "must be sent once")
    return values[0].strip() if values else ""


def _entries_from_last(values: Sequence[str]) -> Iterator[str]:
    for value in reversed(values):
        yield from (text.strip() for text in reversed(value.split(",")))


def _read_address(text: str) -> Address | None:
    """An address, with or without a port; one of IPv4 that is written as IPv6 is told as IPv4."""
    if found := _ADDRESS_AND_PORT.fullmatch(text):
        text = found["six"] or found["four"]
    try:
        address = ip_address(text.partition("%")[0])  # a zone is of this machine, not of the client
    except ValueError:
        return None
    return address.ipv4_mapped or address if isinstance(address, IPv6Address) else address


# the same few proxies and browsers ask again and again
_peer = lru_cache(maxsize=1024)(_read_address)


def _read_scheme(text: str) -> str:
    if text.lower() not in {"", "http", "https"}:
        raise Invalid(_PROTO, "must be http or https")
    return text.lower()


def _read_host(field: str, text: str) -> str:
    found = _NAMED.fullmatch(text)
    is_lawful = found is not None and len(text) <= _HOST_LIMIT and 0 < int(found[2] or 1) <= _PORT_LIMIT
    is_named = found is not None and (not found[1].startswith("[") or _read_address(found[1][1:-1]) is not None)
    if text and not (is_lawful and is_named):
        raise Invalid(field, "must be one name or address, with or without a port")
    return text


def _read_prefix(text: str) -> str:
    if not _PLACE.fullmatch(text) or len(text) > _PREFIX_LIMIT:
        raise Invalid(_PREFIX, "must be a path such as /calipsoplus-services")
    return text.rstrip("/")


def _name_of(host: str) -> str:
    found = _NAMED.fullmatch(host)
    return found[1].lower().rstrip(".") if found else ""


def _fits(name: str, allowed: str) -> bool:
    return name == allowed.lstrip(".") or (allowed.startswith(".") and name.endswith(allowed))
