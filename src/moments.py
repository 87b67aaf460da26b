"""Moments as people write and read them: ISO 8601 with a time zone; of what they write, none in the future."""

from datetime import UTC, date, datetime, time

from calipso.errors import Invalid

_EXAMPLE = "2026-11-20T14:03:00Z"


def parse_moment(text: str, field: str, *, now: datetime | None = None) -> datetime:
    """The moment of a text such as `2026-11-20T14:03:00Z`, in UTC.

    Args:
        text: what was written.
        field: its name for the one who wrote it.
        now: the present, by default that of this machine's clock.

    Raises:
        Invalid: it is no such text, has no time zone, or lies in the future.
    """
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        # in an address, a plus sign that is not escaped is a blank
        raise Invalid(field, f"{text[:40]!r} is not a time such as {_EXAMPLE} (in an address, + is %2B)") from None
    if moment.tzinfo is None:
        raise Invalid(field, f"{text[:40]!r} has no time zone; write it as in {_EXAMPLE} or 2026-11-20T15:03:00+01:00")
    if moment > (now or datetime.now(UTC)):
        raise Invalid(field, f"{text[:40]!r} lies in the future; nothing is known of it")
    return _in_utc(moment, text, field)


def parse_bound(text: str, field: str, *, now: datetime | None = None) -> datetime | None:
    """The beginning or end of a period: a moment, a date alone for its beginning in UTC, or None of an empty text.

    Raises:
        Invalid: it is neither, or lies in the future.
    """
    if not text.strip():
        return None
    try:
        day = date.fromisoformat(text.strip())
    except ValueError:
        return parse_moment(text, field, now=now)
    return parse_moment(datetime.combine(day, time(), UTC).isoformat(), field, now=now)


def _in_utc(moment: datetime, text: str, field: str) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise Invalid(field, f"{text[:40]!r} is before all that could be recorded") from None


def format_time(time: datetime) -> str:
    """An ISO 8601 time in UTC with `Z`; whole seconds have no fraction."""
    return time.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"
