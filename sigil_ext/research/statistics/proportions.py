"""Shares: how sure a win rate is, and which one a payoff needs."""

from __future__ import annotations

import math

from sigil_ext.research.statistics.distributions import wilson
from sigil_ext.research.statistics.estimate import NAN, Estimate, demand_share, unknown


def proportion(count: int, n: int, *, confidence: float = 0.95) -> Estimate:
    """Return `count` of `n` as a share with Wilson's interval, which takes each trade for independent of the others.

    Source: E. B. Wilson, JASA 22 (1927), as in `statsmodels.stats.proportion.proportion_confint`.
    Raises:
        ValueError: count is not between 0 and n.
    """
    demand_share(confidence, "confidence")
    if not 0 <= count <= n:
        raise ValueError(f"count must lie between 0 and n, was {count} of {n}")
    if n == 0:
        return unknown("there is nothing to count")
    low, high = wilson(count, n, 1 - confidence)
    return Estimate(count / n, max(0.0, low), min(1.0, high), confidence, n)


def win_rate_needed(mean_win: float, mean_loss: float) -> float:
    """Return the share of winners at which nothing is won or lost: loss / (win + loss). NaN where either is unknown.

    Args:
        mean_win: of the winners, > 0. mean_loss: of the losers, as a positive number, > 0; the same unit.
    """
    if not (0 < mean_win < math.inf and 0 < mean_loss < math.inf):
        return NAN
    return mean_loss / (mean_win + mean_loss)
