"""Laws that hold for every run, whatever the settings: twelve drawn at random (seeded), on real candles, in Jesse's simulator."""

from __future__ import annotations

import math
import random

import pytest

from sigil_ext.settings.overlays import load_variant

HOUR = 3_600_000


def drawn(seed: int) -> list[str]:
    """Overrides within what an overlay may hold."""
    rng = random.Random(seed)
    floor = rng.choice([1.0, 2.0, 3.0, 5.0])
    rsi = sorted(rng.sample(range(0, 101, 5), 2))
    timeframe, larger = rng.choice([("5m", "1h"), ("15m", "1h"), ("15m", "15m"), ("30m", "2h"), ("1h", "4h")])
    risk = rng.choice([0, 1, 5, 50])
    return [
        f"signal_timeframe={timeframe}",
        f"atr_timeframe={larger}",
        f"entry.breakout_lookback={rng.choice([3, 10, 20, 40])}",
        f"entry.volume_factor={rng.choice([0, 1, 2])}",
        f"entry.rsi_min={rsi[0]}",
        f"entry.rsi_max={rsi[1]}",
        f"hard_stop.multiplier={rng.choice([0, 0.5, 1.5, 2.5, 10])}",
        f"hard_stop.floor_pct={floor}",
        f"hard_stop.cap_pct={floor * rng.choice([1, 1.5, 3])}",
        f"trail.activation_atr={rng.choice([0, 0.5, 1, 3])}",
        f"trail.multiplier={rng.choice([0.25, 1, 3])}",
        f"flat.after={rng.choice(['1h', '8h'])}",
        f"flat.max_move_pct={rng.choice([0, 1, 3])}",
        f"sizing.starting_balance={rng.choice([60, 300, 1000])}",
        f"sizing.risk_per_trade_usd={risk}",
        f"sizing.max_position_usd={rng.choice([0, 40, 200])}",
        f"sizing.position_pct={rng.choice([5, 40, 100])}",
        f"guard.cooldown_hours={rng.choice([0, 0.25, 6, 30])}",
        f"guard.max_open_positions={rng.choice([1, 3, 20])}",
        f"ban.after={rng.choice([0, 1, 2])}",
        f"universe.size={rng.choice([2, 6, 30])}",
        f"universe.every={rng.choice(['1h', '6h'])}",
        "universe.min_age=6h",
        f"costs.fee_pct={rng.choice([0, 0.1, 1])}",
        "breaker.daily_loss_pct=0",
    ]


@pytest.fixture(scope="module")
def runs(sample_lab):
    variants = [load_variant("unhinged", drawn(seed)) for seed in range(12)]
    return list(zip(variants, sample_lab.run([sample_lab.request(v) for v in variants]), strict=True))


@pytest.mark.slow
def test_the_draws_trade(runs):
    assert sum(len(run.record.trades) for _, run in runs) > 150


@pytest.mark.slow
def test_stops_lie_within_floor_and_cap_and_no_stop_ends_below_the_hard_stop(runs):
    for variant, run in runs:
        s = variant.settings.hard_stop
        for t in run.record.trades:
            assert s.floor_pct <= t.stop_pct <= s.cap_pct
            assert t.stop_price >= t.hard_stop_price
            assert t.high_water >= t.entry_price


@pytest.mark.slow
def test_no_trade_risks_or_costs_more_than_the_settings_allow(runs):
    for variant, run in runs:
        s = variant.settings.sizing
        for t in run.record.trades:
            assert not s.risk_per_trade_usd or t.risk_usd <= s.risk_per_trade_usd * (1 + 1e-12)
            assert not s.max_position_usd or t.notional_usd <= s.max_position_usd
            assert t.notional_usd >= s.min_notional_usd


@pytest.mark.slow
def test_a_symbol_has_one_open_position_and_rests_after_its_entry(runs):
    for variant, run in runs:
        cooldown_ms = variant.settings.guard.cooldown_hours * HOUR
        last: dict[str, object] = {}
        for t in sorted(run.record.trades, key=lambda t: t.opened_at_ms):
            if before := last.get(t.symbol):
                assert t.opened_at_ms >= before.closed_at_ms
                assert t.opened_at_ms >= before.opened_at_ms + cooldown_ms
            last[t.symbol] = t


@pytest.mark.slow
def test_no_more_positions_are_open_than_allowed(runs):
    for variant, run in runs:
        for t in run.record.trades:
            open_then = [o for o in run.record.trades if o.opened_at_ms <= t.opened_at_ms < o.closed_at_ms]
            assert len(open_then) <= variant.settings.guard.max_open_positions


@pytest.mark.slow
def test_cash_is_never_negative_and_every_cent_is_accounted_for(runs):
    for _, run in runs:
        assert run.cash.min() >= -1e-9
        gained = math.fsum(t.pnl_usd for t in run.record.trades)
        assert run.final_cash == pytest.approx(run.starting_balance + gained, abs=1e-6)
        assert run.equity[-1] == pytest.approx(run.final_cash, abs=1e-6)


@pytest.mark.slow
def test_only_symbols_of_the_last_scan_are_entered(runs):
    for _, run in runs:
        for t in run.record.trades:
            rows = dict(max((scan for scan in run.record.scan_log if scan[0] <= t.opened_at_ms), key=lambda s: s[0])[1])
            assert rows[t.symbol] in ("accepted", "held")


@pytest.mark.slow
def test_excursions_enclose_the_exit(runs):
    for _, run in runs:
        for t in run.record.trades:
            r = t.entry_price * t.stop_pct / 100
            assert t.mae_r >= max(0.0, (t.entry_price - t.exit_price) / r) - 1e-9
            assert t.mfe_r >= max(0.0, (t.exit_price - t.entry_price) / r) - 1e-9
