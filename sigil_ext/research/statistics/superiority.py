"""Is the best of many cells better than not trading, or is it what luck makes the best of so many look like?

White's reality check and Hansen's test of superior predictive ability over the stationary bootstrap of `arch`. The samples
are arch's; the maxima are taken here as products of matrices, because `arch.bootstrap.SPA` holds three values for each cell
and each sample (a quarter of a gigabyte for 10,000 cells) and, as of arch 8.0, compares means that are not studentised,
which Hansen's test asks for. A test holds both against arch.

Sources: H. White, A Reality Check for Data Snooping, Econometrica 68 (2000); P. R. Hansen, A Test for Superior Predictive
Ability, Journal of Business & Economic Statistics 23 (2005).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sigil_ext.research.statistics.bootstrap import FEW_DAYS, block_length, drawn_days
from sigil_ext.research.statistics.estimate import NAN, matrix, plain, too_few

Floats = NDArray[np.float64]

REPS = 1000
VALUES_AT_ONCE = 2_000_000


@dataclass(frozen=True, slots=True)
class Superiority:
    """p-values of "no cell is better than not trading"; small speaks against it. NaN and a reason where unknown."""

    reality_check: float
    spa: float
    block_days: float
    reps: int
    reason: str | None = None

    def document(self) -> dict[str, object]:
        """Return plain values for JSON."""
        return {
            "reality_check": plain(self.reality_check), "spa": plain(self.spa), "block_days": plain(self.block_days),
            "reps": self.reps, "reason": self.reason,
        }  # fmt: skip


def superior_to_nothing(
    daily: Floats, *, seed: int, reps: int = REPS, block_days: float | None = None, shown: int | None = None
) -> Superiority:
    """Test whether the best mean of (days, cells) exceeds 0, all cells taken into account.

    With `shown`, the best of the first so many columns is judged, and luck has all of them to choose from: a cell that
    was found by trying others is no surer when it is shown alone.

    A p-value is (samples at least as good + 1) / (samples + 1), never 0. Cells without spread count for nothing: they
    did not trade. Block length: `block_length` of the mean over all cells.
    """
    cells = matrix(daily)
    days = len(cells)
    if days < FEW_DAYS:
        return _unknown(too_few(days, FEW_DAYS))
    moves = np.ptp(cells, axis=0) > 1e-12 * np.abs(cells).max(axis=0)
    moving, candidates = cells[:, moves], int(moves[:shown].sum())
    if not candidates:
        return _unknown("no cell has days that differ")
    block = block_length(moving.mean(axis=1)) if block_days is None else block_days
    mean = moving.mean(axis=0)
    spread = np.sqrt(long_run_variance(moving, block))
    # Hansen's consistent recentring: a cell that is clearly worse than nothing must not blow up the null distribution.
    relevant = mean >= -spread / math.sqrt(days) * math.sqrt(2 * math.log(math.log(days)))
    centre = np.where(relevant, mean, 0.0)
    picked = drawn_days(days, block, reps, seed)
    weights = np.array([np.bincount(row, minlength=days) for row in picked], dtype=np.float64) / days
    best, best_t = mean[:candidates].max(), max(0.0, float((mean / spread)[:candidates].max()))
    as_good = as_good_t = 0
    step = max(1, VALUES_AT_ONCE // moving.shape[1])
    for first in range(0, reps, step):
        drawn = weights[first : first + step] @ moving
        as_good += int(((drawn - mean).max(axis=1) >= best).sum())
        as_good_t += int((np.maximum(((drawn - centre) / spread).max(axis=1), 0.0) >= best_t).sum())
    return Superiority((as_good + 1) / (reps + 1), (as_good_t + 1) / (reps + 1), block, reps)


def long_run_variance(daily: Floats, block_days: float) -> Floats:
    """Return for each column of (days, cells) the variance of a day, neighbours counted in; > 0.

    The variance that the stationary bootstrap with that block length gives the mean, times the number of days. Where that
    comes out as nothing (days that undo each other), the plain variance.

    Source: Politis and Romano (1994), lemma 1; Hansen (2005), equation 5.
    """
    cells = matrix(daily)
    n = len(cells)
    centred = cells - cells.mean(axis=0)
    plain_variance = (centred**2).sum(axis=0) / n
    variance = plain_variance.copy()
    keep = 1 - 1 / block_days
    for lag in range(1, n):
        weight = (1 - lag / n) * keep**lag + lag / n * keep ** (n - lag)
        if weight > 1e-12:
            variance += 2 * weight * (centred[:-lag] * centred[lag:]).sum(axis=0) / n
    found: Floats = np.where(variance > 1e-9 * plain_variance, variance, plain_variance)
    return found


def _unknown(reason: str) -> Superiority:
    return Superiority(NAN, NAN, NAN, 0, reason)
