"""From the record of a paper period to what the gate judges: intervals, drift, how much was audited. Pure.

Start at `gather`, or without intervals `weigh`; the rule itself is `rules/graduation.py`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sigil_ext.research.backtest_stats import DAY_MS
from sigil_ext.research.comparison_figures import SEED, ComparedTrade, figures_of, win_rate_needed
from sigil_ext.rules.graduation import AuditFigures, DataFigures, Evidence, Interval

MINUTE_MS = 60_000
HOUR_MS = 3_600_000
FAULTS = (
    "late",
    "revised",
    "hole_left",
    "garbage",
)  # events of the feed after which a candle was not what it should be


@dataclass(frozen=True, slots=True)
class AuditSpan:
    """An audit: of which session, over what time (ms), what it counted, and its differences as they were stored."""

    number: int
    session: int
    since_ms: int
    until_ms: int
    matched: int
    differing: int
    unexplained: int
    differences: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True, slots=True)
class PaperRecord:
    """A period on paper as the database tells it; times in ms, `until_ms` exclusive, money in USD.

    Live minutes were processed as they happened. `downtime_trades` were entered or left on candles fetched afterwards.
    """

    since_ms: int
    until_ms: int
    trades: tuple[ComparedTrade, ...]
    downtime_trades: int
    marked_usd: float | None
    live_minutes: int
    first_live_ms: int | None
    last_live_ms: int | None
    longest_step_ms: int
    feed_events: Mapping[str, int]
    symbols: int
    audits: tuple[AuditSpan, ...]


def gather(record: PaperRecord, *, seed: int = SEED) -> tuple[Evidence, dict[str, Any]]:
    """Return what the rule judges, and the figures behind it for people (P&L before and after costs, intervals)."""
    figures = figures_of(record.trades, _daily(record), seed)
    evidence = weigh(record)
    rate = evidence.win_rate and _wider(_interval(figures["win_rate"]), _interval(figures["win_rate_by_day"]))
    return replace(evidence, pnl=_interval(figures["total"], figures["pnl_usd"]), win_rate=rate), figures


def weigh(record: PaperRecord) -> Evidence:
    """Return what the rule judges without intervals. The outcome is the same, how sure it is remains open.

    For who asks every few seconds: intervals take some thousand draws.
    """
    trades = record.trades
    minutes = max(1, (record.until_ms - record.since_ms) // MINUTE_MS)
    return Evidence(
        days=_live_days(record),
        trades=len(trades),
        pnl=Interval(math.fsum(t.pnl_usd for t in trades)),
        marked_usd=record.marked_usd,
        win_rate=Interval(sum(t.pnl_usd > 0 for t in trades) / len(trades)) if trades else None,
        win_rate_needed=win_rate_needed(trades),
        audits=_audit_figures(record),
        data=DataFigures(
            observed_share=min(1.0, record.live_minutes / minutes),
            longest_hole_hours=_longest_hole(record) / HOUR_MS,
            downtime_trades=record.downtime_trades,
            faulty=sum(record.feed_events.get(kind, 0) for kind in FAULTS),
            candles=record.live_minutes * record.symbols,
        ),
    )


def _live_days(record: PaperRecord) -> float:
    """Return the days from the first to the last minute seen live."""
    if record.first_live_ms is None or record.last_live_ms is None:
        return 0.0
    return (record.last_live_ms + MINUTE_MS - record.first_live_ms) / DAY_MS


def _longest_hole(record: PaperRecord) -> int:
    """Return the longest time without a live minute, in ms, before the first and after the last one included."""
    if record.first_live_ms is None or record.last_live_ms is None:
        return record.until_ms - record.since_ms
    return max(
        0,
        record.longest_step_ms - MINUTE_MS,
        record.first_live_ms - record.since_ms,
        record.until_ms - record.last_live_ms - MINUTE_MS,
    )


def _daily(record: PaperRecord) -> list[np.ndarray[Any, np.dtype[np.float64]]]:
    first, last = record.since_ms // DAY_MS, max(record.since_ms, record.until_ms - 1) // DAY_MS
    table = np.zeros((3, last - first + 1))
    for trade in record.trades:
        day = min(trade.closed_ms // DAY_MS, last) - first
        table[:, day] += (trade.pnl_usd, trade.pnl_usd > 0, 1)
    return list(table)


def _interval(estimate: Mapping[str, Any], value: float | None = None) -> Interval:
    found = estimate["value"] if value is None else value
    return Interval(math.nan if found is None else found, estimate["low"], estimate["high"])


def _wider(by_trade: Interval, by_day: Interval) -> Interval:
    """Return the rate with the wider of both intervals: where whole days are won or lost, trades are not independent."""
    if by_day.low is None or by_day.high is None or by_trade.low is None or by_trade.high is None:
        return by_trade
    return Interval(by_trade.value, min(by_trade.low, by_day.low), max(by_trade.high, by_day.high))


# --- audits -------------------------------------------------------------------------------------------------------


def _audit_figures(record: PaperRecord) -> AuditFigures:
    within = [a for a in record.audits if a.until_ms > record.since_ms and a.since_ms < record.until_ms]
    judged = list({a.session: a for a in sorted(within, key=lambda a: (a.until_ms - a.since_ms, a.number))}.values())
    return AuditFigures(
        matched=sum(a.matched for a in judged),
        differing=sum(a.differing for a in judged),
        failed=tuple(sorted(a.number for a in within if a.unexplained)),
        covered_share=_covered(within, record),
        drift_usd=math.fsum(_drift_usd(a, record.trades) for a in judged),
    )


def _covered(audits: Sequence[AuditSpan], record: PaperRecord) -> float:
    """Return the share of the period that some audit looked at."""
    covered, until = 0, record.since_ms
    for audit in sorted(audits, key=lambda a: a.since_ms):
        begin, end = max(audit.since_ms, until), min(audit.until_ms, record.until_ms)
        covered += max(0, end - begin)
        until = max(until, end)
    return covered / max(1, record.until_ms - record.since_ms)


def _drift_usd(audit: AuditSpan, trades: Sequence[ComparedTrade]) -> float:
    """Return by how much paper's P&L exceeds the backtest's in trades that differ; what only the backtest made is unknown."""
    ours = {(t.symbol, t.opened_ms): t.pnl_usd for t in trades}
    total = 0.0
    for difference in audit.differences:
        key = (str(difference["symbol"]), int(difference["opened_at_ms"]))
        if difference["kind"] == "paper_only":
            total += ours.get(key, 0.0)
        elif difference["kind"] == "differs" and "pnl_usd" in difference["fields"]:
            paper, backtest = difference["fields"]["pnl_usd"]
            total += (paper or 0.0) - (backtest or 0.0)
    return total
