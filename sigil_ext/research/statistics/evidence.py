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

    Of `cells_tried`, `cells_before` were tried by earlier grids, `cells_repeated` have the P&L of another one on every day
    (they count once in every figure), and of `cells_unknown` the daily P&L is not known.
    """

    days: int
    cells_tried: int
    cells_before: int
    cells_repeated: int
    cells_unknown: int
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
            "cells_before": self.cells_before,
            "cells_repeated": self.cells_repeated,
            "cells_unknown": self.cells_unknown,
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
        return [
            self._tries(),
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

    def _tries(self) -> str:
        cells = "1 cell was" if self.cells_tried == 1 else f"{self.cells_tried:,} cells were"
        said = f"{cells} tried on {self.days} day{'s' if self.days != 1 else ''}"
        if self.cells_before:
            said += f" ({self.cells_tried - self.cells_before:,} here, {self.cells_before:,} before)"
        if self.effective_trials.known:
            amount = f", which amount to about {self.effective_trials.value:.1f} independent ones."
            said += amount if self.cells_tried > 1 else "."
        else:
            said += f"; {self.effective_trials.reason}."
        if self.cells_repeated:
            said += f" {self.cells_repeated:,} had the same P&L as another one on every day and count once."
        if self.cells_unknown:
            said += (
                f" The daily P&L of {self.cells_unknown:,} is not known: the deflated ratio counts them, as far apart as luck "
                "sets cells; PBO, reality check and SPA do not know them."
            )
        return said


def assess_grid(
    daily_pnl: NDArray[np.float64],
    best: int,
    *,
    seed: int,
    earlier: NDArray[np.float64] | None = None,
    trials: int | None = None,
    reps: int = REPS,
    blocks: int = BLOCKS,
    confidence: float = 0.95,
) -> GridEvidence:
    """Return the evidence for column `best` of `daily_pnl`.

    Args:
        daily_pnl: USD, shape (days, cells), every day of the period, 0 where nothing closed. All cells of this grid.
        best: column of the chosen cell. seed: of every draw.
        earlier: the same days of other cells that were tried before on the same data: tries like those of this grid.
        trials: cells tried where that is more than all these columns, because the P&L of some is not known. They are
            counted: the effective trials grow in proportion, and the Sharpe ratios are taken to lie at least as far apart
            as those of cells without skill do by luck (a variance of 1 / (days - 1)).
    Raises:
        ValueError: shape, index or number of trials do not fit.
    """
    present = matrix(daily_pnl)
    days, n = present.shape
    if not 0 <= best < n:
        raise ValueError(f"best must be a column of {n}, was {best}")
    known = present if earlier is None else np.hstack([present, matrix(earlier)])
    tried = known.shape[1] if trials is None else trials
    missing = tried - known.shape[1]
    if missing < 0:
        raise ValueError(f"trials must count at least the {known.shape[1]} columns, was {trials}")
    first = _first_of_its_kind(known)
    cells, shown = known[:, first], sum(column < n for column in first)
    different = len(first) + missing
    effective = effective_trials(cells)
    if effective.known and missing:
        effective = Estimate(max(1.0, effective.value * different / len(first)), n=different)
    variance = _variance_of_ratios(cells, missing)
    chosen = present[:, best]
    count = effective.value if effective.known else float(different)
    return GridEvidence(
        days=days,
        cells_tried=tried,
        cells_before=tried - n,
        cells_repeated=known.shape[1] - len(first),
        cells_unknown=missing,
        effective_trials=effective,
        deflated_sharpe=deflated_sharpe(chosen, trials=count, variance=variance),
        deflated_sharpe_strict=deflated_sharpe(chosen, trials=different, variance=variance),
        overfitting=backtest_overfitting(cells, blocks=blocks),
        superiority=superior_to_nothing(cells, seed=seed, reps=reps, shown=shown),
        mean=careful_mean(chosen, seed=seed, confidence=confidence),
        total=careful_total(chosen, seed=seed, confidence=confidence),
        sharpe=careful_sharpe(chosen, seed=seed, confidence=confidence),
        seed=seed,
    )


def _first_of_its_kind(cells: NDArray[np.float64]) -> list[int]:
    """Return the columns that equal none before them: cells with one outcome are one try, however often it is written."""
    rows = np.ascontiguousarray(cells.T) + 0.0  # + 0.0: a loss of nothing is nothing
    seen: dict[bytes, int] = {}
    for column, row in enumerate(rows):
        seen.setdefault(row.tobytes(), column)
    return list(seen.values())


def _variance_of_ratios(cells: NDArray[np.float64], missing: int) -> float:
    ratios = sharpe_ratios(cells)
    known = ratios[np.isfinite(ratios)]
    variance = float(known.var(ddof=1)) if len(known) > 1 else 0.0
    return max(variance, 1 / (len(cells) - 1)) if missing and len(cells) > 1 else variance


def _said(estimate: Estimate, sentence: str, name: str) -> str:
    return sentence if estimate.known else f"{name}: unknown, {estimate.reason}."
