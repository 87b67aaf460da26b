"""Id tokens of an OpenID provider: with which key one is signed, and whether what it claims holds for us.

OpenID Connect Core 1.0, section 3.1.3.7; signatures by joserfc, claims by Authlib.
"""

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from authlib.oidc.core import CodeIDToken  # type: ignore[import-untyped]  # the library has no types
from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, JWKRegistry, OctKey, RSAKey

from calipso.api.outside.kept import Kept
from calipso.errors import CalipsoError

PublicKey = RSAKey | ECKey
Claims = Mapping[str, Any]

LEEWAY_SECONDS = 60
_KEY_TYPES: Mapping[str, type[PublicKey]] = {"RS256": RSAKey, "ES256": ECKey}


@dataclass(eq=False)
class NotVouched(CalipsoError):
    """The provider does not vouch for anybody in a way that can be believed."""

    reason: str

    def __str__(self) -> str:
        return self.reason


class PublicKeys:
    """A provider's public keys. One that is not among those we know is looked for again, as providers change theirs.

    Args:
        fetch: gives the members of the provider's key set.
    """

    def __init__(self, fetch: Callable[[], Awaitable[Sequence[object]]]) -> None:
        self._fetch = fetch
        self._kept = Kept(self._load)

    async def find(self, algorithm: str, key_id: str | None) -> PublicKey:
        """The key that a token names.

        Args:
            algorithm: RS256 or ES256.
            key_id: the token's `kid`; without one the provider must have one key for the algorithm.

        Raises:
            NotVouched: it is none of the provider's.
            CalipsoError: the provider does not tell its keys.
        """
        found = _choose(await self._kept.get(), algorithm, key_id)
        found = found or _choose(await self._kept.renew(), algorithm, key_id)
        if found is None:
            raise NotVouched("the id token is signed with a key that the provider does not publish")
        return found

    async def _load(self) -> Sequence[PublicKey]:
        return [key for member in await self._fetch() if (key := _read_key(member))]


def _read_key(member: object) -> PublicKey | None:
    """A key of a key set; None for one that is not understood, which RFC 7517 says to pass over."""
    if not isinstance(member, dict) or member.get("kty") not in ("RSA", "EC"):
        return None
    try:
        key = JWKRegistry.import_key(member)
    except (JoseError, ValueError, TypeError):
        return None
    return key if isinstance(key, PublicKey) else None


def _choose(keys: Sequence[PublicKey], algorithm: str, key_id: str | None) -> PublicKey | None:
    fitting = [key for key in keys if _fits(key, algorithm) and key_id in (None, key.kid)]
    return fitting[0] if len(fitting) == 1 else None


def _fits(key: PublicKey, algorithm: str) -> bool:
    is_for_signatures = key.get("use") in (None, "sig") and key.get("alg") in (None, algorithm)
    return is_for_signatures and isinstance(key, _KEY_TYPES[algorithm])


@dataclass(frozen=True, kw_only=True)
class Expected:
    """What an id token must say: `is_issuer` tells who may vouch, `nonce` is that of the sign-in."""

    is_issuer: Callable[[str], bool]
    client_id: str
    nonce: str
    access_token: str


@dataclass(frozen=True, kw_only=True)
class IdTokens:
    """Reads id tokens.

    Args:
        algorithms: those that are accepted.
        keys: the provider's.
        secret: ours at the provider, by which it signs with HS256.
    """

    algorithms: tuple[str, ...]
    keys: PublicKeys
    secret: str

    async def read(self, token: str, expected: Expected) -> Claims:
        """The claims of a token that holds.

        Args:
            token: in its compact form.
            expected: what it must say.

        Raises:
            NotVouched: it does not hold.
            CalipsoError: the provider does not tell its keys.
        """
        with _believing_nothing():
            header = jws.extract_compact(token.encode()).headers()
        key = await self._key(header)
        with _believing_nothing():
            decoded = jwt.decode(token, key, algorithms=self.algorithms)
            _check(decoded, expected)
        return decoded.claims

    async def _key(self, header: Mapping[str, Any]) -> PublicKey | OctKey:
        algorithm, key_id = header.get("alg"), header.get("kid")
        if algorithm not in self.algorithms:
            raise NotVouched(f"the id token is not signed by {' or '.join(self.algorithms)}")
        if algorithm == "HS256":
            return OctKey.import_key(self.secret)
        return await self.keys.find(algorithm, key_id)


@contextmanager
def _believing_nothing() -> Iterator[None]:
    """Refuse a token about which a library raises an error: its members may be of any type, and are converted."""
    try:
        yield
    except (JoseError, ValueError, TypeError, AttributeError) as error:
        raise NotVouched(f"the id token does not hold: {error}") from error


def _check(token: jwt.Token, expected: Expected) -> None:
    options: dict[str, dict[str, object]] = {name: {"essential": True} for name in ("iss", "sub", "exp", "iat")}
    options["aud"] = {"essential": True, "value": expected.client_id}
    given = {"nonce": expected.nonce, "client_id": expected.client_id, "access_token": expected.access_token}
    CodeIDToken(token.claims, token.header, options, given).validate(leeway=LEEWAY_SECONDS)
    if not expected.is_issuer(token.claims["iss"]):
        raise NotVouched("the id token is of another issuer")
