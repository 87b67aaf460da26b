"""Pages of long lists: what a client asks for, and the object that it gets."""

from collections.abc import Callable
from dataclasses import dataclass
from operator import itemgetter
from typing import TypeVar
from urllib.parse import urlencode

from sanic import Request

from calipso.api.proxies import absolute_url, inner_path
from calipso.errors import NotFound
from calipso.projections.paging import Page

T = TypeVar("T")

_PAGE = "page"
_DIGITS_LIMIT = 9
_TEXT_LIMIT = 200


class InvalidPage(NotFound):
    """There is no page of this number."""

    def __init__(self, number: str) -> None:
        super().__init__(_PAGE, number)

    def __str__(self) -> str:
        return "Invalid page."


@dataclass(frozen=True, kw_only=True)
class PageQuery:
    """Which part of a list is wanted: `page` counts from 1, the texts may be empty."""

    page: int
    ordering: str
    search: str

    @classmethod
    def of(cls, request: Request) -> "PageQuery":
        """What the address of a request asks for.

        Raises:
            InvalidPage: the number of the page is none.
        """
        number = request.args.get(_PAGE) or "1"
        if not (number.isascii() and number.isdecimal()) or len(number) > _DIGITS_LIMIT or int(number) == 0:
            raise InvalidPage(number)
        return cls(
            page=int(number),
            ordering=request.args.get("ordering") or "",
            search=(request.args.get("search") or "").replace("\0", "")[:_TEXT_LIMIT],
        )


def page_object(
    request: Request, query: PageQuery, found: Page[T], size: int, make: Callable[[T], object]
) -> dict[str, object]:
    """The JSON object of a page.

    Args:
        request: whose address the links of the page repeat.
        query: what was asked for.
        found: the rows of the page, and the number of all.
        size: rows on a full page.
        make: gives the JSON object of a row.

    Raises:
        InvalidPage: the list ends before this page; the first page of an empty list is there.
    """
    pages = max(1, -(-found.count // size))
    if query.page > pages:
        raise InvalidPage(str(query.page))
    return {
        "next": page_url(request, query.page + 1) if query.page < pages else None,
        "previous": page_url(request, query.page - 1) if query.page > 1 else None,
        "count": found.count,
        "results": [make(row) for row in found.rows],
        "page_size": size,
    }


def page_url(request: Request, number: int) -> str:
    """The absolute address of another page of the same list; the first page needs no number."""
    others = [(name, value) for name, value in request.get_query_args(keep_blank_values=True) if name != _PAGE]
    parameters = sorted([*others, *([(_PAGE, str(number))] if number > 1 else [])], key=itemgetter(0))
    query = f"?{urlencode(parameters)}" if parameters else ""
    return absolute_url(request, f"{inner_path(request)}{query}")
