"""How small an effect so many days can show, and how many days an effect needs. Start at `days_until_verdict`.

Source: two-sided one-sample (paired) t test, J. Cohen, Statistical Power Analysis for the Behavioral Sciences (1988); the
power itself is that of `statsmodels.stats.power.TTestPower`.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from sigil_ext.research.statistics.bootstrap import FEW_DAYS, block_length
from sigil_ext.research.statistics.distributions import normal_cdf, normal_quantile, t_test_power
from sigil_ext.research.statistics.estimate import Estimate, demand_share, is_constant, series, too_few, unknown
from sigil_ext.research.statistics.superiority import long_run_variance

MANY = 1000  # from here on Student's t is the normal distribution


def long_run_sd(daily: NDArray[np.float64]) -> Estimate:
    """Return the standard deviation of a day with its neighbours counted in, to be used where days hang together.

    The square root of the days times the variance of their mean under the stationary bootstrap, on n - 1.
    """
    days = series(daily)
    n = len(days)
    if n < FEW_DAYS:
        return unknown(too_few(n, FEW_DAYS), n)
    if is_constant(days):
        return unknown("every day has the same P&L: nothing says how days vary", n)
    block = block_length(days)
    variance = float(long_run_variance(days[:, None], block)[0]) * n / (n - 1)
    return Estimate(math.sqrt(variance), n=n, block_days=block)


def minimum_detectable_effect(sd: float, n: int, *, alpha: float = 0.05, power: float = 0.8) -> Estimate:
    """Return the smallest true mean that `n` values with standard deviation `sd` would show with probability `power`.

    Same unit as `sd`. Two-sided at `alpha`.
    """
    demand_share(alpha, "alpha")
    demand_share(power, "power")
    if n < 2 or not 0 < sd < math.inf:
        return unknown("fewer than two values, or no spread", n)
    # Found by halving, since the power grows with the effect; twice the normal answer plus the worst t is always enough.
    low, high = 0.0, 2.0
    while _power(high, n, alpha) < power:
        high *= 2
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if _power(middle, n, alpha) < power else (low, middle)
    return Estimate(high * sd, n=n)


def days_until_verdict(effect: float, sd: float, *, alpha: float = 0.05, power: float = 0.8) -> Estimate:
    """Return how many days (all of them, not further ones) a true mean of `effect` a day needs to be shown.

    Args:
        effect: of a day, any sign. sd: of a day, same unit; use `long_run_sd` where days hang together.
    """
    demand_share(alpha, "alpha")
    demand_share(power, "power")
    if not math.isfinite(effect) or not 0 < sd < math.inf:
        return unknown("the effect or the spread is unknown")
    if effect == 0:
        return unknown("no number of days shows a difference that is not there")
    size = abs(effect) / sd
    days = ((normal_quantile(1 - alpha / 2) + normal_quantile(power)) / size) ** 2
    if not days < 1e9:
        return unknown("the effect is too small against the spread for any number of days that matters")
    n = max(2, math.ceil(days))
    while n <= MANY and _power(size, n, alpha) < power:
        n += 1
    return Estimate(float(n), n=n)


def _power(size: float, n: int, alpha: float) -> float:
    """Return the power at an effect of `size` standard deviations."""
    if n > MANY:
        shift, edge = size * math.sqrt(n), normal_quantile(1 - alpha / 2)
        return normal_cdf(shift - edge) + normal_cdf(-edge - shift)
    return t_test_power(size, n, alpha)
