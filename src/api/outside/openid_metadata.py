"""What an OpenID provider tells of itself, and how its answers are read (Discovery 1.0)."""

from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import TypeVar
from urllib.parse import urlsplit

import msgspec
from authlib.oidc.discovery import get_well_known_url  # type: ignore[import-untyped]  # no types

from calipso.api.outside.http import Outside, OutsideAnswer
from calipso.errors import CalipsoError, Unavailable
from calipso.settings.sign_in import SignInSettings

PART = "the OpenID provider"
T = TypeVar("T")

_PORTS = {"http": 80, "https": 443}
_TOLD_LENGTH = 200
_NEEDED = ("authorization_endpoint", "token_endpoint", "jwks_uri")
_OPTIONAL = ("userinfo_endpoint", "end_session_endpoint")


@dataclass(eq=False)
class BadAnswer(CalipsoError):
    """The provider's answer cannot be used, or it does not know us: something is wrong with it or our settings."""

    reason: str

    def __str__(self) -> str:
        return f"{PART} {self.reason}"


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
        return [place for place in needed + optional if not is_plain(place) or _origin(place)[0] not in schemes]


async def find_metadata(settings: SignInSettings, outside: Outside) -> Metadata:
    """What the settings say of the provider, and where they say too little what itself does.

    Args:
        settings: which provider.
        outside: asks it.

    Raises:
        BadAnswer: it says something else than the settings, or what cannot be used.
        Unavailable: it does not answer.
    """
    explicit = _explicit(settings)
    if all(getattr(explicit, name) for name in _NEEDED):
        return explicit
    discovered = await _discover(explicit.issuer, outside)
    places = {name: place for name in _NEEDED + _OPTIONAL if (place := getattr(explicit, name))}
    return msgspec.structs.replace(discovered, **places)


async def _discover(issuer: str, outside: Outside) -> Metadata:
    answer = await outside.ask(PART, "GET", get_well_known_url(issuer, external=True))
    metadata = read_good(answer, Metadata, "description")
    if metadata.issuer != issuer:
        raise BadAnswer(f"calls itself {told(metadata.issuer)}; set OIDC_OP_ISSUER to exactly that")
    if faulty := metadata.faulty_places():
        raise BadAnswer(f"tells of {told(faulty[0])}, where nothing of ours may be sent")
    return metadata


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


def read_good(answer: OutsideAnswer, shape: type[T], what: str) -> T:
    """What an answer of success holds.

    Raises:
        BadAnswer: it is no success, or holds something else.
    """
    if answer.status < HTTPStatus.INTERNAL_SERVER_ERROR and answer.status != HTTPStatus.OK:
        raise BadAnswer(f"answers {answer.status} where its {what} should be")
    return read(answer, shape, what)


def read(answer: OutsideAnswer, shape: type[T], what: str) -> T:
    """What an answer holds, whatever its status.

    Raises:
        BadAnswer: it holds something else.
        Unavailable: it tells of trouble of the provider.
    """
    if answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        raise Unavailable(PART, f"it answered {answer.status}")
    try:
        return msgspec.json.decode(answer.body, type=shape)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadAnswer(f"answers {answer.status} with something else than its {what}: {error}") from error


def is_plain(text: str) -> bool:
    """Whether a text can stand in a header as it is."""
    return text.isascii() and text.isprintable() and " " not in text


def told(text: str) -> str:
    """A text of the provider, as far as it can be repeated in a sentence."""
    return text[:_TOLD_LENGTH] if text.isascii() and text.isprintable() else "something unreadable"


def _origin(address: str) -> tuple[str, str, int | None]:
    try:
        parts = urlsplit(address)
        return parts.scheme if parts.hostname else "", parts.hostname or "", parts.port or _PORTS.get(parts.scheme)
    except ValueError:
        return "", "", None
