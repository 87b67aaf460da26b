"""Pages of rows, and what clients may ask of them: order and search."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from sqlalchemy import ColumnElement, Connection, RowMapping, Select, and_, func, or_, select, true

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Page(Generic[T]):
    """One page of rows; `count` is the number of rows on all pages."""

    count: int
    rows: Sequence[T]


def read_page(connection: Connection, query: Select[Any], *, page: int, page_size: int) -> Page[RowMapping]:
    """Read one page of an ordered query.

    Args:
        connection: of the read models' database.
        query: with its order.
        page: counted from 1; one that does not exist has no rows.
        page_size: rows on each page.
    """
    count = connection.execute(select(func.count()).select_from(query.order_by(None).subquery())).scalar_one()
    before = (page - 1) * page_size
    if not 0 <= before < count:
        return Page(count=count, rows=())
    return Page(count=count, rows=connection.execute(query.limit(page_size).offset(before)).mappings().all())


def ordered(ordering: str, columns: Mapping[str, ColumnElement[Any]], *, default: str) -> list[ColumnElement[Any]]:
    """The order that a client asks for.

    Args:
        ordering: words of `columns`, separated by commas, each with `-` before it to turn it round; others are ignored.
        columns: what may be asked for.
        default: the word that stands when none is left.
    """
    words = [word.strip() for word in ordering.split(",")]
    known = [word for word in words if word.removeprefix("-") in columns] or [default]
    return [_directed(word, columns[word.removeprefix("-")]) for word in known]


def _directed(word: str, column: ColumnElement[Any]) -> ColumnElement[Any]:
    return column.desc() if word.startswith("-") else column.asc()


def searched(search: str, *columns: ColumnElement[str]) -> ColumnElement[bool]:
    """Whether every word of a search stands in one of the columns.

    Args:
        search: words separated by blanks or commas; none finds everything.
        columns: casefolded texts.
    """
    words = sorted(set(search.casefold().replace(",", " ").split()))
    found = (or_(*(column.contains(word, autoescape=True) for column in columns)) for word in words)
    return and_(true(), *found)
