"""Our side of an OpenID provider: discovery, the way to it, the code that a browser brings back, the way out.

OpenID Connect Core 1.0, Discovery 1.0 and RP-Initiated Logout 1.0; PKCE (RFC 7636); the issuer in answers (RFC 9207).
"""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Self, TypeVar
from urllib.parse import quote_plus, urlencode, urlsplit

import msgspec
from authlib.oauth2.rfc6749.parameters import prepare_grant_uri  # type: ignore[import-untyped]  # no types
from authlib.oauth2.rfc7636 import create_s256_code_challenge  # type: ignore[import-untyped]  # no types
from authlib.oidc.discovery import get_well_known_url  # type: ignore[import-untyped]  # no types

from calipso.api.outside.http import Outside, OutsideAnswer
from calipso.api.outside.id_tokens import Claims, Expected, IdTokens, NotVouched, PublicKeys
from calipso.api.outside.kept import Kept
from calipso.errors import CalipsoError, Unavailable
from calipso.login_tokens import ProviderTokens
from calipso.settings.sign_in import SignInSettings

PART = "the OpenID provider"
_PORTS = {"http": 80, "https": 443}
_TOLD_LENGTH = 200
_NEEDED = ("authorization_endpoint", "token_endpoint", "jwks_uri")
_OPTIONAL = ("userinfo_endpoint", "end_session_endpoint")
T = TypeVar("T")


@dataclass(eq=False)
class BadAnswer(CalipsoError):
    """The provider's answer cannot be used, or it does not know us: something is wrong with it or our settings."""

    reason: str

    def __str__(self) -> str:
        return f"{PART} {self.reason}"


@dataclass(frozen=True, kw_only=True)
class Flow:
    """What must be remembered of a sign-in until the browser comes back."""

    state: str
    nonce: str
    verifier: str
    redirect_uri: str

    @classmethod
    def begin(cls, redirect_uri: str) -> Self:
        """A sign-in that comes back to this address."""
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        return cls(state=state, nonce=nonce, verifier=verifier, redirect_uri=redirect_uri)


@dataclass(frozen=True, kw_only=True)
class Person:
    """For whom the provider vouches; `name` is empty when it does not tell the claim of the settings."""

    issuer: str
    subject: str
    name: str
    tokens: ProviderTokens


class Metadata(msgspec.Struct, frozen=True, kw_only=True):
    """Where a provider is asked for what, in the words of Discovery 1.0; empty where it has no such place.

    An empty `issuer` is not known beforehand: then whoever has the origin of the authorization endpoint may vouch.
    """

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str = ""
    end_session_endpoint: str = ""
    token_endpoint_auth_methods_supported: tuple[str, ...] = ("client_secret_basic",)
    authorization_response_iss_parameter_supported: bool = False

    def is_issuer(self, issuer: str) -> bool:
        """Whether an issuer may vouch."""
        if self.issuer:
            return issuer == self.issuer
        return _origin(issuer) == _origin(self.authorization_endpoint)

    def faulty_places(self) -> Sequence[str]:
        """Those that are no addresses, or less safe than the issuer's."""
        schemes = {"https"} if self.issuer.startswith("https:") else {"http", "https"}
        needed = [getattr(self, name) for name in _NEEDED]
        optional = [place for name in _OPTIONAL if (place := getattr(self, name))]
        return [place for place in needed + optional if _origin(place)[0] not in schemes]


class _Keys(msgspec.Struct):
    keys: list[object]


class _Tokens(msgspec.Struct):
    id_token: str
    access_token: str = ""


class _Problem(msgspec.Struct):
    error: str


class Provider:
    """The provider of the settings. Nothing is asked of it before the first sign-in.

    Args:
        settings: which provider, and who we are there.
        outside: asks it.
    """

    def __init__(self, settings: SignInSettings, outside: Outside) -> None:
        self._settings = settings
        self._outside = outside
        self._secret = settings.oidc_rp_client_secret.get_secret_value()
        self._metadata = Kept(self._load_metadata)
        self._id_tokens = IdTokens(
            algorithms=(settings.oidc_rp_sign_algo,) if settings.oidc_rp_sign_algo else ("RS256", "ES256"),
            keys=PublicKeys(self._load_keys),
            secret=self._secret,
        )

    async def way_in(self, flow: Flow) -> str:
        """Where a browser goes to sign in.

        Raises:
            CalipsoError: the provider does not tell.
        """
        metadata = await self._metadata.get()
        address: str = prepare_grant_uri(
            metadata.authorization_endpoint,
            self._settings.oidc_rp_client_id,
            "code",
            redirect_uri=flow.redirect_uri,
            scope=self._settings.oidc_rp_scopes,
            state=flow.state,
            nonce=flow.nonce,
            code_challenge=create_s256_code_challenge(flow.verifier),
            code_challenge_method="S256",
        )
        return address

    async def way_out(self, id_token: str, return_to: str) -> str:
        """Where a browser goes to end its sign-in at the provider; empty when the provider has no such place.

        Raises:
            CalipsoError: the provider does not tell.
        """
        place = (await self._metadata.get()).end_session_endpoint
        if not place:
            return ""
        query = {
            "id_token_hint": id_token,
            "client_id": self._settings.oidc_rp_client_id,
            "post_logout_redirect_uri": return_to,
        }
        return f"{place}{'&' if urlsplit(place).query else '?'}{urlencode(query)}"

    async def check_sender(self, issuer: str | None) -> None:
        """Refuse what a browser brings from another provider (RFC 9207).

        Args:
            issuer: the parameter `iss` of the answer, None when it has none.

        Raises:
            NotVouched: it is another one's.
            CalipsoError: the provider does not tell who it is.
        """
        metadata = await self._metadata.get()
        is_needed = metadata.authorization_response_iss_parameter_supported
        if is_needed if issuer is None else not metadata.is_issuer(issuer):
            raise NotVouched("the answer comes from another provider")

    async def redeem(self, flow: Flow, code: str) -> Person:
        """For whom the provider vouches by a code.

        Raises:
            NotVouched: the code or the id token does not hold.
            CalipsoError: the provider cannot be asked, or gives an answer that cannot be used.
        """
        metadata = await self._metadata.get()
        tokens = await self._tokens(metadata, flow, code)
        expected = Expected(
            is_issuer=metadata.is_issuer,
            client_id=self._settings.oidc_rp_client_id,
            nonce=flow.nonce,
            access_token=tokens.access_token,
        )
        claims = await self._id_tokens.read(tokens.id_token, expected)
        return Person(
            issuer=claims["iss"],
            subject=claims["sub"],
            name=await self._name(metadata, claims, tokens.access_token),
            tokens=ProviderTokens(id_token=tokens.id_token, access_token=tokens.access_token),
        )

    async def _tokens(self, metadata: Metadata, flow: Flow, code: str) -> _Tokens:
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": flow.redirect_uri,
            "code_verifier": flow.verifier,
        }
        added, basic = self._proof(metadata)
        answer = await self._outside.ask(PART, "POST", metadata.token_endpoint, form={**form, **added}, basic=basic)
        if answer.status == HTTPStatus.OK:
            return _read(answer, _Tokens, "tokens")
        problem = _read(answer, _Problem, "tokens").error
        if problem == "invalid_grant":
            raise NotVouched("the provider does not accept the code of this sign-in")
        raise BadAnswer(f"hands out no tokens: {told(problem)}")

    def _proof(self, metadata: Metadata) -> tuple[Mapping[str, str], tuple[str, str] | None]:
        """What shows who we are: fields of the form, or a name and a password (RFC 6749, section 2.3.1)."""
        name, supported = self._settings.oidc_rp_client_id, metadata.token_endpoint_auth_methods_supported
        if not self._secret:
            return {"client_id": name}, None
        if "client_secret_basic" in supported:
            return {}, (quote_plus(name), quote_plus(self._secret))
        if "client_secret_post" in supported:
            return {"client_id": name, "client_secret": self._secret}, None
        raise BadAnswer(f"takes no secret of ours, but one of {told(', '.join(supported))}")

    async def _name(self, metadata: Metadata, claims: Claims, access_token: str) -> str:
        claim = self._settings.oidc_username_claim
        if claim not in claims and metadata.userinfo_endpoint and access_token:
            claims = await self._user(metadata.userinfo_endpoint, claims["sub"], access_token)
        name = claims.get(claim)
        return name if isinstance(name, str) else ""

    async def _user(self, place: str, subject: str, access_token: str) -> Claims:
        answer = await self._outside.ask(PART, "GET", place, headers={"Authorization": f"Bearer {access_token}"})
        claims = _read_good(answer, dict[str, object], "claims")
        if claims.get("sub") != subject:
            raise NotVouched("the claims of the userinfo endpoint are those of somebody else")
        return claims

    async def _load_metadata(self) -> Metadata:
        explicit = _explicit(self._settings)
        if explicit.authorization_endpoint and explicit.token_endpoint and explicit.jwks_uri:
            return explicit
        discovered = await self._discover(explicit.issuer)
        places = {name: place for name in _NEEDED + _OPTIONAL if (place := getattr(explicit, name))}
        return msgspec.structs.replace(discovered, **places)

    async def _discover(self, issuer: str) -> Metadata:
        answer = await self._outside.ask(PART, "GET", get_well_known_url(issuer, external=True))
        metadata = _read_good(answer, Metadata, "description")
        if metadata.issuer != issuer:
            raise BadAnswer(f"calls itself {told(metadata.issuer)}; set OIDC_OP_ISSUER to exactly that")
        if faulty := metadata.faulty_places():
            raise BadAnswer(f"tells of {told(faulty[0])}, where nothing of ours may be sent")
        return metadata

    async def _load_keys(self) -> Sequence[object]:
        answer = await self._outside.ask(PART, "GET", (await self._metadata.get()).jwks_uri)
        return _read_good(answer, _Keys, "keys").keys


def _explicit(settings: SignInSettings) -> Metadata:
    """What the settings themselves say of the provider."""
    return Metadata(
        issuer=settings.oidc_op_issuer,
        authorization_endpoint=settings.oidc_op_authorization_endpoint,
        token_endpoint=settings.oidc_op_token_endpoint,
        jwks_uri=settings.oidc_op_jwks_endpoint,
        userinfo_endpoint=settings.oidc_op_user_endpoint,
        end_session_endpoint=settings.oidc_op_logout_endpoint,
    )


def _read_good(answer: OutsideAnswer, shape: type[T], what: str) -> T:
    """What an answer of success holds.

    Raises:
        BadAnswer: it is no success, or holds something else.
    """
    if answer.status < HTTPStatus.INTERNAL_SERVER_ERROR and answer.status != HTTPStatus.OK:
        raise BadAnswer(f"answers {answer.status} where its {what} should be")
    return _read(answer, shape, what)


def _read(answer: OutsideAnswer, shape: type[T], what: str) -> T:
    if answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        raise Unavailable(PART, f"it answered {answer.status}")
    try:
        return msgspec.json.decode(answer.body, type=shape)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadAnswer(f"answers {answer.status} with something else than its {what}: {error}") from error


def told(text: str) -> str:
    """A text of the provider, as far as it can be repeated in a sentence."""
    return text[:_TOLD_LENGTH] if text.isascii() and text.isprintable() else "something unreadable"


def _origin(address: str) -> tuple[str, str, int | None]:
    try:
        parts = urlsplit(address)
        return parts.scheme if parts.hostname else "", parts.hostname or "", parts.port or _PORTS.get(parts.scheme)
    except ValueError:
        return "", "", None
