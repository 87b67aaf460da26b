"""What if another quota or catalogue had held, on the command line."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from enum import StrEnum
from functools import partial
from typing import Annotated, Any
from uuid import UUID

import typer

from calipso import sizes
from calipso.cli.common import Data, running
from calipso.cli.history import Since, Until, record, warn_if_behind
from calipso.cli.rows import Format, FormatOption, write
from calipso.cli.usage import period_of
from calipso.errors import Invalid
from calipso.events.holding import Peak
from calipso.events.values import Resources
from calipso.events.what_if import Outcome, Policy, refused_users, usual_times, what_if
from calipso.moments import format_time
from calipso.projections import audit, images, users
from calipso.projections.requests import requests_of

_WORDS = ("containers", "cpu", "memory", "hdd")


class Report(StrEnum):
    """What is told."""

    DAYS = "days"
    USERS = "users"
    REQUESTS = "requests"


def what_if_(
    quota: Annotated[
        list[str] | None, typer.Option(help="A limit for everybody: containers=3, cpu=4, memory=8G or hdd=20G.")
    ] = None,
    image: Annotated[
        list[str] | None,
        typer.Option(help="Another size of an image: NAME:cpu=2,memory=4G,hdd=5G; what is not named stays."),
    ] = None,
    without_image: Annotated[list[str] | None, typer.Option(help="An image that is not offered.")] = None,
    since: Since = "",
    until: Until = "",
    report: Annotated[
        Report, typer.Option(help="By day with the peaks, by user who would have been refused, or each request.")
    ] = Report.DAYS,
    form: FormatOption = Format.TABLE,
    data: Data = None,
) -> None:
    """Replay the requests of a period (the last 30 days) against another quota or catalogue; nothing is changed.

    Whatever was asked for is asked for again. A request that would have been refused holds nothing; one that was really
    refused and would have been granted holds its part as long as half of the containers of its image did.
    """
    begin, end = period_of(since, until)
    with running(data) as backend, backend.engine.connect() as connection:
        sizes_now = {row.name: row.spec.resources for row in images.every(connection)}
        policy = read_policy(quota or [], image or [], without_image or [], sizes_now)
        record(backend, "what-if", None, {"since": since, "until": until})
        warn_if_behind(backend, audit.position(connection))
        read = partial(requests_of, connection, backend.store, begin, end)
        # read twice rather than kept: a long period has more of them than memory
        usual = usual_times(read())
        defaults = backend.settings.limits()
        outcome = what_if(read(), policy, defaults=defaults, usual=usual, since=begin, until=end)
        names = {key: row.name for key, row in users.named(connection, {r.user_id for r in outcome.requests}).items()}
    columns, rows = _REPORTS[report](outcome, names)
    write(rows, columns, form)


def read_policy(
    limits: Sequence[str], others: Sequence[str], withdrawn: Sequence[str], known: Mapping[str, Resources]
) -> Policy:
    """The policy that options name.

    Args:
        limits: each WORD=VALUE.
        others: each IMAGE:WORD=VALUE,...
        withdrawn: names of images.
        known: the images that there are, with their sizes.

    Raises:
        Invalid: one of them is not of its form, or none is given.
    """
    if not (limits or others or withdrawn):
        raise Invalid("what-if", "name something that is to be different: --quota, --image or --without-image")
    values = _values(limits, "quota", _WORDS)
    changed = {}
    for text in others:
        name, _, words = text.partition(":")
        if name not in known:
            raise Invalid("image", f"{name[:80]!r} is none of {', '.join(sorted(known))}")
        changed[name] = replace(known[name], **_values(words.split(","), "image", _WORDS[1:]))
    return Policy(**values, sizes=changed, withdrawn=frozenset(withdrawn))


def _values(texts: Sequence[str], field: str, words: Sequence[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for text in texts:
        word, _, value = text.partition("=")
        if word not in words:
            raise Invalid(field, f"{text[:80]!r} must be one of {', '.join(f'{each}=...' for each in words)}")
        match word:
            case "containers":
                if not (value.isascii() and value.isdecimal() and len(value) < 7):  # noqa: PLR2004 - a million is enough
                    raise Invalid(field, f"{text[:80]!r} must be a whole number")
                found["containers"] = int(value)
            case "cpu":
                found["millicores"] = sizes.parse_cpus(value, field)
            case "memory":
                found["memory"] = sizes.parse_size(value, field)
            case _:
                found["disk"] = sizes.parse_size(value, field)
    return found


Rows = tuple[Sequence[str], list[dict[str, Any]]]


def _days(outcome: Outcome, _: Mapping[UUID, str]) -> Rows:
    counts: dict[str, Counter[str]] = {day: Counter() for day in outcome.peaks_were}
    for each in outcome.requests:
        counts[each.time.date().isoformat()].update(
            requests=1,
            refused=bool(each.was),
            would_be_refused=bool(each.would_be),
            newly_refused=bool(each.would_be and not each.was),
            newly_granted=bool(each.was and not each.would_be),
        )
    numbers = ("requests", "refused", "would_be_refused", "newly_refused", "newly_granted")
    rows = [
        {"day": day, **{name: told[name] for name in numbers}}
        | _peak("peak", outcome.peaks_were[day])
        | _peak("would_be_peak", outcome.peaks_would_be.get(day, Peak()))
        for day, told in counts.items()
    ]
    peaks = [f"{when}_{what}" for what in ("containers", "cpus", "memory_gib") for when in ("peak", "would_be_peak")]
    return ("day", *numbers, *peaks), rows


def _peak(name: str, peak: Peak) -> dict[str, Any]:
    return {
        f"{name}_containers": peak.containers,
        f"{name}_cpus": peak.resources.millicores / 1000,
        f"{name}_memory_gib": peak.resources.memory / sizes.GIB,
    }


def _users(outcome: Outcome, names: Mapping[UUID, str]) -> Rows:
    rows = [
        {"user": names.get(user_id, str(user_id)), "user_id": str(user_id)}
        | {"newly_refused": reasons.total(), "reasons": dict(reasons)}
        for user_id, reasons in refused_users(outcome).items()
    ]
    return ("user", "user_id", "newly_refused", "reasons"), sorted(rows, key=lambda row: -int(row["newly_refused"]))


def _requests(outcome: Outcome, names: Mapping[UUID, str]) -> Rows:
    rows = [
        {
            "position": each.position,
            "time": format_time(each.time),
            "user": names.get(each.user_id, str(each.user_id)),
            "user_id": str(each.user_id),
            "image": each.image_name,
            "was": each.was or "granted",
            "would_be": each.would_be or "granted",
        }
        for each in outcome.requests
    ]
    return ("position", "time", "user", "user_id", "image", "was", "would_be"), rows


_REPORTS = {Report.DAYS: _days, Report.USERS: _users, Report.REQUESTS: _requests}
