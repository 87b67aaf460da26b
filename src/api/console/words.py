"""Times, sizes and numbers as people read them on a page; times are in UTC and say so."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

_GIB = 2**30
_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))
_SHORT = timedelta(seconds=10)
_LARGE = 10


def moment(time: datetime | None) -> str:
    """A time in UTC to the second, as `2026-11-20 14:03:07Z`; empty for none."""
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M:%SZ}" if time else ""


def iso(time: datetime) -> str:
    """A time as machines, addresses and forms have it, to the microsecond."""
    return time.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"


def duration(length: timedelta) -> str:
    """A length of time in its two largest units: `2 d 3 h`, `4 min 10 s`, `1.25 s`."""
    if length < _SHORT:
        return f"{length.total_seconds():.2f} s"
    left, found = int(length.total_seconds()), list[str]()
    for seconds, unit in _UNITS:
        count, left = divmod(left, seconds)
        if count or found:
            found.append(f"{count} {unit}")
    return " ".join(part for part in found[:2] if not part.startswith("0 "))


def size(number: int) -> str:
    """A number of bytes in GiB, in MiB when it is less than one."""
    return f"{number / _GIB:g} GiB" if number >= _GIB or not number else f"{number / 2**20:g} MiB"


def cpus(millicores: int) -> str:
    """A number of processors."""
    return f"{millicores / 1000:g} CPU"


def hours(number: float) -> str:
    """A number of hours, or of hours times something: of small ones more digits."""
    return f"{number:,.1f}" if number >= _LARGE or not number else f"{number:.3g}"


FILTERS: Mapping[str, Callable[[Any], str]] = {
    "moment": moment,
    "iso": iso,
    "duration": duration,
    "size": size,
    "cpus": cpus,
    "hours": hours,
}
