"""Sizes and processor shares as people write them, and as Calipso counts them: bytes and millicores."""

import re

from calipso.errors import Invalid

_UNITS = {"": 1, "B": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
_SIZE = re.compile(r"([0-9]{1,16})([BKMGT]?)")
_CPUS = re.compile(r"([0-9]{1,6})(?:\.([0-9]{1,3}))?")
GIB = 2**30
_LARGEST = 2**50  # so that the sum of all sizes of a user fits into 64 bits


def parse_size(text: str, field: str) -> int:
    """Bytes of a text such as `3G`, where G is 2^30 bytes as Docker reads it.

    Raises:
        Invalid: it is not a whole number with an optional unit of B, K, M, G or T, or above 1024T.
    """
    match = _SIZE.fullmatch(text.strip().upper())
    if match is None:
        raise Invalid(field, f"{text[:40]!r} is not a size such as 3G")
    size = int(match[1]) * _UNITS[match[2]]
    if size > _LARGEST:
        raise Invalid(field, f"{text[:40]!r} is more than 1024T")
    return size


def format_size(size: int) -> str:
    """The text that the wire uses: whole GiB with the letter G, rounded up."""
    return f"{-(-size // GIB)}G"


def parse_cpus(text: str, field: str) -> int:
    """Millicores of a number of processors such as `2` or `0.5`.

    Raises:
        Invalid: it is not such a number.
    """
    match = _CPUS.fullmatch(text.strip())
    if match is None:
        raise Invalid(field, f"{text[:40]!r} is not a number of processors such as 2 or 0.5")
    return int(match[1]) * 1000 + int((match[2] or "").ljust(3, "0"))


def format_cpus(millicores: int) -> int:
    """The number that the wire uses: whole processors, rounded up."""
    return -(-millicores // 1000)
