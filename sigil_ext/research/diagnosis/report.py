"""The diagnosis as a document: every figure of every run, unrounded, JSON-able. Start at `diagnose`."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sigil_ext.research.backtest_format import counted
from sigil_ext.research.backtest_stats import iso, json_safe
from sigil_ext.research.diagnosis import figures
from sigil_ext.research.diagnosis.candles import Candles
from sigil_ext.research.diagnosis.entries import Position, Run
from sigil_ext.research.diagnosis.ladder import Rung, by_day, climb, line, rung
from sigil_ext.research.diagnosis.noise import Noise, measure_noise
from sigil_ext.research.diagnosis.parts import Today, decompose
from sigil_ext.research.diagnosis.sentences import sentences_of
from sigil_ext.research.statistics import careful_ratio

Floats = NDArray[np.float64]
Progress = Callable[[str, float], None]


def diagnose(
    runs: Sequence[Run],
    minutes: Mapping[str, Floats],
    *,
    start_ms: int,
    finish_ms: int,
    today: Today,
    seed: int,
    source: str,
    intervals: Mapping[str, int] | None = None,
    progress: Progress = lambda label, share: None,
) -> dict[str, Any]:
    """Return the diagnosis of `runs` on the candles `minutes` (by symbol, Jesse's columns; none is possible).

    Args:
        start_ms, finish_ms: the period of the runs; random entries are drawn within it. seed: of every draw.
        intervals: length of the recorded bars in minutes, by symbol.
    """
    lines = [_run(run, minutes, start_ms, finish_ms, today, seed, progress) for run in runs]
    for found in lines:
        found["sentences"] = sentences_of(found)
    document = {
        "kind": "hard-stops",
        "source": source,
        "start": iso(start_ms),
        "finish": iso(finish_ms),
        "seed": seed,
        "symbols": sorted(minutes),
        "bar_minutes": sorted(set((intervals or {}).values())),
        "runs": lines,
        "together": figures.together(runs) if len(runs) > 1 else None,
    }
    safe: dict[str, Any] = json_safe(document)
    return safe


def _run(
    run: Run, minutes: Mapping[str, Floats], start_ms: int, finish_ms: int, today: Today, seed: int, progress: Progress
) -> dict[str, Any]:
    progress(run.name, 0.0)
    candles = Candles(minutes, start_ms, finish_ms, run.rule.signal_minutes, run.rule.atr_minutes)
    noise = measure_noise(run.positions, candles, seed=seed)
    progress(run.name, 0.4)
    walkable = [run.positions[i] for i in noise.places if not run.positions[i].by_hand]
    stops, trails = climb(run.rule, walkable, candles)
    progress(run.name, 0.7)
    seen = _of(noise, [i for i in noise.places if not run.positions[i].by_hand])
    widths = figures.stop_pcts(run)[noise.places] if len(noise.places) else np.empty(0)
    touched, quiet = noise.touched(widths), noise.quiet_stop()
    hard = [p for p in run.positions if p.hard_stopped]
    document = {
        "name": run.name,
        "settings": run.settings,
        "positions": len(run.positions),
        "entries": sum(len(p.buys) for p in run.positions),
        "net_usd": math.fsum(p.pnl_usd for p in run.positions),
        "hard_stops": {
            "count": len(hard),
            "share": len(hard) / len(run.positions) if run.positions else math.nan,
            "net_usd": math.fsum(p.pnl_usd for p in hard),
        },
        "payoff": figures.payoff(run.positions, seed=seed),
        "distance": figures.distances(run, candles),
        "noise": {
            "positions": len(noise.places),
            "random": touched[0], "low": touched[1], "high": touched[2], "own": touched[3],
            "difference": _difference(run, noise, widths, seed),
            "holding_minutes": figures.spread(noise.holding_minutes),
            "draws": len(noise.random),
            "quiet_stop_atr": quiet[0],
            "quiet_stop_touched": quiet[1],
            "curve": noise.curve(),
        },
        "excursions": figures.excursions(run, candles),
        "offenders": figures.offenders(run),
        "ladder": [line(r, stops[0], walkable, seen, seed=seed) for r in stops],
        "trails": [line(r, trails[0], walkable, seen, seed=seed) for r in trails],
        "parts": decompose(run, candles, noise, today, seed=seed),
        "by_symbol": _by_symbol(run, candles, noise, stops[0], walkable),
        "walk": _check(walkable, stops[0]),
        "notes": [*run.notes, *_notes(run, noise, walkable)],
    }  # fmt: skip
    progress(run.name, 1.0)
    return document


def _difference(run: Run, noise: Noise, widths: Floats, seed: int) -> dict[str, Any]:
    """Return own share touched less that of random entries, with an interval by day."""
    here = [run.positions[i] for i in noise.places]
    return careful_ratio(
        by_day(here, noise.touched_more(widths)),
        by_day(here, np.ones(len(here))),
        seed=seed,
        what="position has candles",
    ).document()


def _by_symbol(
    run: Run, candles: Candles, noise: Noise, first: Rung, walkable: Sequence[Position]
) -> list[dict[str, Any]]:
    """Return a line a symbol, the largest loss to hard stops first: distances, noise, and today's two multipliers."""
    stops, atrs = figures.stop_pcts(run), figures.atr_pcts(run, candles)
    near, far = (
        rung("", "clamped", m, replace(run.rule.atrs(m), floor_pct=3.0, cap_pct=6.0), walkable, candles)
        for m in (1.5, 2.5)
    )
    lines = []
    for symbol in sorted({p.symbol for p in run.positions}):
        here = np.array([p.symbol == symbol for p in run.positions])
        group = [p for p in run.positions if p.symbol == symbol]
        columns = here[noise.places] if len(noise.places) else np.empty(0, dtype=bool)
        seen = _columns(noise, columns)
        touched = seen.touched(stops[seen.places]) if len(seen.places) else (math.nan,) * 4
        mine = np.array([p.symbol == symbol for p in walkable], dtype=bool)
        hard = [p for p in group if p.hard_stopped]
        lines.append({
            "symbol": symbol, "positions": len(group), "entries": sum(len(p.buys) for p in group),
            "hard_stops": len(hard), "hard_stop_usd": math.fsum(p.pnl_usd for p in hard),
            "net_usd": math.fsum(p.pnl_usd for p in group),
            "stop_pct": figures.spread(stops[here])["median"], "atr_pct": figures.spread(atrs[here])["median"],
            "stop_atr": figures.spread((stops / atrs)[here])["median"],
            "noise_random": touched[0], "noise_own": touched[3],
            "walked": int(mine.sum()), "as_set_usd": _sum(first, mine),
            "at_1_5_atr_usd": _sum(near, mine), "at_2_5_atr_usd": _sum(far, mine),
            "at_1_5_atr_hard_stops": _hard_stops(near, mine), "at_2_5_atr_hard_stops": _hard_stops(far, mine),
        })  # fmt: skip
    return sorted(lines, key=lambda x: (x["hard_stop_usd"], x["symbol"]))


def _sum(found: Rung, mine: NDArray[np.bool_]) -> float:
    """Return what the positions `mine` made; NaN where none of them could be walked."""
    return float(found.net_usd[mine].sum()) if mine.any() else math.nan


def _hard_stops(found: Rung, mine: NDArray[np.bool_]) -> int | None:
    return sum(w.reason == "hard_stop" for w, m in zip(found.walked, mine, strict=True) if m) if mine.any() else None


def _of(noise: Noise, places: Sequence[int]) -> Noise:
    """Return the noise of the positions `places` only."""
    return _columns(noise, np.isin(noise.places, np.array(places, dtype=np.int64)))


def _columns(noise: Noise, wanted: NDArray[np.bool_]) -> Noise:
    return Noise(
        noise.places[wanted], noise.random[:, wanted], noise.own[:, wanted], noise.random_atr[:, wanted],
        noise.own_atr[:, wanted], noise.holding_minutes,
    )  # fmt: skip


def _check(walkable: Sequence[Position], first: Rung) -> dict[str, int]:
    """Return how many of the positions that were walked under the rule as set end as they did in fact, to the minute."""
    same = sum(
        w.closed_at_ms == p.closed_at_ms
        and w.reason == p.exit_reason
        and math.isclose(w.exit_price, p.exit_price, rel_tol=1e-9)
        for p, w in zip(walkable, first.walked, strict=True)
    )
    return {"walked": len(walkable), "same": same}


def _notes(run: Run, noise: Noise, walkable: Sequence[Position]) -> list[str]:
    notes = []
    dark, by_hand = len(run.positions) - len(noise.places), sum(p.by_hand for p in run.positions)
    if not run.positions:
        notes.append("No position was closed: there is nothing to diagnose.")
    if dark:
        notes.append(
            f"{dark} of {counted(len(run.positions), 'position')} without candles: noise, falls and other stops leave them out."
        )
    if by_hand:
        notes.append(f"Ended by a person or a switch, and walked under no other stop: {counted(by_hand, 'position')}.")
    if any(p.stop_pct != p.stop_pct for p in run.positions):
        notes.append(f"Rows without a stop were taken to have the fixed one of {run.rule.floor_pct:g} %.")
    if 0 < len(run.positions) < 100:
        notes.append(f"{counted(len(run.positions), 'position')}: few; read the intervals before the figures.")
    return notes
