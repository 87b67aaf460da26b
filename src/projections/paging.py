"""Pages of rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

R = TypeVar("R")


@dataclass(frozen=True, kw_only=True)
class Page(Generic[R]):
    """The rows of one page, and how many there are on all."""

    count: int
    rows: Sequence[R]


def like(search: str) -> str:
    """The pattern of texts that hold a searched word, whose own wildcards stand for themselves."""
    escaped = search.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{escaped}%"
