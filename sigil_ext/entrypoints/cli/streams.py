"""Standard output and error as commands need them: whole or an error, never a traceback for a letter. Start at `prepare`."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from typing import Any, TextIO


def prepare() -> None:
    """Make stdout and stderr safe to print to.

    One that is closed leads nowhere. One without a buffer (PYTHONUNBUFFERED) gets one: without it the part of a long text
    that no longer fits on a disk is lost without an error. A letter that its encoding lacks is printed as an escape.
    """
    sys.stdout, sys.stderr = _prepared(sys.stdout, 1), _prepared(sys.stderr, 2)


def is_utf8(stream: TextIO) -> bool:
    """Return whether every letter can be printed to `stream`."""
    return (stream.encoding or "").lower().replace("-", "").replace("_", "") == "utf8"


def flush() -> None:
    """Write out what is left. Raises OSError: it cannot be."""
    sys.stdout.flush()


def shown(text: str) -> str:
    """Return `text` with control characters as escapes: what comes from a row or a file must not steer the terminal."""
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text)


def is_broken() -> bool:
    """Return whether something could not be written to stdout."""
    return isinstance(sys.stdout, io.TextIOWrapper) and getattr(_raw(sys.stdout), "failed", False)


def silence() -> None:
    """Lead stdout nowhere from now on, so that nothing fails on it a second time when the process ends."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class _Watched(io.FileIO):
    """A file that remembers that it could not be written: whose error an OSError is cannot be told from it."""

    failed = False

    def write(self, data: Any) -> int | None:  # type: ignore[override]
        try:
            return super().write(data)
        except OSError:
            self.failed = True
            raise


def _raw(stream: io.TextIOWrapper) -> Any:
    return stream.buffer if isinstance(stream.buffer, io.RawIOBase) else getattr(stream.buffer, "raw", None)


def _prepared(stream: TextIO | None, number: int) -> TextIO:
    if stream is None:  # closed by whoever started us; its number must lead somewhere before a file is opened under it
        null = os.open(os.devnull, os.O_WRONLY)
        if null != number:
            os.dup2(null, number)
            os.close(null)
        return open(number, "w", encoding="utf-8", closefd=False)
    if not isinstance(stream, io.TextIOWrapper) or not isinstance(_raw(stream), io.FileIO):
        return stream  # a test's
    stream.flush()
    return io.TextIOWrapper(
        io.BufferedWriter(_Watched(stream.fileno(), "w", closefd=False)), encoding=stream.encoding,
        errors="backslashreplace", line_buffering=stream.line_buffering or isinstance(stream.buffer, io.RawIOBase),
    )  # fmt: skip
