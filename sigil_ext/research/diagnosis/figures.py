"""Figures of a run that need no second run: distances, falls, payoff, repeat offenders, entries made together."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sigil_ext.research.diagnosis.candles import HOUR_MS, Candles, SymbolCandles
from sigil_ext.research.diagnosis.entries import Position, Run
from sigil_ext.research.diagnosis.ladder import by_day
from sigil_ext.research.statistics import bootstrap_win_rate, careful_ratio, proportion, win_rate_needed
from sigil_ext.rules.indicators import HIGH, LOW

Floats = NDArray[np.float64]

DAY_MS = 24 * HOUR_MS
# Hours since the last entry on the symbol: the upper end of each class.
SINCE = ((1.0, "under 1 h"), (6.0, "1 to 6 h"), (24.0, "6 to 24 h"), (168.0, "1 to 7 d"), (math.inf, "over 7 d"))
FIRST = "first"


def spread(values: Sequence[float] | Floats) -> dict[str, float | int]:
    """Return count, median and the 10th and 90th percentile of what is finite; NaN where nothing is."""
    array = np.asarray(values, dtype=np.float64)
    known = array[np.isfinite(array)]
    low, middle, high = np.quantile(known, [0.1, 0.5, 0.9]) if len(known) else (math.nan,) * 3
    return {"n": len(known), "p10": float(low), "median": float(middle), "p90": float(high)}


def payoff(positions: Sequence[Position], *, seed: int) -> dict[str, Any]:
    """Return win rate had and needed, net and before costs, with intervals by day and by trade."""
    net = np.array([p.pnl_usd for p in positions])
    gross = np.array([sum(b.qty * (p.exit_price - b.price) for b in p.buys) for p in positions])
    won, n = int((net > 0).sum()), len(positions)
    mean_win, mean_loss = _means(net)
    ones = np.ones(n)
    return {
        "win_rate": bootstrap_win_rate(by_day(positions, (net > 0) * ones), by_day(positions, ones), seed=seed).document(),
        "win_rate_by_trade": proportion(won, n).document(),
        "win_rate_needed": win_rate_needed(mean_win, mean_loss),
        "win_rate_before_costs": float((gross > 0).mean()) if n else math.nan,
        "win_rate_needed_before_costs": win_rate_needed(*_means(gross)),
        "mean_win_usd": mean_win,
        "mean_loss_usd": -mean_loss,
        "payoff_ratio": mean_win / mean_loss,
        "mean_usd": careful_ratio(by_day(positions, net), by_day(positions, ones), seed=seed).document(),
        "by_exit": {
            reason: {
                "count": len(group),
                "share": len(group) / n,
                "net_usd": math.fsum(p.pnl_usd for p in group),
                "mean_usd": math.fsum(p.pnl_usd for p in group) / len(group),
                "mean_pct": float(np.mean([p.pnl_usd / p.notional_usd * 100 for p in group])),
            }
            for reason, group in _grouped(positions).items()
        },
    }  # fmt: skip


def distances(run: Run, candles: Candles) -> dict[str, Any]:
    """Return how far the stops stood: percent, ATRs at entry, ATR in percent of price."""
    stops, atrs = stop_pcts(run), atr_pcts(run, candles)
    ratio = stops / atrs
    known = ratio[np.isfinite(ratio)]
    return {
        "stop_pct": spread(stops),
        "atr_pct": spread(atrs),
        "stop_atr": spread(ratio),
        "under_1_atr": float((known < 1).mean()) if len(known) else math.nan,
        "under_2_atr": float((known < 2).mean()) if len(known) else math.nan,
        "histogram": known.tolist(),
    }


def stop_pcts(run: Run) -> Floats:
    """Return each position's stop in percent; where none was written, the fixed one of the run's rule."""
    return np.array([p.stop_pct if p.stop_pct == p.stop_pct else run.rule.floor_pct for p in run.positions])


def atr_pcts(run: Run, candles: Candles) -> Floats:
    """Return each position's ATR at entry in percent of its price: as written, else from the candles, else NaN."""
    found = []
    for p in run.positions:
        series = candles.of(p.symbol)
        atr = p.atr if p.atr == p.atr or series is None else series.atr_at(p.opened_at_ms)
        found.append(atr / p.entry_price * 100)
    return np.array(found, dtype=np.float64)


def excursions(run: Run, candles: Candles) -> dict[str, Any]:
    """Return the deepest fall while held, of positions that were hard-stopped and of the others, and what came after."""
    stopped: list[tuple[float, float]] = []
    others: list[tuple[float, float]] = []
    came_back: list[bool] = []
    after_high: list[float] = []
    atrs = atr_pcts(run, candles)
    for p, atr_pct in zip(run.positions, atrs, strict=True):
        series = candles.of(p.symbol)
        if series is None or not series.covers(p.opened_at_ms):
            continue
        low = min(p.exit_price, _extreme(series, p.opened_at_ms, p.closed_at_ms - 60_000, LOW))
        fall = (p.entry_price - low) / p.entry_price * 100
        (stopped if p.hard_stopped else others).append((fall, fall / atr_pct))
        if p.hard_stopped and int(series.ends_ms[-1]) >= p.closed_at_ms + DAY_MS:
            high = _extreme(series, p.closed_at_ms, p.closed_at_ms + DAY_MS, HIGH)
            came_back.append(high >= p.entry_price)
            after_high.append((high / p.exit_price - 1) * 100)
    back = proportion(sum(came_back), len(came_back))
    return {
        "stopped": {"pct": spread([a for a, _ in stopped]), "atr": spread([b for _, b in stopped])},
        "others": {"pct": spread([a for a, _ in others]), "atr": spread([b for _, b in others])},
        "stopped_pct": [a for a, _ in stopped],
        "others_pct": [a for a, _ in others],
        "back_at_entry_in_24h": back.document(),
        "high_in_24h_pct": spread(after_high),
    }


def offenders(run: Run) -> dict[str, Any]:
    """Return hard stops by symbol, the worst first, and how entries fared by the time since the last one on the symbol."""
    stopped: dict[str, list[Position]] = defaultdict(list)
    for p in run.positions:
        if p.hard_stopped:
            stopped[p.symbol].append(p)
    loss = {s: math.fsum(p.pnl_usd for p in group) for s, group in stopped.items()}
    total = math.fsum(loss.values())
    worst = sorted(loss, key=lambda s: (loss[s], s))
    hours = _hours_since_last(run.positions)
    classes: dict[str, list[Position]] = {label: [] for label in (FIRST, *(label for _, label in SINCE))}
    for p, h in zip(run.positions, hours, strict=True):
        classes[FIRST if math.isnan(h) else next(label for end, label in SINCE if h < end)].append(p)
    repeats = sum(len(group) for group in stopped.values() if len(group) > 1)
    return {
        "symbols": [
            {"symbol": s, "hard_stops": len(stopped[s]), "loss_usd": loss[s], "share_of_loss": loss[s] / total if total else math.nan}
            for s in worst
        ],
        "share_of_worst_five": math.fsum(loss[s] for s in worst[:5]) / total if total else math.nan,
        "hard_stops_on_repeat_symbols": repeats,
        "stacked": sum(len(p.buys) - 1 for p in run.positions),
        "since_last_entry": [
            {
                "since": label, "positions": len(group), "hard_stops": sum(p.hard_stopped for p in group),
                "net_usd": math.fsum(p.pnl_usd for p in group),
            }
            for label, group in classes.items()
        ],
        "hours_before_hard_stop": spread([h for p, h in zip(run.positions, hours, strict=True) if p.hard_stopped]),
        "hours_before_others": spread([h for p, h in zip(run.positions, hours, strict=True) if not p.hard_stopped]),
    }  # fmt: skip


def together(runs: Sequence[Run]) -> dict[str, Any]:
    """Return how many entries of each run were made at the same close on the same symbol as another run's, or any symbol."""
    keys = {r.name: Counter((p.symbol, b.at_ms) for p in r.positions for b in p.buys) for r in runs}
    lines = []
    for r in runs:
        mine = keys[r.name]
        others: set[tuple[str, int]] = set().union(*(set(k) for name, k in keys.items() if name != r.name))
        closes = Counter(at for (_, at), count in mine.items() for _ in range(count))
        n = sum(mine.values())
        lines.append({
            "run": r.name, "entries": n, "shared": sum(c for key, c in mine.items() if key in others),
            "same_close_own": sum(c for c in closes.values() if c > 1),
        })  # fmt: skip
    every = Counter(key for k in keys.values() for key in k)
    return {
        "runs": lines,
        "entries": sum(sum(k.values()) for k in keys.values()),
        "distinct": len(every),
        "by_how_many": {str(k): v for k, v in sorted(Counter(every.values()).items())},
    }


def _hours_since_last(positions: Sequence[Position]) -> list[float]:
    """Return for each position the hours since the last buy on its symbol before it, NaN for the first."""
    buys: dict[str, list[int]] = defaultdict(list)
    for p in positions:
        buys[p.symbol] += [b.at_ms for b in p.buys]
    for times in buys.values():
        times.sort()
    found = []
    seen: dict[tuple[str, int], int] = defaultdict(int)
    for p in positions:
        times = buys[p.symbol]
        # Rows of the earlier bot may open twice at one instant: the second one came 0 hours after the first.
        at = int(np.searchsorted(times, p.opened_at_ms, side="left")) + seen[p.symbol, p.opened_at_ms]
        seen[p.symbol, p.opened_at_ms] += 1
        found.append((p.opened_at_ms - times[at - 1]) / HOUR_MS if at else math.nan)
    return found


def _extreme(series: SymbolCandles, since_ms: int, until_ms: int, column: int) -> float:
    """Return the lowest low or highest high of the minutes that open in [since, until); NaN of none."""
    first, last = np.searchsorted(series.minutes[:, 0], (since_ms, until_ms))
    part = series.minutes[first:last, column]
    if not len(part):
        return math.inf if column == LOW else -math.inf
    return float(part.min() if column == LOW else part.max())


def _means(values: Floats) -> tuple[float, float]:
    """Return the mean win and the mean loss as a positive number; NaN of none."""
    wins, losses = values[values > 0], values[values < 0]
    return (
        float(wins.mean()) if len(wins) else math.nan,
        -float(losses.mean()) if len(losses) else math.nan,
    )


def _grouped(positions: Sequence[Position]) -> dict[str, list[Position]]:
    groups: dict[str, list[Position]] = defaultdict(list)
    for p in positions:
        groups[p.exit_reason].append(p)
    return dict(sorted(groups.items(), key=lambda item: (-len(item[1]), item[0])))
