"""Figures of closed trades: one line a group (exit reason, symbol, day), drawdown, exposure, when the size cap bound.

Pure: no clock, no file, nothing rounded. A figure that does not exist (the average win of a run without wins) is None, never 0.
Start at `trade_line`, which every table of the report is made of.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Sequence
from datetime import UTC, datetime
from statistics import fmean, median
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from sigil_ext.bridge.records import Trade
from sigil_ext.rules.equity import drawdown_pct

DAY_MS = 86_400_000
K = TypeVar("K", bound=Hashable)


def iso(ms: int) -> str:
    """Return milliseconds since 1970 as `2025-06-17T03:15:00Z`; a part of a second is dropped."""
    return datetime.fromtimestamp(ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def json_safe(value: Any) -> Any:
    """Return `value` as JSON has it: NaN and infinity become None, numpy's values plain ones, times ISO text."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, np.ndarray):
        return json_safe(value.tolist())
    if isinstance(value, np.generic):
        return json_safe(value.item())
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(k): json_safe(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [json_safe(v) for v in value]
    return value.isoformat() if isinstance(value, datetime) else str(value)


def win_rate_needed(avg_win: float | None, avg_loss: float | None) -> float | None:
    """Return the share of winners, 0..1, at which wins of `avg_win` > 0 just pay for losses of `avg_loss` < 0 (USD)."""
    if avg_win is None or avg_loss is None:
        return None
    return -avg_loss / (avg_win - avg_loss)


def trade_line(trades: Sequence[Trade], of: int) -> dict[str, Any]:
    """Return the figures of a group of closed trades.

    A win is a trade with P&L above 0, a loss one under 0, a draw exactly 0; `win_rate` is wins by all trades. Losses keep
    their sign. R is the dollar risk at the hard stop; MAE and MFE are in R. `next_24h_*` cover the `next_24h_known` trades
    after which the candles go on for a day.

    Args:
        of: number of trades that `share`, 0..1, is a share of.
    """
    pnl = [t.pnl_usd for t in trades]
    wins, losses = [p for p in pnl if p > 0], [p for p in pnl if p < 0]
    avg_win, avg_loss = _mean(wins), _mean(losses)
    gross_win, gross_loss = math.fsum(wins), math.fsum(losses)
    after = [t for t in trades if t.next_24h_high_pct is not None]
    mae, mfe = _known(t.mae_r for t in trades), _known(t.mfe_r for t in trades)
    return {
        "count": len(trades),
        "share": len(trades) / of if of else 0.0,
        "pnl_usd": math.fsum(pnl),
        "avg_pnl_usd": _mean(pnl),
        "avg_pnl_r": _mean(_known(t.pnl_usd / t.risk_usd if t.risk_usd else None for t in trades)),
        "wins": len(wins),
        "draws": len(trades) - len(wins) - len(losses),
        "losses": len(losses),
        "win_rate": len(wins) / len(trades) if trades else None,
        "avg_win_usd": avg_win,
        "avg_loss_usd": avg_loss,
        "payoff_ratio": None if avg_win is None or avg_loss is None else avg_win / -avg_loss,
        "win_rate_needed": win_rate_needed(avg_win, avg_loss),
        "profit_factor": gross_win / -gross_loss if gross_loss else None,
        "fee_usd": math.fsum(t.fee for t in trades),
        "mae_r_mean": _mean(mae),
        "mae_r_median": median(mae) if mae else None,
        "mfe_r_mean": _mean(mfe),
        "mfe_r_median": median(mfe) if mfe else None,
        "next_24h_known": len(after),
        "next_24h_high_pct": _mean(_known(t.next_24h_high_pct for t in after)),
        "next_24h_low_pct": _mean(_known(t.next_24h_low_pct for t in after)),
        "avg_minutes": _mean([(t.closed_at_ms - t.opened_at_ms) / 60_000 for t in trades]),
    }


def short_line(trades: Sequence[Trade]) -> dict[str, Any]:
    """Return count, P&L, wins, draws, losses, win rate and hard stops of a group."""
    line = trade_line(trades, len(trades))
    kept = {k: line[k] for k in ("count", "pnl_usd", "wins", "draws", "losses", "win_rate")}
    return kept | {"hard_stops": sum(t.exit_reason == "hard_stop" for t in trades)}


def grouped(trades: Iterable[Trade], key: Callable[[Trade], K]) -> dict[K, list[Trade]]:
    """Return the trades by `key`, groups in the order of their first trade."""
    groups: dict[K, list[Trade]] = {}
    for trade in trades:
        groups.setdefault(key(trade), []).append(trade)
    return groups


def deepest_fall(times_ms: Sequence[int] | NDArray[np.int64], equity: NDArray[np.float64]) -> dict[str, Any]:
    """Return the largest fall of `equity` from its peak so far: percent (>= 0), USD (>= 0), when it began and bottomed.

    All four describe the same fall. Without a fall the figures are 0 and the times None.
    """
    nothing = {"pct": 0.0, "usd": 0.0, "peak_at": None, "trough_at": None}
    falls = drawdown_pct(equity)
    if len(falls) == 0 or not falls.max() > 0:
        return nothing
    trough = int(falls.argmax())
    peak = int(equity[: trough + 1].argmax())
    return {
        "pct": float(falls[trough]),
        "usd": float(equity[peak] - equity[trough]),
        "peak_at": iso(int(times_ms[peak])),
        "trough_at": iso(int(times_ms[trough])),
    }


def exposure(trades: Iterable[Trade], start_ms: int, finish_ms: int) -> tuple[float, int]:
    """Return (share of the time, 0..1, with a position open, most positions open at once)."""
    covered, until, most = 0, start_ms, 0
    edges: list[tuple[int, int]] = []
    for trade in sorted(trades, key=lambda t: t.opened_at_ms):
        opened, closed = max(trade.opened_at_ms, start_ms), min(trade.closed_at_ms, finish_ms)
        covered += max(0, closed - max(opened, until))
        until = max(until, closed)
        edges += [(trade.opened_at_ms, 1), (trade.closed_at_ms, -1)]
    now_open = 0
    for _, step in sorted(edges):  # a close before an open of the same instant
        now_open += step
        most = max(most, now_open)
    return covered / max(1, finish_ms - start_ms), most


def longest_streak(trades: Sequence[Trade], *, won: bool) -> int:
    """Return the most wins, or losses, in a row by time of close. A draw ends both."""
    longest = streak = 0
    for trade in sorted(trades, key=lambda t: t.closed_at_ms):
        streak = streak + 1 if (trade.pnl_usd > 0 if won else trade.pnl_usd < 0) else 0
        longest = max(longest, streak)
    return longest


def cap_figures(
    trades: Sequence[Trade], max_position_usd: float, risk_per_trade_usd: float, widest_stop_pct: float
) -> dict[str, Any]:
    """Return how often the size cap bound and the real dollar risk then, with a sentence.

    Args:
        max_position_usd, risk_per_trade_usd: settings, 0 = none. widest_stop_pct: `hard_stop.cap_pct`.
    """
    bound = [t for t in trades if t.cap_bound]
    risks, bound_risks = _known(t.risk_usd for t in trades), _known(t.risk_usd for t in bound)
    figures = {
        "max_position_usd": max_position_usd,
        "risk_per_trade_usd": risk_per_trade_usd,
        "trades": len(trades),
        "bound": len(bound),
        "share": len(bound) / len(trades) if trades else None,
        "cash_bound": sum(t.cash_bound for t in trades),
        "bound_risk_usd": _spread(bound_risks),
        "risk_usd": _spread(risks),
        "always_binds": bool(
            max_position_usd and risk_per_trade_usd and risk_per_trade_usd / max_position_usd * 100 > widest_stop_pct
        ),
    }
    return figures | {"sentence": _cap_sentence(figures, widest_stop_pct)}


def _cap_sentence(cap: dict[str, Any], widest_stop_pct: float) -> str:
    limit, asked, bound, trades = cap["max_position_usd"], cap["risk_per_trade_usd"], cap["bound"], cap["trades"]
    always = ""
    if cap["always_binds"]:
        always = (
            f" With these settings it always binds: for every stop under {asked / limit * 100:g} %, and no stop is wider "
            f"than {widest_stop_pct:g} %. Risk is not constant."
        )
    if not trades:
        return "No position was opened, so no size was tested."
    if not limit:
        risk = cap["risk_usd"]
        return f"No size cap is set. Positions risked {_dollars(risk)} at the hard stop."
    if not bound:
        return (
            f"The size cap of ${limit:,.2f} never bound: positions risked {_dollars(cap['risk_usd'])} at the hard stop."
        )
    against = f", not the ${asked:,.2f} asked for" if asked else ""
    return (
        f"The size cap of ${limit:,.2f} bound on {bound} of {trades} entries ({bound / trades * 100:.0f} %). "
        f"They risked {_dollars(cap['bound_risk_usd'])} at the hard stop{against}." + always
    )


def _dollars(spread: dict[str, float] | None) -> str:
    if spread is None:
        return "an unknown amount"
    if spread["max"] - spread["min"] < 0.005:
        return f"${spread['mean']:,.2f}"
    return f"${spread['min']:,.2f} to ${spread['max']:,.2f} (mean ${spread['mean']:,.2f})"


def _spread(values: Sequence[float]) -> dict[str, float] | None:
    return {"mean": fmean(values), "min": min(values), "max": max(values)} if values else None


def _mean(values: Sequence[float]) -> float | None:
    return fmean(values) if values else None


def _known(values: Iterable[float | None]) -> list[float]:
    return [v for v in values if v is not None and math.isfinite(v)]
