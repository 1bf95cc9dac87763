"""The distributions behind the formulas, typed: the normal one of the standard library, Student's t of scipy and statsmodels."""

from __future__ import annotations

from statistics import NormalDist

_NORMAL = NormalDist()


def normal_cdf(x: float) -> float:
    """Return the probability of a standard normal value up to `x`."""
    return _NORMAL.cdf(x)


def normal_quantile(share: float) -> float:
    """Return the standard normal value that `share` lie under, 0 < share < 1."""
    return _NORMAL.inv_cdf(share)


def student_quantile(share: float, freedom: float) -> float:
    """Return the value that `share` of Student's t with `freedom` degrees lie under."""
    from scipy.special import stdtrit  # type: ignore[import-untyped]

    return float(stdtrit(freedom, share))


def t_test_power(size: float, n: int, alpha: float) -> float:
    """Return the power of a two-sided one-sample t test at an effect of `size` standard deviations."""
    from statsmodels.stats.power import TTestPower  # type: ignore[import-untyped]

    return float(TTestPower().power(size, n, alpha))


def wilson(count: int, n: int, alpha: float) -> tuple[float, float]:
    """Return Wilson's interval of `count` of `n`."""
    from statsmodels.stats.proportion import proportion_confint  # type: ignore[import-untyped]

    low, high = proportion_confint(count, n, alpha=alpha, method="wilson")
    return float(low), float(high)
