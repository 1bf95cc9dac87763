"""Random settings over every key of the overlays, loose enough that a few days of candles bring trades."""

from __future__ import annotations

import random

from sigil_ext.settings.models import TIMEFRAME_MINUTES
from sigil_ext.settings.overlays import KEY_PATHS, Variant, load_variant

SIGNALS = ("1m", "3m", "5m", "15m", "15m", "15m", "30m", "45m", "1h", "2h")
LONGER = ("5m", "15m", "30m", "45m", "1h", "1h", "2h", "3h", "4h", "6h", "1D")
WIDE_OPEN: dict[str, object] = {
    "universe.min_quote_volume_usd": 0.0, "universe.max_quote_volume_usd": 0.0, "universe.min_atr_pct": 0.0,
    "universe.max_atr_pct": 100.0, "universe.min_age": "1m", "universe.min_price": 0.0, "universe.max_price": 0.0,
    "universe.max_tick_pct": 100.0, "universe.max_zero_volume_pct": 100.0, "guard.max_gap": "60m",
}  # fmt: skip


def random_settings(rng: random.Random) -> dict[str, str]:
    """Return a value for every key; together they are allowed."""
    signal = rng.choice(SIGNALS)
    minutes = TIMEFRAME_MINUTES[signal]
    atr = rng.choice([t for t in (signal, *LONGER) if TIMEFRAME_MINUTES[t] % minutes == 0])
    rsi = sorted(rng.uniform(*rng.choice([(0, 100), (30, 95), (45, 85)])) for _ in range(2))
    floor = rng.choice([0.1, 0.3, 0.8, 1.5, 3.0, rng.uniform(0.1, 4)])
    ban_base = rng.choice([0.1, 1.0, 6.0, 24.0, rng.uniform(0.1, 48)])
    largest = rng.choice([0.0, 0.0, 50.0, 200.0, rng.uniform(20, 2000)])
    values: dict[str, object] = {
        "signal_timeframe": signal,
        "atr_timeframe": atr,
        "entry.breakout_lookback": rng.choice([1, 2, 5, 10, 20, 40, rng.randint(1, 60)]),
        "entry.volume_factor": rng.choice([0.0, 0.8, 1.2, 2.0, rng.uniform(0, 3)]),
        "entry.volume_lookback": rng.choice([1, 5, 10, 20, rng.randint(1, 60)]),
        "entry.rsi_min": rsi[0] if rng.random() < 0.5 else 0.0,
        "entry.rsi_max": rsi[1] if rng.random() < 0.5 else 100.0,
        "hard_stop.multiplier": rng.choice([0.0, 0.5, 1.0, 1.5, 2.5, rng.uniform(0, 6)]),
        "hard_stop.floor_pct": floor,
        "hard_stop.cap_pct": rng.choice([floor, floor + 0.5, 6.0 if floor < 6 else floor, floor + rng.uniform(0, 20)]),
        "trail.activation_atr": rng.choice([0.0, 0.5, 1.0, 2.0, rng.uniform(0, 4)]),
        "trail.multiplier": rng.choice([0.1, 0.5, 1.0, 1.5, 3.0, rng.uniform(0.05, 5)]),
        "flat.after": rng.choice(["1m", "17m", "90m", "4h", "8h", "2d"]),
        "flat.max_move_pct": rng.choice([0.0, 0.5, 1.5, 5.0, rng.uniform(0, 10)]),
        "sizing.starting_balance": rng.choice([60.0, 120.0, 1000.0, 1000.0, rng.uniform(30, 5000)]),
        "sizing.risk_per_trade_usd": rng.choice([0.0, 0.0, 1.0, 5.0, 20.0, rng.uniform(0.1, 50)]),
        "sizing.max_position_usd": largest,
        "sizing.position_pct": rng.choice([3.0, 10.0, 40.0, 100.0, rng.uniform(1, 100)]),
        "sizing.min_notional_usd": min(rng.choice([0.01, 5.0, 15.0, 40.0]), largest or 40.0),
        "guard.cooldown_hours": rng.choice([0.0, 0.0, 0.1, 1.0, 6.0, rng.uniform(0, 30)]),
        "guard.cooldown_from": rng.choice(["open", "close"]),
        "guard.one_position_per_symbol": rng.choice(["true", "true", "false"]),
        "guard.max_open_positions": rng.choice([1, 2, 3, 5, 10, 1000]),
        "guard.max_gap": rng.choice(["1m", "3m", "5m", "15m", "60m", "2d"]),
        "ban.after": rng.choice([0, 1, 1, 2, 3]),
        "ban.window": rng.choice(["30m", "6h", "1d", "7d"]),
        "ban.base_hours": ban_base,
        "ban.max_hours": ban_base * rng.choice([1.0, 2.0, 7.0]),
        "universe.size": rng.choice([1, 2, 3, 5, 8, 20, 100]),
        "universe.every": f"{minutes * rng.choice([1, 2, 4, 4, 16, 96])}m",
        "universe.min_quote_volume_usd": rng.choice([0.0, 0.0, 1e4, 1e5, 10 ** rng.uniform(3, 7)]),
        "universe.max_quote_volume_usd": rng.choice([0.0, 0.0, 1e8, 10 ** rng.uniform(7, 9)]),
        "universe.min_atr_pct": rng.choice([0.0, 0.0, 0.05, 0.3, rng.uniform(0, 1)]),
        "universe.max_atr_pct": rng.choice([100.0, 10.0, 2.0, rng.uniform(1, 10)]),
        "universe.min_age": rng.choice(["1m", "1h", "1d", "3d"]),
        "universe.min_price": rng.choice([0.0, 0.0, 0.01]),
        "universe.max_price": rng.choice([0.0, 0.0, 0.0, 1.0, 50.0]),
        "universe.max_tick_pct": rng.choice([100.0, 1.0, 0.5, rng.uniform(0.02, 2)]),
        "universe.max_zero_volume_pct": rng.choice([100.0, 100.0, 20.0, rng.uniform(0, 50)]),
        "universe.score.atr": rng.choice([0.0, 1.0, rng.uniform(0, 3)]),
        "universe.score.volume": rng.choice([0.0, 1.0, rng.uniform(0, 3)]),
        "universe.score.change": rng.choice([0.0, 1.0, rng.uniform(0, 3)]),
        "breaker.daily_loss_pct": rng.choice([0.0, 0.0, 5.0, 10.0, rng.uniform(0.3, 10)]),
        "breaker.max_drawdown_pct": rng.choice([0.0, 0.0, 0.0, 10.0, rng.uniform(1, 20)]),
        "breaker.consecutive_losses": rng.choice([0, 0, 0, 5, 12]),
        "costs.fee_pct": rng.choice([0.0, 0.1, 0.075, rng.uniform(0, 0.5)]),
        "costs.slippage_pct": rng.choice([0.0, 0.05, rng.uniform(0, 0.3)]),
    }  # fmt: skip
    if rng.random() < 0.6:
        values |= WIDE_OPEN | {"universe.size": rng.choice([1, 3, 100])}
    if rng.random() < 0.6:
        values |= {"breaker.daily_loss_pct": 0.0, "breaker.max_drawdown_pct": 0.0, "breaker.consecutive_losses": 0}
    assert set(values) == set(KEY_PATHS), sorted(set(values) ^ set(KEY_PATHS))
    return {key: str(value) for key, value in values.items()}


def random_variant(rng: random.Random) -> Variant:
    """Return a variant with a random value for every key."""
    return load_variant("unhinged", [f"{key}={value}" for key, value in random_settings(rng).items()])
