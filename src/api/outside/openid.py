"""Our side of an OpenID provider: discovery, the way to it, the code that a browser brings back, the way out.

OpenID Connect Core 1.0, Discovery 1.0 and RP-Initiated Logout 1.0; PKCE (RFC 7636); the issuer in answers (RFC 9207).
"""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import Self
from urllib.parse import quote_plus, urlencode, urlsplit

import msgspec
from authlib.oauth2.rfc6749.parameters import prepare_grant_uri  # type: ignore[import-untyped]  # no types
from authlib.oauth2.rfc7636 import create_s256_code_challenge  # type: ignore[import-untyped]  # no types

from calipso.api.outside.http import Outside
from calipso.api.outside.id_tokens import Claims, Expected, IdTokens, NotVouched, PublicKeys
from calipso.api.outside.kept import Kept
from calipso.api.outside.openid_metadata import (
    PART,
    BadAnswer,
    Metadata,
    find_metadata,
    is_plain,
    read,
    read_good,
    told,
)
from calipso.login_tokens import ProviderTokens
from calipso.settings.sign_in import SignInSettings

_HINT_LENGTH = 3000  # proxies in front have room for small heads only, and the provider can do without


@dataclass(frozen=True, kw_only=True)
class Flow:
    """What must be remembered of a sign-in until the browser comes back; `after` is the word of where it goes then."""

    state: str
    nonce: str
    verifier: str
    redirect_uri: str
    after: str = ""

    @classmethod
    def begin(cls, redirect_uri: str, after: str = "") -> Self:
        """A sign-in that comes back to this address, and goes on to a place."""
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        return cls(state=state, nonce=nonce, verifier=verifier, redirect_uri=redirect_uri, after=after)


@dataclass(frozen=True, kw_only=True)
class Person:
    """For whom the provider vouches; `name` is empty when it does not tell the claim of the settings."""

    issuer: str
    subject: str
    name: str
    tokens: ProviderTokens


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
        self._metadata = Kept(partial(find_metadata, settings, outside))
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
        query = {"client_id": self._settings.oidc_rp_client_id, "post_logout_redirect_uri": return_to}
        if len(id_token) <= _HINT_LENGTH:
            query["id_token_hint"] = id_token
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
            tokens = read(answer, _Tokens, "tokens")
            if not is_plain(tokens.access_token):
                raise BadAnswer("hands out an access token that is none")
            return tokens
        problem = read(answer, _Problem, "tokens").error
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
        claims = read_good(answer, dict[str, object], "claims")
        if claims.get("sub") != subject:
            raise NotVouched("the claims of the userinfo endpoint are those of somebody else")
        return claims

    async def _load_keys(self) -> Sequence[object]:
        answer = await self._outside.ask(PART, "GET", (await self._metadata.get()).jwks_uri)
        return read_good(answer, _Keys, "keys").keys
