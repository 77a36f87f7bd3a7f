"""Logs on stderr: a JSON object a line where a program reads them, plain lines on a terminal."""

import importlib
import logging
import sys
from typing import Any


def _import_structlog() -> Any:
    """It imports rich wherever that is installed, for tracebacks in colour: time of a start, and nothing that we show."""
    if "rich" in sys.modules:
        return importlib.import_module("structlog")
    sys.modules["rich"] = None  # type: ignore[assignment]  # how Python is told that a module isn't there
    try:
        return importlib.import_module("structlog")
    finally:
        del sys.modules["rich"]


structlog = _import_structlog()


class _Stderr:
    """`sys.stderr` of the moment: a progress bar puts itself in between."""

    def write(self, text: str) -> None:
        sys.stderr.write(text)

    def flush(self) -> None:
        sys.stderr.flush()


def configure_logs(level: int = logging.INFO) -> None:
    """`level`: the least that is said."""
    on_terminal = sys.stderr.isatty()
    renderer: Any = (
        structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)
        if on_terminal
        else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="%H:%M:%S" if on_terminal else "iso", utc=not on_terminal),
            *([] if on_terminal else [structlog.processors.format_exc_info]),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(_Stderr()),
        cache_logger_on_first_use=False,
    )
