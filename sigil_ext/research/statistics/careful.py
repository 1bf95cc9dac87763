"""Intervals that are printed: the wider of two that err on different sides. Start at `careful_mean`.

The percentile interval of a bootstrap is too narrow on few days, since it knows no more of the spread than those days do.
Student's interval knows that, but takes the days for normal; here it has their long-run spread, so that days which hang
together widen it. docs/statistics.md says how often each is wrong.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from sigil_ext.research.statistics.bootstrap import (
    REPS,
    bootstrap_mean,
    bootstrap_ratio,
    bootstrap_sharpe,
    bootstrap_win_rate,
)
from sigil_ext.research.statistics.distributions import student_quantile
from sigil_ext.research.statistics.estimate import Estimate, series
from sigil_ext.research.statistics.power import long_run_sd
from sigil_ext.research.statistics.proportions import proportion

Floats = NDArray[np.float64]


def careful_mean(daily: Floats, *, seed: int, confidence: float = 0.95, reps: int = REPS) -> Estimate:
    """Return the mean daily P&L: the bootstrap's interval or Student's on the long-run spread, as far as either reaches.

    Args:
        daily: USD (or R) a day, days without a trade as 0.
    """
    found, spread = bootstrap_mean(daily, seed=seed, confidence=confidence, reps=reps), day_spread(daily)
    if not spread.known:
        return found
    return _reaching(found, _student(confidence, found.n) * spread.value / math.sqrt(found.n))


def careful_total(daily: Floats, *, seed: int, confidence: float = 0.95, reps: int = REPS) -> Estimate:
    """Return the total P&L with the interval of `careful_mean` times the days."""
    mean, days = careful_mean(daily, seed=seed, confidence=confidence, reps=reps), series(daily)
    if not mean.known:
        return mean
    return replace(mean, value=float(days.sum()), low=mean.low * len(days), high=mean.high * len(days))


def careful_sharpe(daily: Floats, *, seed: int, confidence: float = 0.95, reps: int = REPS) -> Estimate:
    """Return the daily (not annualised) Sharpe ratio: the bootstrap's interval, or Student's with what the spread is unsure of.

    Source of the standard error, never taken for less than that of the mean: E. Mertens (2002), as in Bailey and Lopez de
    Prado (2012), equation 8; times the long-run spread over the plain one.
    """
    found, spread = bootstrap_sharpe(daily, seed=seed, confidence=confidence, reps=reps), day_spread(daily)
    if not (found.known and spread.known):
        return found
    days = series(daily)
    deviation = (days - days.mean()) / days.std()
    skewness, kurtosis = float((deviation**3).mean()), float((deviation**4).mean())
    variance = max(1.0, 1 - skewness * found.value + (kurtosis - 1) / 4 * found.value**2)
    error = spread.value / float(days.std(ddof=1)) * math.sqrt(variance / found.n)
    return _reaching(found, _student(confidence, found.n) * error)


def careful_ratio(
    sums: Floats,
    counts: Floats,
    *,
    seed: int,
    confidence: float = 0.95,
    reps: int = REPS,
    what: str = "value was counted",
) -> Estimate:
    """Return sum over count of values that hang together within a day: the bootstrap's interval, or Student's by day.

    Student's is that of what each day has above or below the ratio, as textbooks of sampling have it (W. G. Cochran, Sampling
    Techniques, 1977, equation 6.9). Arguments are those of `bootstrap_ratio`.
    """
    found = bootstrap_ratio(sums, counts, seed=seed, confidence=confidence, reps=reps, what=what)
    if not math.isfinite(found.low):
        return found
    above, below = series(sums), series(counts)
    spread = day_spread(above - found.value * below)
    if not spread.known:
        return found
    days = int((below > 0).sum())
    return _reaching(found, _student(confidence, days) * spread.value * math.sqrt(len(below)) / float(below.sum()))


def careful_win_rate(
    wins: Floats, trades: Floats, *, seed: int, confidence: float = 0.95, reps: int = REPS
) -> Estimate:
    """Return the share of trades won: Wilson's interval by trade or the bootstrap's by day, as far as either reaches.

    Args:
        wins, trades: how many trades closed on each day, and how many of them won.
    Raises:
        ValueError: they are not of the same days, or a day has more wins than trades.
    """
    by_day = bootstrap_win_rate(wins, trades, seed=seed, confidence=confidence, reps=reps)
    by_trade = proportion(round(float(series(wins).sum())), round(float(series(trades).sum())), confidence=confidence)
    if not math.isfinite(by_day.low):
        return by_trade
    return replace(
        by_trade, low=min(by_trade.low, by_day.low), high=max(by_trade.high, by_day.high), block_days=by_day.block_days
    )


def day_spread(daily: Floats) -> Estimate:
    """Return the standard deviation of a day, with its neighbours counted in where that makes it larger."""
    found = long_run_sd(daily)
    return replace(found, value=max(found.value, float(series(daily).std(ddof=1)))) if found.known else found


def _student(confidence: float, days: int) -> float:
    return student_quantile((1 + confidence) / 2, days - 1)


def _reaching(found: Estimate, half: float) -> Estimate:
    """Return `found` with an interval that reaches at least `half` to either side."""
    return replace(found, low=min(found.low, found.value - half), high=max(found.high, found.value + half))
