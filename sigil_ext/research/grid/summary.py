"""A cell reduced to what a report needs, so that the trades of ten thousand cells need not be held at once.

Start at `summarise`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sigil_ext.research.grid.figures import daily_pnl, figures_of
from sigil_ext.research.kernel.trades import CellTrades

HOUR_MS = 3_600_000
WHAT_HAPPENED = (
    "symbol", "opened_at_ms", "closed_at_ms", "entry_price", "exit_price", "qty", "fee", "pnl_usd", "exit_reason",
)  # fmt: skip
Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Summary:
    """Figures of a cell over the whole period, and for each fold inside it (`out`) and over the rest of the time (`within`).

    `daily` is P&L in USD by UTC day of the close. `trades` is the same for cells that made the same trades.
    """

    figures: Mapping[str, Any]
    out: tuple[Mapping[str, Any], ...]
    within: tuple[Mapping[str, Any], ...]
    daily: NDArray[np.float64]
    final_equity: float
    refused: Mapping[str, int]
    trades: str


def summarise(cell: CellTrades, starting_balance: float, period: Span, folds: Sequence[Span]) -> Summary:
    """Return the summary of `cell`, which ran over `period` (ms, finish exclusive)."""
    trades = cell.trades
    opened = trades["opened_at_ms"]
    inside = [(opened >= start) & (opened < finish) for start, finish in folds]
    return Summary(
        figures_of(trades, starting_balance),
        tuple(figures_of(trades[mask], starting_balance) for mask in inside),
        tuple(figures_of(trades[~mask], starting_balance) for mask in inside),
        daily_pnl(trades, *period),
        cell.final_equity,
        cell.signals_refused,
        trades_hash(trades),
    )


def trades_hash(trades: NDArray[np.void]) -> str:
    """Return a hash of what was bought and sold, when and why; where a stop lay that never mattered is left out."""
    total = hashlib.blake2b(digest_size=16)
    for name in WHAT_HAPPENED:
        total.update(np.ascontiguousarray(trades[name]).data)
    return total.hexdigest()


def fold_spans(period: Span, folds: int) -> list[Span]:
    """Return `folds` parts of `period` of one length, cut at full hours, in order; none for fewer than 2 folds."""
    if folds < 2:
        return []
    start, finish = period
    edges = [start + (finish - start) * k // folds // HOUR_MS * HOUR_MS for k in range(1, folds)]
    return list(zip([start, *edges], [*edges, finish], strict=True))
