"""Instants."""

from __future__ import annotations

from datetime import UTC, datetime

from sigil_ext.instants import clock, utc

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)


def test_milliseconds_come_back_as_the_aware_time_they_were():
    at = NOON.replace(microsecond=250_000)
    assert utc(at.timestamp() * 1000) == at
    assert utc(at.timestamp() * 1000).tzinfo is UTC


def test_people_read_the_minute_that_has_begun():
    assert clock(NOON.timestamp() * 1000 + 59_999) == "2026-01-05 12:00"
