"""What a grid's best cell is worth, knowing how many were tried. Start at `assess_grid`; a best cell is never shown
without it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sigil_ext.research.statistics.careful import careful_mean, careful_sharpe, careful_total
from sigil_ext.research.statistics.estimate import Estimate, matrix, unknown
from sigil_ext.research.statistics.overfitting import BLOCKS, Overfitting, backtest_overfitting
from sigil_ext.research.statistics.sharpe import deflated_sharpe, effective_trials, sharpe_ratios
from sigil_ext.research.statistics.superiority import REPS, Superiority, superior_to_nothing


@dataclass(frozen=True, slots=True)
class GridEvidence:
    """How far the best of many cells is more than luck.

    `deflated_sharpe` counts `effective_trials`, what the cells amount to given how alike they are; `deflated_sharpe_strict`
    counts every cell as a trial of its own. `mean`, `total`, `sharpe` are the best cell's, with intervals that do *not* know
    of the others: read them after the rest.
    """

    days: int
    cells_tried: int
    effective_trials: Estimate
    deflated_sharpe: Estimate
    deflated_sharpe_strict: Estimate
    overfitting: Overfitting
    superiority: Superiority
    mean: Estimate
    total: Estimate
    sharpe: Estimate
    seed: int

    def document(self) -> dict[str, Any]:
        """Return plain values for JSON; what is unknown is None beside its reason."""
        return {
            "days": self.days,
            "cells_tried": self.cells_tried,
            "effective_trials": self.effective_trials.document(),
            "deflated_sharpe": self.deflated_sharpe.document(),
            "deflated_sharpe_strict": self.deflated_sharpe_strict.document(),
            "overfitting": self.overfitting.document(),
            "superiority": self.superiority.document(),
            "mean_daily_usd": self.mean.document(),
            "total_usd": self.total.document(),
            "sharpe_daily": self.sharpe.document(),
            "seed": self.seed,
            "sentences": self.sentences(),
        }

    def sentences(self) -> list[str]:
        """Return what each figure says, one plain sentence each."""
        confidence = f"{(self.mean.confidence or 0.95) * 100:g} %"
        trials = f", which amount to about {self.effective_trials.value:.1f} independent ones"
        return [
            f"{self.cells_tried:,} cells were tried on {self.days} days"
            + (f"{trials}." if self.effective_trials.known else f"; {self.effective_trials.reason}."),
            _said(
                self.deflated_sharpe,
                f"Deflated Sharpe ratio {self.deflated_sharpe.value:.3f}: the probability that the best cell is better than "
                "what luck makes of so many tries; under 0.95 it is not shown to be.",
                "Deflated Sharpe ratio",
            ),
            f"Probability of backtest overfitting {self.overfitting.pbo:.2f}: in that share of {self.overfitting.splits:,} "
            "splits the best cell of one half was no better than the middle of the field on the other; 0.5 is pure chance."
            if self.overfitting.reason is None
            else f"Probability of backtest overfitting: unknown, {self.overfitting.reason}.",
            f"Reality check p = {self.superiority.reality_check:.3f}, SPA p = {self.superiority.spa:.3f}: how often luck "
            "alone makes the best of these cells look at least this good against not trading; over 0.05 it is not shown to "
            "be better."
            if self.superiority.reason is None
            else f"Reality check and SPA: unknown, {self.superiority.reason}.",
            _said(
                self.mean if self.mean.reason is None else unknown(self.mean.reason),
                f"The best cell's mean day is {self.mean.value:+.3f} USD, {confidence} interval {self.mean.low:+.3f} to "
                f"{self.mean.high:+.3f}, as if it had been the only one tried.",
                "Interval of the best cell's mean day",
            ),
        ]


def assess_grid(
    daily_pnl: NDArray[np.float64],
    best: int,
    *,
    seed: int,
    trials: int | None = None,
    reps: int = REPS,
    blocks: int = BLOCKS,
    confidence: float = 0.95,
) -> GridEvidence:
    """Return the evidence for column `best` of `daily_pnl`.

    Args:
        daily_pnl: USD, shape (days, cells), every day of the period, 0 where nothing closed. All cells that were tried.
        best: column of the chosen cell. seed: of every draw.
        trials: cells tried where that is more than the columns (earlier grids on the same data); counted in the strict
            deflated ratio, and the effective trials grow in proportion.
    Raises:
        ValueError: shape, index or number of trials do not fit.
    """
    cells = matrix(daily_pnl)
    days, n = cells.shape
    if not 0 <= best < n:
        raise ValueError(f"best must be a column of {n}, was {best}")
    tried = n if trials is None else trials
    if tried < n:
        raise ValueError(f"trials must count at least the {n} columns, was {trials}")
    ratios = sharpe_ratios(cells)
    known = ratios[np.isfinite(ratios)]
    variance = float(known.var(ddof=1)) if len(known) > 1 else 0.0
    effective = effective_trials(cells)
    if effective.known and tried > n:
        effective = Estimate(max(1.0, effective.value * tried / n), n=tried)
    chosen = cells[:, best]
    count = effective.value if effective.known else float(tried)
    return GridEvidence(
        days=days,
        cells_tried=tried,
        effective_trials=effective,
        deflated_sharpe=deflated_sharpe(chosen, trials=count, variance=variance),
        deflated_sharpe_strict=deflated_sharpe(chosen, trials=tried, variance=variance),
        overfitting=backtest_overfitting(cells, blocks=blocks),
        superiority=superior_to_nothing(cells, seed=seed, reps=reps),
        mean=careful_mean(chosen, seed=seed, confidence=confidence),
        total=careful_total(chosen, seed=seed, confidence=confidence),
        sharpe=careful_sharpe(chosen, seed=seed, confidence=confidence),
        seed=seed,
    )


def _said(estimate: Estimate, sentence: str, name: str) -> str:
    return sentence if estimate.known else f"{name}: unknown, {estimate.reason}."
