"""How processes log: one line per event on standard error, with its fields, and without secrets."""

import logging
import sys
from types import TracebackType

import structlog

from calipso.secrecy import hide


def configure(level: str) -> None:
    """Set the process' logging up.

    Args:
        level: debug, info, warning or error.
    """
    number = getattr(logging, level.upper())
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Hiding("%(levelname)s %(name)s %(message)s"))
    logging.basicConfig(level=max(number, logging.WARNING), handlers=[handler])
    sys.excepthook = _tell_end
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            # plain tracebacks: others show local variables, which may hold passwords and keys
            structlog.processors.format_exc_info,
            _without_secrets,
            structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
            if sys.stderr.isatty()
            else structlog.processors.LogfmtRenderer(key_order=["timestamp", "level", "event"], bool_as_flag=False),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
    )


class _Hiding(logging.Formatter):
    """What libraries log, without secrets; tracebacks too."""

    def format(self, record: logging.LogRecord) -> str:
        return hide(super().format(record))


def _without_secrets(_: object, __: str, event: structlog.types.EventDict) -> structlog.types.EventDict:
    # before the fields are rendered: quoting would change the texts that are looked for
    return {
        name: value if value is None or isinstance(value, bool | int | float) else hide(str(value))
        for name, value in event.items()
    }


def _tell_end(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Tell of the error that ends the process, as Python does, without secrets."""
    formatted = logging.Formatter().formatException((kind, error, trace))
    print(hide(formatted), file=sys.stderr)  # noqa: T201 - where Python prints it
