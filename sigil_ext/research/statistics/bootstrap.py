"""Intervals by the stationary bootstrap: whole days are drawn in blocks of random length, so that days which hang
together stay together. Start at `bootstrap_mean`.

Source: D. N. Politis, J. P. Romano, The Stationary Bootstrap, JASA 89 (1994); block length: D. N. Politis, H. White,
Econometric Reviews 23 (2004), corrected by A. Patton, D. N. Politis, H. White (2009). Both as in the library `arch`.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from sigil_ext.research.statistics.estimate import Estimate, demand_share, is_constant, series, too_few, unknown
from sigil_ext.research.statistics.sharpe import sharpe_ratio

Floats = NDArray[np.float64]
Statistic = Callable[[Floats], Floats]

FEW_DAYS = 8  # fewer say nothing about how days vary
DAYS_FOR_BLOCKS = 30  # fewer say nothing about how days hang together
REPS = 2000
CHUNK = 4_000_000  # drawn values held at once


def block_length(daily: Floats) -> float:
    """Return the mean block length in days, between 1 and a third of the days.

    From 30 days on `arch.bootstrap.optimal_block_length`; with fewer, or where that finds none (a constant series), the
    cube root of the number of days.
    """
    days = series(daily)
    most = max(1.0, len(days) / 3)
    fallback = max(1.0, len(days) ** (1 / 3))
    if len(days) < DAYS_FOR_BLOCKS or is_constant(days):
        return float(min(fallback, most))
    from arch.bootstrap import optimal_block_length

    with np.errstate(all="ignore"):
        found = float(optimal_block_length(days)["stationary"].iloc[0])
    return min(max(found, 1.0), most) if math.isfinite(found) else min(fallback, most)


def drawn_days(days: int, block_days: float, reps: int, seed: int) -> NDArray[np.int64]:
    """Return the days of `reps` bootstrap samples, shape (reps, days)."""
    from arch.bootstrap import StationaryBootstrap

    # arch says int, and uses the length as 1 / length only: the mean of a geometric distribution need not be whole.
    bootstrap = StationaryBootstrap(block_days, np.arange(days), seed=np.random.default_rng(seed))  # type: ignore[arg-type]
    return np.array([sample[0][0] for sample in bootstrap.bootstrap(reps)], dtype=np.int64)


def bootstrap_mean(daily: Floats, *, seed: int, confidence: float = 0.95, reps: int = REPS) -> Estimate:
    """Return the mean daily P&L with its percentile interval. `daily`: USD a day, days without a trade as 0."""
    return _interval(series(daily), lambda drawn: drawn.mean(axis=1), seed, confidence, reps)


def bootstrap_total(daily: Floats, *, seed: int, confidence: float = 0.95, reps: int = REPS) -> Estimate:
    """Return the total P&L with its percentile interval. `daily`: USD a day, days without a trade as 0."""
    return _interval(series(daily), lambda drawn: drawn.sum(axis=1), seed, confidence, reps)


def bootstrap_sharpe(daily: Floats, *, seed: int, confidence: float = 0.95, reps: int = REPS) -> Estimate:
    """Return the daily (not annualised) Sharpe ratio with its percentile interval; benchmark 0."""
    days = series(daily)
    point = sharpe_ratio(days)
    if not point.known:
        return point
    return _interval(days, _sharpes, seed, confidence, reps)


def bootstrap_win_rate(
    wins: Floats, trades: Floats, *, seed: int, confidence: float = 0.95, reps: int = REPS
) -> Estimate:
    """Return the share of trades won with an interval that knows that the trades of a day hang together.

    Wider than Wilson's (`proportion`) where a day is won or lost as a whole.

    Args:
        wins, trades: how many trades closed on each day, and how many of them won. Same length.
    Raises:
        ValueError: the lengths differ, or a day has more wins than trades.
    """
    won, closed = series(wins, "wins"), series(trades, "trades")
    if won.shape != closed.shape or (won > closed).any() or (won < 0).any():
        raise ValueError("wins and trades must be of the same days, with 0 <= wins <= trades")
    demand_share(confidence, "confidence")
    return bootstrap_ratio(won, closed, seed=seed, confidence=confidence, reps=reps, what="trade was closed")


def bootstrap_ratio(
    sums: Floats,
    counts: Floats,
    *,
    seed: int,
    confidence: float = 0.95,
    reps: int = REPS,
    what: str = "value was counted",
) -> Estimate:
    """Return sum over count of values that hang together within a day (mean P&L of a trade, a share of trades).

    Args:
        sums, counts: of the values of each day; days without one are 0 and 0. what: for the reason, if there is none.
    """
    above, below = series(sums, "sums"), series(counts, "counts")
    if above.shape != below.shape or (below < 0).any():
        raise ValueError("sums and counts must be of the same days, and no count under 0")
    demand_share(confidence, "confidence")
    total = float(below.sum())
    if not total:
        return unknown(f"no {what}")
    value, n = float(above.sum()) / total, int(total)
    used = below > 0
    if used.sum() < FEW_DAYS:
        return Estimate(value, n=n, reason=too_few(used.sum(), FEW_DAYS, which=" with any", what=" for an interval"))
    if is_constant(above[used] / below[used]):
        return Estimate(value, n=n, reason="every day has the same mean: nothing says how days vary")
    block = block_length(above - value * below)
    picked = drawn_days(len(above), block, reps, seed)
    drawn = below[picked].sum(axis=1)
    ratios = above[picked].sum(axis=1)[drawn > 0] / drawn[drawn > 0]
    low, high = _percentiles(ratios, confidence)
    return Estimate(value, low, high, confidence, n, block)


def _interval(days: Floats, statistic: Statistic, seed: int, confidence: float, reps: int) -> Estimate:
    demand_share(confidence, "confidence")
    n = len(days)
    if n == 0:
        return unknown("there is no day")
    value = float(statistic(days[None, :])[0])
    if n < FEW_DAYS:
        return Estimate(value, n=n, reason=too_few(n, FEW_DAYS, what=" for an interval"))
    if is_constant(days):
        return Estimate(value, n=n, reason="every day has the same P&L: nothing says how days vary")
    block = block_length(days)
    picked = drawn_days(n, block, reps, seed)
    step = max(1, CHUNK // n)
    drawn = np.concatenate([statistic(days[picked[i : i + step]]) for i in range(0, reps, step)])
    low, high = _percentiles(drawn[np.isfinite(drawn)], confidence)
    return Estimate(value, low, high, confidence, n, block)


def _percentiles(drawn: Floats, confidence: float) -> tuple[float, float]:
    tail = (1 - confidence) / 2
    low, high = np.quantile(drawn, [tail, 1 - tail])
    return float(low), float(high)


def _sharpes(drawn: Floats) -> Floats:
    """Return the Sharpe ratio of each row, NaN for a row that drew one value only."""
    spread = drawn.std(axis=1, ddof=1)
    flat = np.ptp(drawn, axis=1) == 0
    found: Floats = np.where(flat, np.nan, drawn.mean(axis=1) / np.where(flat, 1.0, spread))
    return found
