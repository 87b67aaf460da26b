"""Column types of read models; what PostgreSQL cannot hold must not stop a projection."""

from datetime import UTC, datetime

from sqlalchemy import DateTime, Dialect, Text
from sqlalchemy.types import TypeDecorator


class PlainText(TypeDecorator[str]):
    """Text; characters that PostgreSQL refuses (NUL, halves of surrogate pairs) are stored as replacements."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """The text as PostgreSQL takes it."""
        del dialect
        return value if value is None else value.replace("\0", "\ufffd").encode(errors="replace").decode()


class Moment(TypeDecorator[datetime]):
    """A `timestamptz` that is read in UTC, whatever zone the server is set to."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """The time in UTC."""
        del dialect
        return value if value is None else value.astimezone(UTC)
