"""Sharpe ratios of daily P&L, and what is left of the best one after it is known how many were tried.

Daily, not annualised, benchmark 0: P&L in USD on a constant stake has the Sharpe ratio of its returns.

Sources: D. H. Bailey, M. Lopez de Prado, The Sharpe Ratio Efficient Frontier, Journal of Risk 15 (2012) [PSR]; the same,
The Deflated Sharpe Ratio, Journal of Portfolio Management 40 (2014) [DSR, expected maximum, effective trials].
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from sigil_ext.research.statistics.distributions import normal_cdf, normal_quantile
from sigil_ext.research.statistics.estimate import Estimate, is_constant, matrix, series, too_few, unknown

Floats = NDArray[np.float64]

EULER_MASCHERONI = 0.5772156649015329
FEW_DAYS = 8


def sharpe_ratio(daily: Floats) -> Estimate:
    """Return mean over standard deviation (n - 1) of daily P&L, not annualised; no interval."""
    days = series(daily)
    if len(days) < 2:
        return unknown(f"{len(days)} day{'s have' if len(days) != 1 else ' has'} no spread", len(days))
    if is_constant(days):
        return unknown("every day has the same P&L: there is no spread to divide by", len(days))
    return Estimate(float(days.mean() / days.std(ddof=1)), n=len(days))


def sharpe_ratios(daily: Floats) -> Floats:
    """Return the Sharpe ratio of each column of (days, cells); NaN for a column without spread."""
    cells = matrix(daily)
    if len(cells) < 2:
        return np.full(cells.shape[1], np.nan)
    spread = cells.std(axis=0, ddof=1)
    flat = np.ptp(cells, axis=0) <= 1e-12 * np.abs(cells).max(axis=0)
    found: Floats = np.where(flat, np.nan, cells.mean(axis=0) / np.where(flat, 1.0, spread))
    return found


def annualised(daily_sharpe: float, days_a_year: float = 365.0) -> float:
    """Return a daily Sharpe ratio a year long: times the square root of the days; crypto trades on all of them."""
    return daily_sharpe * math.sqrt(days_a_year)


def probabilistic_sharpe(sharpe: float, benchmark: float, n: int, skewness: float, kurtosis: float) -> Estimate:
    """Return the probability that the true Sharpe ratio exceeds `benchmark`, given one of `sharpe` over `n` periods.

    Args:
        sharpe, benchmark: of one period (daily figures: daily ratios). skewness, kurtosis: of the returns; normal: 0, 3.
    Source: Bailey and Lopez de Prado (2012), equation 11.
    """
    if n < 2 or not all(math.isfinite(x) for x in (sharpe, benchmark, skewness, kurtosis)):
        return unknown("the Sharpe ratio or its spread is unknown", n)
    variance = 1 - skewness * sharpe + (kurtosis - 1) / 4 * sharpe**2
    if variance <= 0:
        return unknown("the series is too skewed for this formula: the variance of its Sharpe ratio is not positive", n)
    return Estimate(normal_cdf((sharpe - benchmark) * math.sqrt(n - 1) / math.sqrt(variance)), n=n)


def expected_maximum_sharpe(trials: float, variance: float) -> float:
    """Return the Sharpe ratio that the best of `trials` independent attempts without any skill is expected to show.

    Args:
        trials: >= 1, need not be whole. variance: of the Sharpe ratios of the trials, same period as they.
    Source: Bailey and Lopez de Prado (2014), equation 1; 0 for one trial, where the approximation has no meaning.
    """
    if not trials >= 1 or not variance >= 0:
        raise ValueError(f"trials must be >= 1 and variance >= 0, were {trials} and {variance}")
    if trials == 1:
        return 0.0
    usual, rare = normal_quantile(1 - 1 / trials), normal_quantile(1 - 1 / (trials * math.e))
    return max(0.0, math.sqrt(variance) * ((1 - EULER_MASCHERONI) * usual + EULER_MASCHERONI * rare))


def effective_trials(daily: Floats) -> Estimate:
    """Return to how many independent trials the cells of (days, cells) amount: rho + (1 - rho) * cells.

    rho is the mean correlation between two cells that differ, taken within [0, 1]. Cells without spread are left out.

    Source: Bailey and Lopez de Prado (2014), appendix 3.
    """
    cells = matrix(daily)
    spread = np.isfinite(sharpe_ratios(cells))
    n = int(spread.sum())
    if n == 0:
        return unknown("no cell has days that differ")
    if n == 1:
        return Estimate(1.0, n=1)
    moving = cells[:, spread]
    unit = moving - moving.mean(axis=0)
    unit /= np.linalg.norm(unit, axis=0)
    # The sum over all pairs without the matrix of them: the square of the sum is the sum of all products.
    rho = (float((unit.sum(axis=1) ** 2).sum()) - n) / (n * (n - 1))
    rho = min(max(rho, 0.0), 1.0)
    return Estimate(rho + (1 - rho) * n, n=n)


def deflated_sharpe(daily: Floats, *, trials: float, variance: float) -> Estimate:
    """Return the probability that the true Sharpe ratio of `daily` exceeds what luck alone gives the best of the trials.

    Args:
        daily: P&L of the chosen cell, a value a day. trials: how many (independent) ones were tried.
        variance: of the daily Sharpe ratios of all trials.
    Source: Bailey and Lopez de Prado (2014), equation 2.
    """
    days = series(daily)
    if len(days) < FEW_DAYS:
        return unknown(too_few(len(days), FEW_DAYS, what=" to judge"), len(days))
    ratio = sharpe_ratio(days)
    if not ratio.known:
        return ratio
    if not math.isfinite(variance):
        return unknown("the Sharpe ratios of the trials are unknown", len(days))
    deviation = (days - days.mean()) / days.std()
    skewness, kurtosis = float((deviation**3).mean()), float((deviation**4).mean())
    luck = expected_maximum_sharpe(trials, variance)
    return probabilistic_sharpe(ratio.value, luck, len(days), skewness, kurtosis)
