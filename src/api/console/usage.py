"""What containers used, as bars and as a table, and the same as CSV."""

import csv
import io
from collections.abc import Sequence
from datetime import datetime

import msgspec
from sanic import Blueprint, HTTPResponse, Request

from calipso.api.audit import find_usage, period_of
from calipso.api.console.charts import charts, word_of
from calipso.api.console.shell import POLICY, Wrong, for_auditors, render
from calipso.api.usage_objects import UsageRow, columns_of, read_by
from calipso.errors import Invalid
from calipso.events.usage import By

blueprint = Blueprint("console_usage")

_SHOWN = 200
_THINGS = (By.DAY, By.USER, By.EXPERIMENT, By.IMAGE, By.RUNTIME)
# what a program for tables would take for a formula
_FORMULAE = ("=", "+", "-", "@", "\t", "\r")


@blueprint.get("/console/usage/")
@for_auditors
async def usage(request: Request) -> HTTPResponse:
    """What containers used within a period, by one thing."""
    try:
        begin, end = period_of(request)
        by = _one_of(request.args.get("by") or By.DAY)
    except Invalid as error:
        return _page(request, By.DAY, wrong=Wrong.of(error))
    rows = await find_usage(request, begin, end, (by,))
    total = next(iter(await find_usage(request, begin, end, ())), None)
    return _page(request, by, rows=rows, total=total, period=(begin, end))


@blueprint.get("/console/usage.csv")
@for_auditors
async def usage_csv(request: Request) -> HTTPResponse:
    """The same as CSV, with all rows; by several things, too."""
    begin, end = period_of(request)
    by = read_by(request.args.get("by") or By.DAY)
    text = csv_of(await find_usage(request, begin, end, by), columns_of(by))
    name = f"usage-{begin:%Y-%m-%d}-{end:%Y-%m-%d}.csv"
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Content-Security-Policy": POLICY}
    return HTTPResponse(text, content_type="text/csv; charset=utf-8", headers=headers)


def csv_of(rows: Sequence[UsageRow], columns: Sequence[str]) -> str:
    """Rows as CSV with a head; hours have three digits, and no cell is a formula."""
    file = io.StringIO()
    writer = csv.writer(file)
    writer.writerow(columns)
    for row in rows:
        told = msgspec.to_builtins(row)
        writer.writerow([_cell(told[name]) for name in columns])
    return file.getvalue()


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.3f}"
    text = str(value)
    return f"'{text}" if text.startswith(_FORMULAE) else text


def _one_of(word: str) -> By:
    (by, *others) = read_by(word)
    if others:
        raise Invalid("by", "names more than one thing")
    return by


def _page(
    request: Request,
    by: By,
    *,
    rows: Sequence[UsageRow] = (),
    total: UsageRow | None = None,
    period: tuple[datetime, datetime] | None = None,
    wrong: Wrong | None = None,
) -> HTTPResponse:
    ordered = rows if by is By.DAY else sorted(rows, key=lambda row: -row.held_hours)
    return render(
        request,
        "usage.html",
        status=wrong.status if wrong else 200,
        wrong=wrong,
        asked={name: request.args.get(name) or "" for name in ("since", "until")},
        by=by,
        things=_THINGS,
        period=period,
        total=total,
        charts=charts(rows, by, *period) if period and rows else (),
        rows=ordered[-_SHOWN:] if by is By.DAY else ordered[:_SHOWN],
        row_count=len(rows),
        word_of=word_of,
    )
