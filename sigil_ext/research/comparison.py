"""Two sides (variants, runs, paper periods) against each other: by day, by signal, and how sure the difference is.

Pure: it runs nothing and reads no file. P&L is after costs and counts on the UTC day on which a trade closed; differences
are A - B. Start at `compare_sides`; the figures of a side are in `comparison_figures.py`, what the settings have to do with
it in `comparison_settings.py`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sigil_ext.errors import UsageError
from sigil_ext.research import statistics as stats
from sigil_ext.research.backtest_format import counted
from sigil_ext.research.backtest_stats import DAY_MS, iso
from sigil_ext.research.comparison_figures import (
    SEED,
    ComparedTrade,
    Floats,
    figures_of,
    money,
)
from sigil_ext.research.comparison_settings import explain_settings
from sigil_ext.research.statistics import Estimate


@dataclass(frozen=True, slots=True)
class Side:
    """One side: what it is called, where it comes from (backtest, report, paper), its period (finish exclusive)."""

    name: str
    source: str
    start_ms: int
    finish_ms: int
    trades: tuple[ComparedTrade, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)
    symbols: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def compare_sides(a: Side, b: Side, *, effect_usd: float | None = None, seed: int = SEED) -> dict[str, Any]:
    """Return the comparison over the time that both sides cover, as plain values.

    Args:
        effect_usd: the difference a day that would matter; None: as large as the one seen.
    Raises:
        UsageError: they share no time.
    """
    start, finish = max(a.start_ms, b.start_ms), min(a.finish_ms, b.finish_ms)
    if start >= finish:
        raise UsageError(
            f"{a.name} ({_span(a)}) and {b.name} ({_span(b)}) share no time, and only the same days can be paired"
        )
    mine, theirs = (_within(side.trades, start, finish) for side in (a, b))
    days = _Days(start, finish)
    usd = (days.sums(mine, _usd), days.sums(theirs, _usd))
    in_r = all(t.r is not None for t in (*mine, *theirs))
    same = _key_set(mine) == _key_set(theirs) and np.array_equal(*usd)
    by_day = stats.careful_mean(usd[0] - usd[1], seed=seed)
    by_signal = _by_signal(mine, theirs)
    power = _power(usd[0] - usd[1], len(mine) + len(theirs), effect_usd)
    settings = explain_settings(a.settings, b.settings, a.name, b.name)
    document = {
        "a": _figures(a, mine, days, seed), "b": _figures(b, theirs, days, seed),
        "start": iso(start), "finish": iso(finish), "days": len(days),
        "by_day": {
            "usd": by_day.document(),
            "r": stats.careful_mean(days.sums(mine, _r) - days.sums(theirs, _r), seed=seed).document() if in_r else None,
            "series": [
                {"day": day, "a_usd": float(x), "b_usd": float(y)} for day, x, y in zip(days.names, *usd, strict=True)
            ],
        },
        "by_signal": by_signal,
        "power": power,
        "settings": settings,
    }  # fmt: skip
    outcome = "same" if same else _outcome(by_day)
    return document | {
        "verdict": {"outcome": outcome, "sentence": _sentence(outcome, document)},
        "notes": _notes(a, b, document, in_r),
    }


class _Days:
    """The UTC days of [start, finish); what closes at the very end belongs to the last one."""

    def __init__(self, start_ms: int, finish_ms: int) -> None:
        self._first, self._last = start_ms // DAY_MS, (finish_ms - 1) // DAY_MS
        self.names = [iso(day * DAY_MS)[:10] for day in range(self._first, self._last + 1)]

    def __len__(self) -> int:
        return len(self.names)

    def sums(self, trades: Sequence[ComparedTrade], value: Callable[[ComparedTrade], float]) -> Floats:
        """Return the sum of `value` over the trades of each day, 0 on days without one."""
        found = np.zeros(len(self))
        for trade in trades:
            found[min(trade.closed_ms // DAY_MS, self._last) - self._first] += value(trade)
        return found


def _usd(trade: ComparedTrade) -> float:
    return trade.pnl_usd


def _r(trade: ComparedTrade) -> float:
    return trade.r or 0.0


def _within(trades: Sequence[ComparedTrade], start_ms: int, finish_ms: int) -> list[ComparedTrade]:
    return sorted(
        (t for t in trades if start_ms <= t.closed_ms <= finish_ms), key=lambda t: (t.closed_ms, t.symbol, t.opened_ms)
    )


def _key_set(trades: Sequence[ComparedTrade]) -> set[tuple[str, int, int, float]]:
    return {(t.symbol, t.opened_ms, t.closed_ms, t.pnl_usd) for t in trades}


# --- one side -----------------------------------------------------------------------------------------------------


def _figures(side: Side, trades: Sequence[ComparedTrade], days: _Days, seed: int) -> dict[str, Any]:
    return {
        "name": side.name,
        "source": side.source,
        "start": iso(side.start_ms),
        "finish": iso(side.finish_ms),
        "trades_outside": len(side.trades) - len(trades),
        "symbols": len(side.symbols) or None,
    } | figures_of(trades, [days.sums(trades, f) for f in (_usd, lambda t: t.pnl_usd > 0, lambda t: 1)], seed)


# --- by signal ----------------------------------------------------------------------------------------------------


def _by_signal(mine: Sequence[ComparedTrade], theirs: Sequence[ComparedTrade]) -> dict[str, Any]:
    """Return what the same entries brought on both sides, and what each side took alone. The three sums add up."""
    ours, others = ({(t.symbol, t.opened_ms): t for t in trades} for trades in (mine, theirs))
    keys = sorted(ours.keys() & others.keys(), key=lambda k: (k[1], k[0]))
    pairs = [(ours[k], others[k]) for k in keys]
    both_r = [(a.r, b.r) for a, b in pairs if a.r is not None and b.r is not None]
    shared = stats.paired_difference(*_columns([(a.pnl_usd, b.pnl_usd) for a, b in pairs]))
    return {
        "pairs": len(pairs),
        "usd": shared.document(),
        "r": stats.paired_difference(*_columns(both_r)).document() if len(both_r) == len(pairs) else None,
        "same_exit": sum(a.exit_reason == b.exit_reason and a.closed_ms == b.closed_ms for a, b in pairs),
        "difference_usd": math.fsum(a.pnl_usd - b.pnl_usd for a, b in pairs),
        "only_a": _alone([t for k, t in ours.items() if k not in others]),
        "only_b": _alone([t for k, t in others.items() if k not in ours]),
    }


def _alone(trades: Sequence[ComparedTrade]) -> dict[str, Any]:
    return {"trades": len(trades), "pnl_usd": math.fsum(t.pnl_usd for t in trades)}


def _columns(pairs: Sequence[tuple[float, float]]) -> tuple[Floats, Floats]:
    table = np.array(pairs, dtype=np.float64).reshape(-1, 2)
    return table[:, 0], table[:, 1]


# --- how sure -----------------------------------------------------------------------------------------------------


def _power(gaps: Floats, trades: int, effect_usd: float | None) -> dict[str, Any]:
    """Return what so many days can show, and how many days the effect in question needs."""
    spread = stats.day_spread(gaps)
    effect = float(gaps.mean()) if effect_usd is None else effect_usd
    least = stats.minimum_detectable_effect(spread.value, len(gaps))
    needed = stats.days_until_verdict(effect, spread.value)
    further = max(0.0, needed.value - len(gaps)) if needed.known else None
    return {
        "days": len(gaps),
        "spread_usd": spread.document(),
        "minimum_detectable_usd": least.document(),
        "effect_usd": effect,
        "effect_is": "as seen" if effect_usd is None else "asked for",
        "days_needed": needed.document(),
        "further_days": further,
        "trades_needed": needed.value * trades / len(gaps) if needed.known else None,
    }


def _outcome(by_day: Estimate) -> str:
    if not math.isfinite(by_day.low):
        return "unknown"
    return "a" if by_day.low > 0 else "b" if by_day.high < 0 else "none"


def _sentence(outcome: str, document: Mapping[str, Any]) -> str:
    a, b, power = document["a"]["name"], document["b"]["name"], document["power"]
    found, days = document["by_day"]["usd"], document["days"]
    if outcome == "same":
        return f"{a} and {b} made the same trades over these {days} days."
    seen = f"{money(found['value'])} a day"
    if outcome == "unknown":
        return f"No verdict: {a} less {b} is {seen}, and {found['reason']}."
    between = f"95 % interval {money(found['low'])} to {money(found['high'])}"
    if outcome in ("a", "b"):
        better, worse, sign = (a, b, 1) if outcome == "a" else (b, a, -1)
        lost = "; both lost money" if max(document["a"]["pnl_usd"], document["b"]["pnl_usd"]) < 0 else ""
        return f"{better} did better than {worse} by {money(sign * found['value'])} a day (A - B: {between}){lost}."
    least, needed = power["minimum_detectable_usd"]["value"], power["days_needed"]["value"]
    rest = f"; {days} days show a difference of {money(least)[1:]} a day or more" if least is not None else ""
    if needed is not None:
        size = f"of {money(abs(power['effect_usd']))[1:]}" if power["effect_is"] == "asked for" else "as large as this"
        rest += f", one {size} needs about {needed:,.0f} days ({power['further_days']:,.0f} more)"
    return f"No verdict: {a} less {b} is {seen} ({between}){rest}."


def _notes(a: Side, b: Side, document: Mapping[str, Any], in_r: bool) -> list[str]:
    notes = [f"{side.name}: {note}" for side in (a, b) for note in side.notes]
    for side, key in ((a, "a"), (b, "b")):
        if outside := document[key]["trades_outside"]:
            notes.append(
                f"{counted(outside, 'trade')} of {side.name} closed outside the time that both cover: left out."
            )
    if a.symbols and b.symbols and set(a.symbols) != set(b.symbols):
        notes.append(f"The pools differ: {len(set(a.symbols) ^ set(b.symbols))} symbols are on one side only.")
    if {a.source, b.source} & {"paper", "report"} and a.source != b.source:
        notes.append("The sides come from different sources; that the candles are the same is not checked.")
    if any(row["key"].startswith("sizing.") for row in document["settings"]["differing"]) and in_r:
        notes.append("Sizes differ by setting: what a trade is worth is told by R, not by dollars.")
    if not in_r:
        notes.append("The risk of some trades is not known, so nothing is compared in R.")
    return notes


def _span(side: Side) -> str:
    return f"{iso(side.start_ms)[:16]} to {iso(side.finish_ms)[:16]}"
