"""The kernel against the plain reference, on generated candles with holes, late listings, ticks that make ties, and limits
that bind: the same trades to the last float, the same cash, the same refusals."""

from __future__ import annotations

import importlib.util
import random
import sys
from pathlib import Path

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks.grid_jesse import first_difference
from benchmarks.grid_settings import random_settings
from sigil_ext.bridge.replay import shares_one_clock
from sigil_ext.research.kernel import KernelMarket, run_cells
from sigil_ext.settings.models import TIMEFRAME_MINUTES
from sigil_ext.settings.overlays import load_variant

spec = importlib.util.spec_from_file_location("kernel_reference", Path(__file__).with_name("reference.py"))
assert spec is not None
assert spec.loader is not None
reference = sys.modules.setdefault(spec.name, importlib.util.module_from_spec(spec))
spec.loader.exec_module(reference)

MINUTE = 60_000
MONDAY = 1_750_118_400_000  # 2025-06-17 00:00 UTC


def market(seed: int, symbols: int, minutes: int, begin: int) -> dict[str, np.ndarray]:
    """Candles of thin coins: prices on coarse ticks, minutes without a trade, holes, a symbol that is listed late."""
    rng = np.random.default_rng(seed)
    whole = rng.random() < 0.3
    candles = {}
    for number in range(symbols):
        tick = rng.choice([0.0005, 0.002, 0.01])
        close = np.exp(np.cumsum(rng.normal(0, rng.choice([0.0005, 0.003]), minutes)))
        opened = np.r_[close[0], close[:-1]] * np.exp(rng.normal(0, 0.001, minutes) * (rng.random(minutes) < 0.1))
        high = np.maximum(opened, close) * (1 + 0.001 * rng.random(minutes))
        low = np.minimum(opened, close) * (1 - 0.001 * rng.random(minutes))
        prices = [np.maximum(np.round(p / tick), 1) * tick for p in (opened, close, high, low)]
        volume = np.where(rng.random(minutes) < 0.1, 0.0, np.round(rng.lognormal(8, 1, minutes), 2))
        rows = np.column_stack([begin + np.arange(minutes) * MINUTE, *prices, volume]).astype(np.float64)
        if not whole:
            present = rng.random(minutes) >= rng.choice([0.0, 0.02, 0.3])
            present[: rng.integers(0, minutes // 2) if rng.random() < 0.3 else 0] = False
            hole = rng.integers(0, minutes)
            present[hole : hole + rng.integers(0, 60)] = False
            present[-1] = present[-1] or number == 0
            rows = rows[present]
        candles[f"C{number}-USDT"] = rows if len(rows) else np.zeros((0, 6))
    return {s: r for s, r in candles.items() if len(r)}


def tiny(rng: random.Random) -> list[str]:
    """Random settings, on bars so short that hours of candles are enough."""
    values = random_settings(rng)
    signal = rng.choice(["1m", "3m", "5m"])
    values |= {
        "signal_timeframe": signal, "atr_timeframe": rng.choice([signal, "15m"]),
        "universe.every": f"{TIMEFRAME_MINUTES[signal] * rng.choice([1, 4, 20])}m", "universe.min_age": "1m",
        "entry.breakout_lookback": str(rng.choice([1, 2, 5])), "entry.rsi_min": "0", "entry.rsi_max": "100",
        "entry.volume_factor": rng.choice(["0", "1"]), "flat.after": rng.choice(["1m", "17m", "90m"]),
        "hard_stop.floor_pct": "0.1", "hard_stop.cap_pct": rng.choice(["0.1", "0.4", "3"]),
        "universe.min_quote_volume_usd": "0", "universe.min_atr_pct": "0", "universe.max_tick_pct": "100",
        "universe.max_price": "0", "universe.max_zero_volume_pct": rng.choice(["100", "10"]),
        "ban.base_hours": "0.1", "ban.max_hours": "0.7", "ban.window": rng.choice(["30m", "2h"]),
        "guard.cooldown_hours": rng.choice(["0", "0.05", "0.5"]),
    }  # fmt: skip
    return [f"{key}={value}" for key, value in values.items()]


@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.integers(60, 240), st.sampled_from([0, 7, 23 * 60]))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_the_kernel_makes_the_trades_of_the_plain_reference(seed, symbols, minutes, offset):
    candles = market(seed, symbols, minutes, MONDAY + offset * MINUTE)
    rng = random.Random(seed)
    runs = [load_variant("unhinged", tiny(rng)).settings for _ in range(3)]
    start = MONDAY + offset * MINUTE + rng.choice([0, 0, 30]) * MINUTE
    finish = MONDAY + (offset + minutes) * MINUTE
    if not any(rows[-1, 0] >= start for rows in candles.values()):
        return
    made = run_cells(KernelMarket.of(candles, start, finish), runs, workers=1)
    for variant, ours in zip(runs, made, strict=True):
        one_clock = shares_one_clock(candles, start, max(variant.signal_minutes, variant.atr_minutes))
        theirs = reference.Run(variant, candles, start, one_clock).result()
        assert first_difference(ours, theirs) is None
