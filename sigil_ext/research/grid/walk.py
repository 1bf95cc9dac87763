"""Walk-forward: choose on one window, trade the next, roll on. The windows, the choice and the document, nothing that runs.

Start at `windows_of` and `build_walk`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sigil_ext.errors import UsageError
from sigil_ext.research.backtest_format import counted
from sigil_ext.research.backtest_stats import DAY_MS, iso, json_safe
from sigil_ext.research.grid.axes import Axis
from sigil_ext.research.grid.cells import Cell
from sigil_ext.research.grid.figures import daily_pnl, daily_wins, day_edges, day_names, figures_of, score
from sigil_ext.research.grid.head import head_of
from sigil_ext.research.grid.notes import UNVERIFIED, compared
from sigil_ext.research.grid.summary import Span
from sigil_ext.research.statistics import careful_mean, careful_sharpe, careful_total, careful_win_rate
from sigil_ext.settings.models import format_duration
from sigil_ext.settings.overlays import Variant, flatten

SEED = 20251121
LEAST_SHARE = 0.1  # of the time to trade: a shorter rest at the end is no window
WINDOW_FIGURES = (
    "trades", "net_pnl_usd", "avg_trade_r", "win_rate", "win_rate_needed", "hard_stop_share", "profit_factor",
    "max_drawdown_usd",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Window:
    """Cells are judged on [train_ms, trade_ms), the one chosen trades [trade_ms, finish_ms)."""

    train_ms: int
    trade_ms: int
    finish_ms: int


@dataclass(frozen=True, slots=True)
class Walked:
    """What came of a window: the score and figures of the cell chosen (None: none qualified), and its trades in the next.

    `own` is what each variant, as its overlay has it, traded meanwhile.
    """

    window: Window
    chosen: int | None
    train: Mapping[str, Any] | None
    trades: NDArray[np.void]
    own: Mapping[str, NDArray[np.void]]
    cells: int


@dataclass(frozen=True, slots=True)
class WalkFacts:
    """What was asked for. `verification` counts the runs checked against Jesse, None where none was; `left_out_ms` is the time
    at the end that was too short for a window."""

    variants: tuple[Variant, ...]
    axes: tuple[Axis, ...]
    engine: str
    symbols: tuple[str, ...]
    candles: str
    exchange: str
    objective: str
    least_trades: int
    train: str
    trade: str
    anchored: bool
    stand_aside: bool
    starting_balance: float
    verification: Mapping[str, Any] | None
    left_out_ms: int = 0


def windows_of(period: Span, train_ms: int, trade_ms: int, anchored: bool) -> list[Window]:
    """Return the windows that fit into `period`; the last one may trade for less than `trade_ms`.

    What is left at the end is no window of its own where it is under a tenth of that: a minute says nothing.

    Args:
        anchored: every window is judged from the very start on, not over `train_ms` only.
    Raises:
        UsageError: not one window fits.
    """
    start, finish = period
    if start + train_ms >= finish:
        raise UsageError(
            f"there is no time left to trade: the period is {_days(finish - start)} long, --train takes {_days(train_ms)}; "
            "take a shorter --train or a longer period"
        )
    windows: list[Window] = []
    begin = start + train_ms
    while begin < finish and (not windows or finish - begin >= trade_ms * LEAST_SHARE):
        windows.append(Window(start if anchored else begin - train_ms, begin, min(begin + trade_ms, finish)))
        begin += trade_ms
    return windows


def choose(
    figures: Mapping[int, Mapping[str, Any]], objective: str, least_trades: int, stand_aside: bool
) -> int | None:
    """Return the best cell by `objective`, None where none traded enough, or none made money and `stand_aside` is set."""
    scores = {index: score(objective, f, least_trades) for index, f in figures.items()}
    best = max(scores, key=lambda index: (scores[index], -index), default=None)
    if best is None or not math.isfinite(scores[best]):
        return None
    return None if stand_aside and figures[best]["net_pnl_usd"] <= 0 else best


def build_walk(facts: WalkFacts, cells: Sequence[Cell], walked: Sequence[Walked]) -> dict[str, Any]:
    """Return the document of a walk, JSON-able, nothing rounded."""
    period = (walked[0].window.trade_ms, walked[-1].window.finish_ms)
    trades = np.concatenate([w.trades for w in walked])
    daily, edges = daily_pnl(trades, *period), _edges(walked)
    figures = figures_of(trades, facts.starting_balance)
    title = (
        f"{', '.join(v.name for v in facts.variants)}: {counted(len(cells), 'cell')}, {facts.train} to choose, "
        f"{facts.trade} to trade, {counted(len(walked), 'window')}"
    )
    document = head_of(facts, title, (walked[0].window.train_ms, period[1])) | {
        "traded_from": iso(period[0]),
        "train": facts.train,
        "trade": facts.trade,
        "anchored": facts.anchored,
        "stand_aside": facts.stand_aside,
        "starting_balance": facts.starting_balance,
        "cells": len(cells),
        "windows": [_window(cells, w) for w in walked],
        "out": {
            "figures": figures,
            "days": day_names(*period),
            "daily_pnl_usd": daily.tolist(),
            "curve": {"at": [iso(at) for at in edges], "pnl_usd": _added_up(trades, edges)},
            "statistics": {
                "total_usd": careful_total(daily, seed=SEED).document(),
                "mean_daily_usd": careful_mean(daily, seed=SEED).document(),
                "sharpe_daily": careful_sharpe(daily, seed=SEED).document(),
                "win_rate": careful_win_rate(*daily_wins(trades, *period), seed=SEED).document(),
            },
        },
        "own": _own(facts, walked, daily, edges),
        "choices": _choices(walked),
        "config": {v.name: flatten(v.settings) for v in facts.variants},
    }
    document["sentences"] = _sentences(document)
    document["notes"] = _notes(facts, document)
    safe: dict[str, Any] = json_safe(document)
    return safe


def _window(cells: Sequence[Cell], walked: Walked) -> dict[str, Any]:
    window = walked.window
    out = figures_of(walked.trades, 1.0)
    return {
        "train": iso(window.train_ms),
        "trade": iso(window.trade_ms),
        "finish": iso(window.finish_ms),
        "chosen": walked.chosen,
        "label": None if walked.chosen is None else cells[walked.chosen].label,
        "variant": None if walked.chosen is None else cells[walked.chosen].variant,
        "values": None if walked.chosen is None else dict(cells[walked.chosen].values),
        "in": None if walked.train is None else {k: walked.train[k] for k in WINDOW_FIGURES},
        "out": {k: out[k] for k in WINDOW_FIGURES},
        "cells": walked.cells,
    }


def _edges(walked: Sequence[Walked]) -> list[int]:
    """Return where the curve has points: the start, the end of every day and of every window.

    So what a window made lies between its own start and end, whatever the hour at which it begins.
    """
    days = day_edges(walked[0].window.trade_ms, walked[-1].window.finish_ms)
    return sorted({*days, *(w.window.finish_ms for w in walked)})


def _added_up(trades: NDArray[np.void], edges: Sequence[int]) -> list[float]:
    """Return the P&L that was closed by each of `edges`; a close at the very end, or booked after it, is in the last one."""
    closed = np.minimum(trades["closed_at_ms"], edges[-1])
    order = np.argsort(closed, kind="stable")
    total = np.concatenate(([0.0], np.cumsum(trades["pnl_usd"][order])))
    found: list[float] = total[np.searchsorted(closed[order], edges, side="right")].tolist()
    return found


def _own(
    facts: WalkFacts, walked: Sequence[Walked], chosen: NDArray[np.float64], edges: Sequence[int]
) -> list[dict[str, Any]]:
    """Return what each variant made as it is, and how much more than that choosing made, by day (`ahead_usd`)."""
    found = []
    for variant in facts.variants:
        trades = np.concatenate([w.own[variant.name] for w in walked])
        figures = figures_of(trades, variant.settings.sizing.starting_balance)
        daily = daily_pnl(trades, edges[0], edges[-1])
        found.append(
            {
                "variant": variant.name,
                "figures": {k: figures[k] for k in WINDOW_FIGURES},
                "daily_pnl_usd": daily.tolist(),
                "curve_pnl_usd": _added_up(trades, edges),
                "ahead_usd": careful_total(chosen - daily, seed=SEED).document(),
            }
        )
    return found


def _choices(walked: Sequence[Walked]) -> dict[str, Any]:
    """Return how steady the choice was, and how much of what was seen in sample came out of it, per 24 hours."""
    chosen = [w.chosen for w in walked]
    both = [w for w in walked if w.chosen is not None and w.train is not None]
    inside = sum(w.train["net_pnl_usd"] for w in both if w.train)
    outside = sum(float(w.trades["pnl_usd"].sum()) for w in both)
    days_in = sum(w.window.trade_ms - w.window.train_ms for w in both) / DAY_MS
    days_out = sum(w.window.finish_ms - w.window.trade_ms for w in both) / DAY_MS
    per_day_in, per_day_out = (inside / days_in, outside / days_out) if both else (None, None)
    return {
        "different": len({c for c in chosen if c is not None}),
        "changed": sum(a != b for a, b in pairwise(chosen)),
        "stood_aside": sum(c is None for c in chosen),
        "per_day_in_usd": per_day_in,
        "per_day_out_usd": per_day_out,
        "efficiency": per_day_out / per_day_in if per_day_in and per_day_out is not None and per_day_in > 0 else None,
    }


def _sentences(document: Mapping[str, Any]) -> list[str]:
    figures, statistics, choices = document["out"]["figures"], document["out"]["statistics"], document["choices"]
    total = statistics["total_usd"]
    said = [
        f"Out of sample: {counted(figures['trades'], 'trade')}, {figures['net_pnl_usd']:+,.2f} USD over "
        f"{counted(len(document['windows']), 'window')}, {counted(len(document['out']['days']), 'UTC date')}"
        + (
            f"; 95 % interval {total['low']:+,.2f} to {total['high']:+,.2f}."
            if total["low"] is not None and math.isfinite(total["low"])
            else f"; no interval: {total['reason']}."
        )
    ]
    if figures["win_rate_needed"] is not None:
        had = statistics["win_rate"]
        between = f" (95 % interval {had['low']:.0%} to {had['high']:.0%})" if had["low"] is not None else ""
        said.append(f"Win rate {figures['win_rate']:.0%} had{between}, {figures['win_rate_needed']:.0%} needed.")
    if choices["per_day_in_usd"] is not None:
        said.append(
            f"24 hours in sample made {choices['per_day_in_usd']:+,.2f} USD, 24 hours out of sample {choices['per_day_out_usd']:+,.2f}"
            + _left(choices)
        )
    kept = ", ".join(f"{own['variant']} {own['figures']['net_pnl_usd']:+,.2f}" for own in document["own"])
    said.append(f"The variants as they are, over the same windows: {kept} USD.")
    said.append(
        f"{counted(choices['different'], 'cell')} in all chosen; the choice changed {counted(choices['changed'], 'time')}"
        + (f"; {counted(choices['stood_aside'], 'window')} not traded." if choices["stood_aside"] else ".")
    )
    return said


def _left(choices: Mapping[str, Any]) -> str:
    """Return how much of what 24 hours made in sample they still made out of it."""
    share, outside = choices["efficiency"], choices["per_day_out_usd"]
    if share is None:
        return "."
    if outside <= 0:
        return ": nothing of it was left" + ("." if outside == 0 else ", it turned into a loss.")
    return ": no less than in sample." if share >= 1 else f": {share:.0%} of it was left."


def _notes(facts: WalkFacts, document: Mapping[str, Any]) -> list[str]:
    notes = [_verified(facts.verification)] if facts.engine == "kernel" else []
    notes += [
        f"The cell with the best {document['objective_words']} "
        + ("since the start" if facts.anchored else f"over {facts.train}")
        + f" is traded for the next {facts.trade}; nothing after the choice is known to it.",
        "Each window is a run of its own: it begins flat, without cooldowns and bans from before, and what is open at its end "
        "is closed there (session_end).",
        "The account goes on from window to window: the balance at the start of one is what the last one left.",
    ]
    if facts.stand_aside:
        notes.append("After a window in which no cell made money nothing is traded (--stand-aside).")
    if facts.left_out_ms:
        notes.append(
            f"The last {format_duration(timedelta(milliseconds=facts.left_out_ms))} of the candles are less than a tenth of "
            f"{facts.trade}: no window of their own, and not traded."
        )
    return notes


def _verified(verification: Mapping[str, Any] | None) -> str:
    if verification is None:
        return UNVERIFIED
    traded, judged = verification["traded"], verification["judged"]
    return (
        f"Checked against Jesse, drawn at random: {counted(traded, 'run')} of those that make the curve out of sample, "
        f"{counted(judged, 'cell')} of a window they were chosen on; {compared(verification['trades'])}."
    )


def _days(ms: int) -> str:
    return f"{ms / DAY_MS:.1f} days"
