"""Which texts and numeric accounts may be stored, whoever sends them."""

import re

from calipso.errors import Invalid

TEXT_LIMIT = 2000
KEY_LIMIT = 200
REASON_LIMIT = 500
NUMBER_LIMIT = 2**31 - 2  # engines and file systems know accounts of 32 bits with sign, the last one is nobody's

_NOT_TEXT = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_NOT_LINES = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


def check_text(field: str, text: str, *, limit: int = TEXT_LIMIT, lines: bool = False) -> None:
    """Refuse a text that nobody should have to store or to show.

    Args:
        field: its name for the one who sent it.
        text: what it says.
        limit: how many characters it may have.
        lines: whether it may have line ends and tabs.

    Raises:
        Invalid: it is too long, or has control characters or bytes that were never characters.
    """
    if len(text) > limit:
        raise Invalid(field, f"must have at most {limit} characters, not {len(text)}")
    if found := (_NOT_LINES if lines else _NOT_TEXT).search(text):
        raise Invalid(field, f"must not contain the control character {found[0]!r}")


def check_key(field: str, text: str) -> None:
    """Refuse a text that cannot name something within an address.

    Raises:
        Invalid: it is empty, too long, or has characters that addresses are divided by.
    """
    if not text or set(text) & {"/", "~"}:
        raise Invalid(field, "must be a text without '/' and '~'")
    check_text(field, text, limit=KEY_LIMIT)


def check_reason(text: str) -> None:
    """Refuse what does not say why somebody did something.

    Raises:
        Invalid: it is empty or too long, or has control characters.
    """
    if not text.strip():
        raise Invalid("reason", "must say why")
    check_text("reason", text, limit=REASON_LIMIT)


def check_account(field: str, number: int | None) -> None:
    """Refuse a uid or gid that no container may have.

    Raises:
        Invalid: it is root's, or none at all.
    """
    if number is not None and not 1 <= number <= NUMBER_LIMIT:
        raise Invalid(field, f"must be from 1 to {NUMBER_LIMIT}: nothing runs as root")
