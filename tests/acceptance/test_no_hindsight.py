"""Nothing before an instant may depend on a candle after it: the future is changed and the past must stay."""

from __future__ import annotations

import numpy as np
import pytest

from sigil_ext.settings.overlays import load_variant

DAY = 86_400_000


def past(run, until_ms):
    """What a run did up to `until_ms`, without the figures that look ahead by design (the 24 hours after an exit)."""
    trades = [
        (t.symbol, t.opened_at_ms, t.closed_at_ms, t.entry_price, t.exit_price, t.qty, t.pnl_usd, t.exit_reason,
         t.stop_price, t.universe_id)
        for t in run.record.trades if t.closed_at_ms <= until_ms
    ]  # fmt: skip
    # A position that legacy adds to later has another average by its end: what was filled by then is what counts.
    filled = sorted(
        (fill.symbol, fill.at_ms, fill.side, fill.qty, fill.price, t.atr_at_entry, t.stop_pct, t.universe_id)
        for t in run.record.trades
        for fill in t.fills
        if fill.at_ms <= until_ms
    )
    refused = [r for r in run.record.refused_signals if r["at_ms"] <= until_ms]
    scans = [scan for scan in run.record.scan_log if scan[0] <= until_ms]
    equity = run.equity[run.equity_times_ms <= until_ms].tolist()
    return trades, filled, refused, scans, equity


@pytest.mark.parametrize("hours_into_the_third_day", [0, 7])
def test_a_different_future_changes_nothing_before_it(sample_lab, sample_runs, hours_into_the_third_day):
    until = sample_lab.start_ms + 2 * DAY + hours_into_the_third_day * 3_600_000
    rng = np.random.default_rng(7)
    changed = {}
    for symbol, rows in sample_lab.candles.items():
        other = rows.copy()
        future = other[:, 0] >= until
        other[future, 1:5] *= np.exp(np.cumsum(rng.normal(0, 0.004, future.sum())))[:, None]
        other[future, 5] *= rng.lognormal(0, 2, future.sum())
        changed[symbol] = other
    runs = sample_lab.run([sample_lab.request(load_variant(v), changed=changed) for v in ("unhinged", "legacy")])
    for run in runs:
        before = past(sample_runs[run.label], until)
        assert past(run, until) == before
        assert before[1], "the past must hold entries for this to mean anything"
        assert past(run, sample_lab.finish_ms) != past(sample_runs[run.label], sample_lab.finish_ms)


def test_a_run_that_ends_earlier_saw_the_same_market(sample_lab, sample_runs):
    until = sample_lab.start_ms + 3 * DAY
    cut = {symbol: rows[rows[:, 0] < until] for symbol, rows in sample_lab.candles.items()}
    (run,) = sample_lab.run([sample_lab.request(load_variant("unhinged"), changed=cut, finish_ms=until)])
    trades, filled, refused, scans, _ = past(run, until - 1)
    expected = past(sample_runs["unhinged"], until - 1)
    assert (trades, filled, refused, scans) == expected[:4]
    assert scans
