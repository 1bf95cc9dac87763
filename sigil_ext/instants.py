"""Instants: milliseconds since 1970, as candles and records count them, as aware times and as people read them. Pure."""

from __future__ import annotations

from datetime import UTC, datetime


def utc(ms: float) -> datetime:
    """Return milliseconds since 1970 as an aware time."""
    return datetime.fromtimestamp(ms / 1000, UTC)


def clock(ms: float) -> str:
    """Return milliseconds since 1970 as messages show them, in UTC: 2026-01-05 12:00."""
    return f"{utc(ms):%Y-%m-%d %H:%M}"
