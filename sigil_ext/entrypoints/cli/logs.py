"""Logs of what runs for long: one JSON object a line on stderr, or plain lines above the status on a terminal.

Start at `configure`.
"""

from __future__ import annotations

import logging
import sys
from typing import Any

import structlog
from rich.console import Console
from rich.markup import escape


def configure(console: Console) -> None:
    """Send structured logs, and the warnings of libraries, to `console` (stderr)."""
    if console.is_terminal:
        last: Any = _Lines(console)
    else:
        last = structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            last,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr) if not console.is_terminal else _Console(console),
    )
    logging.basicConfig(level=logging.WARNING, handlers=[Passing()], force=True)


class _Lines:
    """Renders an event as one line of markup."""

    _STYLES = {"warning": "yellow", "error": "red", "critical": "red"}  # noqa: RUF012

    def __init__(self, console: Console) -> None:
        self._console = console

    def __call__(self, logger: Any, method: str, event: Any) -> str:
        fields = {k: v for k, v in event.items() if k not in ("event", "level", "timestamp") and v is not None}
        text = escape(
            f"{event['timestamp'][11:19]} {event['event']}: " + ", ".join(f"{k} {v}" for k, v in fields.items())
        )
        style = self._STYLES.get(event["level"])
        return f"[{style}]{text}[/]" if style else text


class _Console:
    """A logger that prints through rich, so that a status line below stays whole."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def __call__(self, *args: Any) -> _Console:
        return self

    def msg(self, message: str) -> None:
        self._console.print(message, highlight=False)

    log = debug = info = warn = warning = error = critical = fatal = exception = failure = msg


class Passing(logging.Handler):
    """Passes what libraries log on to structlog."""

    def emit(self, record: logging.LogRecord) -> None:
        message = record.getMessage()
        if record.exc_info:
            message += f" ({record.exc_info[1]!r})"
        structlog.get_logger(record.name).log(record.levelno, message[:1000], logger=record.name)
