"""Generated candles for speed figures: seeded walks of thin coins whose volatility comes in bursts, prices on ticks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

MINUTE_MS = 60_000
BEGIN_MS = 1_735_689_600_000  # 2025-01-01 00:00 UTC


def generated(symbols: int, days: int, seed: int = 1) -> dict[str, NDArray[np.float64]]:
    """Return `days` of 1m candles of `symbols` coins, Jesse's column order, no hole."""
    return {f"C{number:03d}-USDT": coin(days * 1440, seed * 1000 + number) for number in range(symbols)}


def coin(minutes: int, seed: int) -> NDArray[np.float64]:
    """Return one coin's candles."""
    rng = np.random.default_rng(seed)
    rows = np.empty((minutes, 6))
    rows[:, 0] = BEGIN_MS + np.arange(minutes) * MINUTE_MS
    hours = -(-minutes // 60)
    burst = np.repeat(np.exp(rng.normal(0, 0.6, hours)), 60)[:minutes]
    step = rng.normal(0, 0.0007, minutes) * burst
    price = np.exp(np.cumsum(step - step.mean())) * 10 ** rng.uniform(-2, 1)
    tick = 10 ** np.floor(np.log10(price[0]) - 3)
    rows[:, 2] = price
    rows[0, 1], rows[1:, 1] = price[0], price[:-1]
    span = 0.0006 * burst * rng.random(minutes)
    rows[:, 3] = np.maximum(rows[:, 1], rows[:, 2]) * (1 + span)
    rows[:, 4] = np.minimum(rows[:, 1], rows[:, 2]) * (1 - span)
    for column in (1, 2, 3, 4):
        np.round(rows[:, column] / tick, out=rows[:, column])
        rows[:, column] *= tick
    rows[:, 5] = np.round(rng.lognormal(0, 1, minutes) * burst * 600 / price, 1)
    return rows
