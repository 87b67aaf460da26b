"""Column types of read models; what PostgreSQL cannot hold must not stop a projection."""

from datetime import UTC, datetime

from sqlalchemy import BigInteger, DateTime, Dialect, Text
from sqlalchemy.types import TypeDecorator

_LEAST, _GREATEST = -(2**63), 2**63 - 1


class PlainText(TypeDecorator[str]):
    """Text; characters that PostgreSQL refuses (NUL, halves of surrogate pairs) are stored as replacements."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """The text as PostgreSQL takes it."""
        del dialect
        return value if value is None else value.replace("\0", "\ufffd").encode(errors="replace").decode()


class Whole(TypeDecorator[int]):
    """A whole number; one that 64 bits cannot hold is stored, and asked for, as the nearest that they can."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: int | None, dialect: Dialect) -> int | None:
        """The number as PostgreSQL takes it."""
        del dialect
        return value if value is None else min(max(value, _LEAST), _GREATEST)


class Moment(TypeDecorator[datetime]):
    """A `timestamptz` that is read in UTC, whatever zone the server is set to."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """The time in UTC."""
        del dialect
        return value if value is None else value.astimezone(UTC)
