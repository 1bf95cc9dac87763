"""A made-up market for load: as many coins as wanted, the same for the same seed. Start at `candles`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

START_MS = 1_750_032_000_000  # 2025-06-16 00:00 UTC, a boundary of every timeframe
MINUTE_MS = 60_000


def names(count: int) -> list[str]:
    """Return the names of `count` coins, as Jesse writes symbols."""
    return [f"C{number:03d}-USDT" for number in range(count)]


def candles(count: int, minutes: int, seed: int = 1) -> dict[str, NDArray[np.float64]]:
    """Return per symbol an array (minutes, 6) in Jesse's column order: walks with a common part, hours of calm and of storm.

    Hourly ATRs come out at one to three percent of price and daily volume at some million USD, so the variants' filters let
    most coins pass and their rules find entries.
    """
    rng = np.random.default_rng(seed)
    times = START_MS + MINUTE_MS * np.arange(minutes, dtype=np.float64)
    hours = minutes // 60 + 1
    common = rng.normal(0, 0.0004, minutes)
    market: dict[str, NDArray[np.float64]] = {}
    for symbol in names(count):
        mood = np.repeat(rng.lognormal(0, 0.5, hours), 60)[:minutes]
        steps = common + rng.normal(0, 0.0013, minutes) * mood
        close = np.round(rng.uniform(0.05, 5.0) * np.exp(np.cumsum(steps)), 6)
        open_ = np.concatenate((close[:1], close[:-1]))
        wick = np.abs(rng.normal(0, 0.0006, (2, minutes))) * mood
        high = np.round(np.maximum(open_, close) * (1 + wick[0]), 6)
        low = np.round(np.minimum(open_, close) * (1 - wick[1]), 6)
        volume = rng.lognormal(np.log(3000), 0.6, minutes) * (1 + 400 * np.abs(steps)) / close
        market[symbol] = np.column_stack((times, open_, close, high, low, volume))
    return market


def write(folder: Path, market: dict[str, NDArray[np.float64]]) -> None:
    """Write a folder of candle files as `sigil --candles` reads them."""
    import pandas as pd

    folder.mkdir(parents=True, exist_ok=True)
    for symbol, rows in market.items():
        frame = pd.DataFrame(
            rows[:, [0, 1, 3, 4, 2, 5]], columns=["timestamp", "open", "high", "low", "close", "volume"]
        )
        frame["timestamp"] = frame["timestamp"].astype("int64")
        frame.to_parquet(folder / f"{symbol.replace('-', '')}-1m.parquet", index=False)
