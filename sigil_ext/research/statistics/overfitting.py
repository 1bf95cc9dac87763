"""Probability of backtest overfitting: how often the cell that is best on one half of the days is below the middle of the
field on the other half, over all ways to put the halves together.

Source: D. H. Bailey, J. M. Borwein, M. Lopez de Prado, Q. J. Zhu, The Probability of Backtest Overfitting, Journal of
Computational Finance 20 (2017; SSRN 2326253, 2015), combinatorially symmetric cross-validation.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from sigil_ext.research.statistics.estimate import NAN, matrix, plain, too_few

Floats = NDArray[np.float64]

BLOCKS = 16
DAYS_A_BLOCK = 2
VALUES_AT_ONCE = 2_000_000


@dataclass(frozen=True, slots=True)
class Overfitting:
    """What cross-validation found; NaN and a reason where nothing can be said.

    `pbo` is the share of splits whose winner came out at or under the median of the other half; `loss` the share in which
    it made a loss there; `logits` one value a split, > 0 where the winner stayed above the median.
    """

    pbo: float
    loss: float
    blocks: int
    splits: int
    logits: Floats
    reason: str | None = None

    def document(self) -> dict[str, object]:
        """Return plain values for JSON, without the logits."""
        return {
            "pbo": plain(self.pbo), "loss": plain(self.loss), "blocks": self.blocks, "splits": self.splits,
            "reason": self.reason,
        }  # fmt: skip


def backtest_overfitting(daily: Floats, *, blocks: int = BLOCKS) -> Overfitting:
    """Return the probability of backtest overfitting of choosing the best of (days, cells) by Sharpe ratio.

    The days are cut into `blocks` blocks in time order, fewer where a block would have less than 2 days; sizes differ by
    one day at most. A cell without spread in a half has the ratio 0 there if it made nothing, else that of its sign
    without bound. Equal cells share their rank.

    Args:
        blocks: even, 4 to 20; 16 give 12,870 splits.
    Raises:
        ValueError: blocks is odd or out of range.
    """
    if blocks % 2 or not 4 <= blocks <= 20:
        raise ValueError(f"blocks must be even and from 4 to 20, was {blocks}")
    cells = matrix(daily)
    days, n = cells.shape
    count = min(blocks, days // DAYS_A_BLOCK // 2 * 2)
    if count < 4:
        return _unknown(too_few(days, 4 * DAYS_A_BLOCK))
    if n < 2:
        return _unknown(f"{n} cell{'' if n == 1 else 's'}: nothing was chosen")
    if not (np.ptp(cells, axis=0) > 0).any():
        return _unknown("no cell has days that differ")
    starts = [int(part[0]) for part in np.array_split(np.arange(days), count)]
    sizes = np.diff([*starts, days]).astype(np.float64)
    # One scale for all keeps the squares in range; each cell's own would change no ratio either.
    scaled = cells / np.abs(cells).max()
    sums, squares = np.add.reduceat(scaled, starts), np.add.reduceat(scaled**2, starts)
    halves = np.array([[i in half for i in range(count)] for half in map(set, combinations(range(count), count // 2))])
    # Of n halves in this order, half number i and number n - 1 - i are the two sides of one cut: each serves as both.
    pairs, splits = len(halves) // 2, len(halves)
    logits, outside = np.empty(splits), np.empty(splits)
    step = max(1, VALUES_AT_ONCE // n)
    for first in range(0, pairs, step):
        here = np.arange(first, min(first + step, pairs))
        one = _ratios(halves[here].astype(np.float64), sizes, sums, squares)
        other = _ratios((~halves[here]).astype(np.float64), sizes, sums, squares)
        logits[here], outside[here] = _winner_elsewhere(one, other)
        logits[splits - 1 - here], outside[splits - 1 - here] = _winner_elsewhere(other, one)
    # Half a rank of rounding must not decide on which side of the middle a tie falls.
    overfitted = float((logits <= 1e-12).mean())
    return Overfitting(overfitted, float((outside < 0).mean()), count, splits, logits)


def _winner_elsewhere(trained: Floats, tested: Floats) -> tuple[Floats, Floats]:
    """Return of each row's best in `trained` the logit of its relative rank in `tested`, and what it reached there."""
    best = np.argmax(trained, axis=1)[:, None]
    reached = np.take_along_axis(tested, best, axis=1)
    below, equal = (tested < reached).sum(axis=1), (tested == reached).sum(axis=1)
    rank = (below + (equal + 1) / 2) / (tested.shape[1] + 1)
    return np.log(rank / (1 - rank)), reached[:, 0]


def _ratios(chosen: Floats, sizes: Floats, sums: Floats, squares: Floats) -> Floats:
    """Return the Sharpe ratio of each cell over each choice of blocks, shape (choices, cells)."""
    n = (chosen @ sizes)[:, None]
    mean = chosen @ sums / n
    raw = chosen @ squares / n
    variance = (raw - mean**2) * n / (n - 1)
    flat = variance <= 1e-12 * raw
    bounded = mean / np.sqrt(np.where(flat, 1.0, variance))
    unbounded = np.where(mean == 0, 0.0, np.copysign(np.inf, mean))
    found: Floats = np.where(flat, unbounded, bounded)
    return found


def _unknown(reason: str) -> Overfitting:
    return Overfitting(NAN, NAN, 0, 0, np.empty(0), reason)
