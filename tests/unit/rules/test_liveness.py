"""When a variant is alive: silence, stuck work and clocks that were moved are found; a busy session is left alone."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sigil_ext.rules.liveness import Limits, clock_skew, findings, probe_gap

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)
LIMIT = timedelta(minutes=25)
MOMENT = timedelta(seconds=1)


@dataclass(frozen=True)
class Row:
    """A heartbeat of a session that is well: began long ago, scanned five minutes ago, wrote just now."""

    last_scan_start: datetime | None = NOW - timedelta(minutes=5, seconds=2)
    last_scan_end: datetime | None = NOW - timedelta(minutes=5)
    updated_at: datetime = NOW - timedelta(seconds=3)
    last_candle: datetime | None = NOW - timedelta(seconds=9)
    last_write: datetime | None = NOW - timedelta(seconds=3)
    feed: str | None = "exchange"
    state: str | None = "running"
    session_began: datetime | None = NOW - timedelta(days=3)


ALIVE = Row()


def kinds(row: Row | None) -> list[str]:
    return [f.kind for f in findings(row, NOW)]


def test_a_session_that_scans_and_processes_minutes_is_alive() -> None:
    assert kinds(ALIVE) == []


def test_no_row_at_all_is_a_session_that_was_never_started() -> None:
    assert kinds(None) == ["never_started"]


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"last_scan_end": NOW - LIMIT - MOMENT, "last_scan_start": NOW - LIMIT - 2 * MOMENT}, "scan_stale"),
        ({"last_scan_end": NOW - LIMIT - MOMENT, "last_scan_start": NOW - MOMENT}, "scan_stale"),
        ({"last_scan_start": NOW - LIMIT - MOMENT, "last_scan_end": NOW - LIMIT - 2 * MOMENT}, "scan_hung"),
        ({"last_scan_start": NOW - LIMIT - MOMENT, "last_scan_end": None}, "scan_hung"),
        ({"last_scan_start": NOW - MOMENT, "last_scan_end": None}, "scan_stale"),
        ({"last_scan_start": None, "last_scan_end": None}, "scan_stale"),
        ({"last_scan_start": None, "last_scan_end": None, "session_began": None}, "scan_stale"),
        ({"last_write": NOW - LIMIT - MOMENT}, "progress_stale"),
        ({"last_write": NOW - LIMIT - MOMENT, "feed": "replay"}, "progress_stale"),
        ({"last_write": None, "last_candle": None}, "progress_stale"),
        ({"last_candle": NOW - LIMIT - MOMENT}, "behind"),
        ({"last_candle": NOW - LIMIT - MOMENT, "feed": "redis"}, "behind"),
        ({"last_scan_end": NOW + timedelta(hours=1)}, "clock"),
        ({"last_scan_start": NOW + timedelta(hours=1)}, "clock"),
        ({"last_write": NOW + timedelta(hours=1)}, "clock"),
        ({"updated_at": NOW + timedelta(hours=1)}, "clock"),
        ({"last_candle": NOW + timedelta(hours=1)}, "clock"),
        ({"session_began": NOW + timedelta(hours=1)}, "clock"),
    ],
)
def test_each_way_to_be_stale_is_one_finding_that_trips(changes: dict[str, Any], kind: str) -> None:
    (finding,) = findings(replace(ALIVE, **changes), NOW)
    assert (finding.kind, finding.trips) == (kind, True)


@pytest.mark.parametrize(
    "changes",
    [
        {"last_scan_end": NOW - LIMIT, "last_scan_start": NOW - LIMIT - MOMENT},
        {"last_scan_start": NOW - LIMIT, "last_scan_end": NOW - LIMIT},
        {"last_write": NOW - LIMIT},
        {"last_candle": NOW - LIMIT},
        {"last_candle": datetime(2025, 2, 1, tzinfo=UTC), "feed": "replay"},
        {"last_candle": datetime(2027, 2, 1, tzinfo=UTC), "feed": "replay"},
        {"last_write": NOW + timedelta(seconds=5)},
        {"last_scan_start": NOW - LIMIT, "last_scan_end": None, "session_began": NOW - LIMIT},
        {"last_scan_start": NOW - LIMIT, "last_scan_end": None, "session_began": None},
        {"last_scan_start": None, "last_scan_end": None, "session_began": NOW - MOMENT},
        {"last_write": None, "last_candle": None, "session_began": NOW - LIMIT},
        {"last_candle": NOW - timedelta(hours=2), "session_began": NOW - LIMIT},
        {"state": "stopped"},
    ],
)
def test_what_is_only_young_or_busy_is_no_finding(changes: dict[str, Any]) -> None:
    assert kinds(replace(ALIVE, **changes)) == []


@pytest.mark.parametrize(("state", "words"), [("stopped", "stopped on purpose"), ("ended", "brought to its end")])
def test_a_session_stopped_on_purpose_is_called_that_and_is_a_finding_all_the_same(state: str, words: str) -> None:
    long_ago = NOW - timedelta(hours=2)
    row = Row(long_ago, long_ago, long_ago, long_ago, long_ago, "exchange", state)
    (finding,) = findings(row, NOW)
    assert finding.kind == "stopped"
    assert words in finding.detail
    assert "2026-01-05 10:00 UTC" in finding.detail


def test_a_killed_session_shows_in_its_scan_and_its_progress() -> None:
    row = replace(ALIVE, last_scan_end=NOW - timedelta(minutes=40), last_write=NOW - timedelta(minutes=30))
    assert kinds(row) == ["scan_stale", "progress_stale"]
    assert [f.detail for f in findings(row, NOW)] == [
        "the last scan ended 40 min ago",
        "the last minute was processed 30 min ago",
    ]


def test_the_earlier_bots_scanner_that_knows_no_progress_is_judged_by_its_scans_alone() -> None:
    fresh = Row(NOW - MOMENT, NOW - MOMENT, NOW - MOMENT, None, None, None, None, None)
    assert kinds(fresh) == []
    assert kinds(replace(fresh, last_scan_end=NOW - LIMIT - MOMENT)) == ["scan_stale"]


moments = st.none() | st.integers(-200_000, 200_000).map(lambda s: NOW + timedelta(seconds=s))
rows = st.builds(
    Row, moments, moments, moments.map(lambda m: m or NOW), moments, moments,
    st.sampled_from(["replay", "exchange", "redis", None]),
    st.sampled_from(["running", "stopped", "ended", None]), moments,
)  # fmt: skip


@given(rows)
def test_no_row_is_fine_without_a_scan_that_ended_or_a_beginning_in_the_last_25_minutes(row: Row) -> None:
    fresh = [row.last_scan_end] if row.last_scan_end else [row.session_began or row.last_scan_start]
    well = all(at is not None and at - NOW <= LIMIT and NOW - at <= LIMIT for at in fresh)
    assert findings(row, NOW) or well


@given(rows, st.timedeltas(timedelta(0), timedelta(days=30)))
def test_time_alone_makes_no_stale_variant_fresh(row: Row, later: timedelta) -> None:
    stale = [f for f in findings(row, NOW) if f.kind not in ("clock",)]
    if stale:
        assert findings(row, NOW + later)


@given(rows)
def test_whatever_lies_in_the_future_is_a_finding(row: Row) -> None:
    ahead = [row.last_scan_start, row.last_scan_end, row.last_write, row.updated_at, row.session_began]
    if any(at is not None and at - NOW > Limits().ahead for at in ahead):
        assert "clock" in kinds(row)


def test_clocks_of_two_machines_may_differ_by_two_minutes_and_trip_nothing_when_they_differ_more() -> None:
    assert clock_skew(NOW, NOW + timedelta(minutes=2)) is None
    ahead, behind = clock_skew(NOW + timedelta(hours=1), NOW), clock_skew(NOW - timedelta(hours=1), NOW)
    assert ahead is not None
    assert behind is not None
    assert "60 min ahead of" in ahead.detail
    assert "60 min behind" in behind.detail
    assert not ahead.trips
    assert not behind.trips


def test_a_probe_that_did_not_run_for_a_quarter_of_an_hour_says_so() -> None:
    assert probe_gap(None, NOW) is None
    assert probe_gap(NOW - timedelta(minutes=15), NOW) is None
    gap = probe_gap(NOW - timedelta(minutes=16), NOW)
    assert gap is not None
    assert gap.kind == "probe_gap"
    assert "the probe itself was not running" in gap.detail
    assert not gap.trips
