"""Every key of the overlays does something: it is changed, a backtest is run, and something must come out otherwise."""

from __future__ import annotations

import pytest

from sigil_ext.settings.overlays import KEY_PATHS, load_variant

# key -> (another value, what else must be set for the key to matter). Everything else is the unhinged variant.
CHANGES: dict[str, tuple[str, list[str]]] = {
    "signal_timeframe": ("30m", []),
    "atr_timeframe": ("2h", []),
    "entry.breakout_lookback": ("25", []),
    "entry.volume_factor": ("3.0", []),
    "entry.volume_lookback": ("30", []),
    "entry.rsi_min": ("60", []),
    "entry.rsi_max": ("70", []),
    "hard_stop.multiplier": ("1.5", []),
    "hard_stop.floor_pct": ("3.5", []),
    "hard_stop.cap_pct": ("4.0", []),
    "trail.activation_atr": ("2.0", []),
    "trail.multiplier": ("2.5", []),
    "flat.after": ("4h", []),
    "flat.max_move_pct": ("0.5", []),
    "sizing.starting_balance": ("120", []),
    "sizing.risk_per_trade_usd": ("1.0", []),
    "sizing.max_position_usd": ("80", []),
    "sizing.position_pct": ("3.0", ["sizing.risk_per_trade_usd=0"]),
    "sizing.min_notional_usd": ("40", ["sizing.risk_per_trade_usd=1.5"]),
    "guard.cooldown_hours": ("24", []),
    "guard.cooldown_from": ("close", []),
    "guard.one_position_per_symbol": ("false", ["guard.cooldown_hours=0"]),
    "guard.max_open_positions": ("1", []),
    "guard.max_gap": ("2m", []),
    "ban.after": ("1", []),
    "ban.window": ("1h", []),
    "ban.base_hours": ("2", ["ban.after=1"]),
    "ban.max_hours": ("1", ["ban.after=1", "ban.base_hours=1", "ban.max_hours=72"]),
    "universe.size": ("2", []),
    "universe.every": ("12h", ["universe.size=3"]),
    "universe.min_quote_volume_usd": ("9000000", []),
    "universe.max_quote_volume_usd": ("9000000", []),
    "universe.min_atr_pct": ("1.8", []),
    "universe.max_atr_pct": ("1.5", []),
    "universe.min_age": ("3d", []),
    "universe.min_price": ("0.01", []),
    "universe.max_price": ("0.01", []),
    "universe.max_tick_pct": ("0.02", []),
    "universe.max_zero_volume_pct": ("0.0", []),
    "universe.score.atr": ("0", ["universe.size=3"]),
    "universe.score.volume": ("5", ["universe.size=3"]),
    "universe.score.change": ("5", ["universe.size=3"]),
    "breaker.daily_loss_pct": ("0.5", []),
    "breaker.max_drawdown_pct": ("1.0", []),
    "breaker.consecutive_losses": ("2", []),
    "costs.fee_pct": ("0.2", []),
    "costs.slippage_pct": ("0.0", []),
}


def outcome(run):
    return (
        [
            (t.symbol, t.opened_at_ms, t.closed_at_ms, t.entry_price, t.exit_price, t.qty, t.pnl_usd, t.exit_reason)
            for t in run.record.trades
        ],
        dict(run.record.signals_refused),
        dict(run.record.bars_refused),
    )


def test_the_list_names_every_key_and_no_other():
    assert sorted(CHANGES) == sorted(KEY_PATHS)


# Keys that matter only where minutes are absent: run on candles that lack four minutes every six hours.
ABOUT_HOLES = {"guard.max_gap"}


def changed_by(key: str) -> tuple[str, ...]:
    value, context = CHANGES[key]
    return (*[c for c in context if not c.startswith(f"{key}=")], f"{key}={value}")


@pytest.fixture(scope="module")
def outcomes(sample_lab):
    """Every change beside its own base, all in one go: (overrides, with holes) -> what came out."""
    holed = {}
    for symbol, rows in sample_lab.candles.items():
        since_start = rows[:, 0] - sample_lab.start_ms
        holed[symbol] = rows[(since_start % (6 * 3_600_000) < 600_000) | (since_start % (6 * 3_600_000) >= 840_000)]
    wanted: dict[tuple[tuple[str, ...], bool], None] = {}
    for key, (_, context) in CHANGES.items():
        wanted[tuple(context), key in ABOUT_HOLES] = None
        wanted[changed_by(key), key in ABOUT_HOLES] = None
    requests = [
        sample_lab.request(load_variant("unhinged", list(overrides)), changed=holed if holes else None)
        for overrides, holes in wanted
    ]
    return dict(zip(wanted, (outcome(run) for run in sample_lab.run(requests)), strict=True))


@pytest.mark.slow
@pytest.mark.timeout(1200)  # the first one waits for some sixty runs
@pytest.mark.parametrize("key", CHANGES)
def test_changing_the_key_changes_the_run(key, outcomes):
    value, context = CHANGES[key]
    base, other = outcomes[tuple(context), key in ABOUT_HOLES], outcomes[changed_by(key), key in ABOUT_HOLES]
    assert base[0], "the run to compare with must hold trades"
    assert other != base, f"{key} = {value} changed nothing"
