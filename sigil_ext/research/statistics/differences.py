"""The difference between two means, with its interval. Start at `paired_difference_by_day`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sigil_ext.research.statistics.bootstrap import REPS, bootstrap_mean
from sigil_ext.research.statistics.distributions import student_quantile
from sigil_ext.research.statistics.estimate import Estimate, demand_share, is_constant, series, unknown

Floats = NDArray[np.float64]


def paired_difference(a: Floats, b: Floats, *, confidence: float = 0.95) -> Estimate:
    """Return mean(a - b) with Student's interval; pairs (signals, trades) taken for independent of each other.

    Source: Student, The Probable Error of a Mean, Biometrika 6 (1908).
    Raises:
        ValueError: a and b differ in length.
    """
    demand_share(confidence, "confidence")
    gaps = _pairs(a, b)
    n = len(gaps)
    if n < 2:
        return unknown("there is no pair") if n == 0 else Estimate(float(gaps[0]), n=1, reason="one pair has no spread")
    value = float(gaps.mean())
    if is_constant(gaps):
        return Estimate(value, n=n, reason="every pair differs by the same amount: there is no spread")
    half = student_quantile((1 + confidence) / 2, n - 1) * float(gaps.std(ddof=1)) / n**0.5
    return Estimate(value, value - half, value + half, confidence, n)


def paired_difference_by_day(
    a: Floats, b: Floats, *, seed: int, confidence: float = 0.95, reps: int = REPS
) -> Estimate:
    """Return the mean of a - b over the same days with the interval of the stationary block bootstrap.

    Raises:
        ValueError: a and b differ in length.
    """
    return bootstrap_mean(_pairs(a, b), seed=seed, confidence=confidence, reps=reps)


def mean_difference(a: Floats, b: Floats, *, confidence: float = 0.95) -> Estimate:
    """Return mean(a) - mean(b) of two samples that share nothing, with Welch's interval (the spreads may differ).

    Source: B. L. Welch, Biometrika 34 (1947).
    """
    demand_share(confidence, "confidence")
    first, second = series(a, "a"), series(b, "b")
    n = len(first) + len(second)
    if not len(first) or not len(second):
        return unknown("one side is empty", n)
    value = float(first.mean() - second.mean())
    if min(len(first), len(second)) < 2:
        return Estimate(value, n=n, reason="one side has a single value and no spread")
    va, vb = float(first.var(ddof=1)) / len(first), float(second.var(ddof=1)) / len(second)
    if is_constant(first) and is_constant(second):
        return Estimate(value, n=n, reason="neither side has any spread")
    freedom = (va + vb) ** 2 / (va**2 / (len(first) - 1) + vb**2 / (len(second) - 1))
    half = student_quantile((1 + confidence) / 2, freedom) * (va + vb) ** 0.5
    return Estimate(value, value - half, value + half, confidence, n)


def _pairs(a: Floats, b: Floats) -> Floats:
    first, second = series(a, "a"), series(b, "b")
    if first.shape != second.shape:
        raise ValueError(f"a and b must be pairs: {len(first)} and {len(second)} values")
    return first - second
