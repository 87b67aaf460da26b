"""Keeps secrets out of what people read: logs, errors, answers, the settings as they are shown.

Two nets: what stands where passwords stand (in addresses, behind `password=`), and the very values that this process
was given as secrets, wherever they turn up.
"""

import re
from collections.abc import Iterable

HIDDEN = "********"
# bounded, so that no text takes longer than its length: strangers choose some of them
_SCHEME = "[a-z0-9+.-]{0,20}://"
# a password may hold any character, so the account goes up to the last @ before the next address
_ACCOUNT = re.compile(rf"({_SCHEME})((?:(?!{_SCHEME})\S)*)@", re.IGNORECASE)
_PARAMETER = re.compile(
    r"((?:password|passwd|pwd|secret|token|key)\s{0,9}=\s{0,9})('(?:\\.|[^'\\])*'|(?:\\.|[^\s&#\\])+)", re.IGNORECASE
)
# here an account without a password is the secret
_TOKEN_SCHEMES = {"nats://", "tls://", "ws://", "wss://"}
_SHORTEST = 6  # anything shorter stands in ordinary words too

_known: dict[str, None] = {}


def remember(secrets: Iterable[str]) -> None:
    """Hide these values from now on, in this process, wherever they stand; very short ones stand in ordinary words."""
    _known.update(dict.fromkeys(secret for secret in secrets if len(secret) >= _SHORTEST))


def hide(text: str) -> str:
    """The text without known secrets, and without what stands where passwords stand."""
    # the longest first: one may be a part of another
    for secret in sorted(_known, key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    return hide_passwords(text)


def hide_passwords(text: str) -> str:
    """The text without what stands where passwords stand: in addresses, and behind `password=` and the like."""
    if "@" in text:
        text = _ACCOUNT.sub(_without_password, text)
    return _PARAMETER.sub(rf"\g<1>{HIDDEN}", text) if "=" in text else text


def _without_password(found: re.Match[str]) -> str:
    scheme, account = found.groups()
    name, has_password, _ = account.partition(":")
    if has_password:
        return f"{scheme}{name}:{HIDDEN}@"
    return f"{scheme}{HIDDEN if scheme.lower() in _TOKEN_SCHEMES else name}@"
