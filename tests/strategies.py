"""Hypothesis strategies that several tests share."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

prices = st.floats(1e-6, 1e5, allow_nan=False, allow_infinity=False)
percents = st.floats(0.1, 50.0)


@st.composite
def bars(draw: st.DrawFn, min_size: int = 1, max_size: int = 60) -> np.ndarray:
    """Possible bars of a random walk, one minute apart, in Jesse's column order."""
    n = draw(st.integers(min_size, max_size))
    seed = draw(st.integers(0, 2**32 - 1))
    flat = draw(st.booleans())
    return walk(seed, n, 0.0 if flat and draw(st.booleans()) else 0.01)


def walk(seed: int, n: int, volatility: float = 0.01) -> np.ndarray:
    """A seeded random walk of `n` bars."""
    rng = np.random.default_rng(seed)
    close = 10 * np.exp(np.cumsum(rng.normal(0, 1, n) * volatility))
    opened = np.r_[10.0, close[:-1]]
    high = np.maximum(opened, close) * (1 + np.abs(rng.normal(0, 1, n)) * volatility / 2)
    low = np.minimum(opened, close) * (1 - np.abs(rng.normal(0, 1, n)) * volatility / 2)
    volume = rng.lognormal(0, 1, n)
    return np.column_stack([np.arange(n) * 60_000.0, opened, close, high, low, volume])
