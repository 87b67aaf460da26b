from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calipso.errors import Invalid
from calipso.moments import format_time, parse_bound, parse_moment

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-11-20T14:03:00Z", datetime(2026, 11, 20, 14, 3, tzinfo=UTC)),
        (" 2026-11-20T15:03:00+01:00 ", datetime(2026, 11, 20, 14, 3, tzinfo=UTC)),
        ("2026-11-25T12:00:00Z", NOW),
        ("0001-01-01T00:00:00Z", datetime(1, 1, 1, tzinfo=UTC)),
    ],
)
def test_a_moment(text: str, moment: datetime) -> None:
    assert parse_moment(text, "at", now=NOW) == moment


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("yesterday", "is not a time such as 2026-11-20T14:03:00Z"),
        ("", "is not a time"),
        ("2026-11-20T14:03:00 01:00", "in an address, \\+ is %2B"),
        ("2026-11-20T14:03:00", "has no time zone"),
        ("2026-11-20", "has no time zone"),
        ("2026-11-25T12:00:01Z", "lies in the future"),
        ("9999-12-31T23:59:59-01:00", "lies in the future"),
        ("0001-01-01T00:00:00+01:00", "before all that could be recorded"),
    ],
)
def test_what_is_no_moment(text: str, reason: str) -> None:
    with pytest.raises(Invalid, match=f"at: .*{reason}"):
        parse_moment(text, "at", now=NOW)


def test_a_bound_may_be_a_date_and_may_be_missing() -> None:
    assert parse_bound("2026-11-20", "since", now=NOW) == datetime(2026, 11, 20, tzinfo=UTC)
    assert parse_bound("2026-11-20T14:03:00Z", "since", now=NOW) == datetime(2026, 11, 20, 14, 3, tzinfo=UTC)
    assert parse_bound(" ", "since", now=NOW) is None
    with pytest.raises(Invalid, match=r"since: .*lies in the future"):
        parse_bound("2026-11-26", "since", now=NOW)
    with pytest.raises(Invalid, match=r"since: .*has no time zone"):
        parse_bound("2026-11-20T14:03", "since", now=NOW)


def test_times_are_utc_with_z_and_whole_seconds_have_no_fraction() -> None:
    summer = timezone(timedelta(hours=2))
    assert format_time(datetime(2026, 11, 23, 9, 42, 58, 79201, tzinfo=summer)) == "2026-11-23T07:42:58.079201Z"
    assert format_time(datetime(2026, 11, 23, 7, 42, 58, tzinfo=UTC)) == "2026-11-23T07:42:58Z"


@given(
    st.datetimes(min_value=datetime(1970, 1, 2), max_value=datetime(2200, 1, 1)),  # noqa: DTZ001 - zoned below
    st.integers(-12, 12),
)
def test_times_name_the_same_moment(moment: datetime, hours: int) -> None:
    zoned = moment.replace(tzinfo=timezone(timedelta(hours=hours)))
    text = format_time(zoned)
    assert text.endswith("Z")
    assert datetime.fromisoformat(text) == zoned
