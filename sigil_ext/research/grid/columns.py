"""Which figures of a cell a table shows and how, the same in the terminal and on the page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Column:
    """A figure: its key, what the terminal and the page call it, how it is written (`backtest_format.KINDS`)."""

    key: str
    short: str
    name: str
    kind: str


COLUMNS: tuple[Column, ...] = (
    Column("trades", "trades", "trades", "count"),
    Column("net_pnl_usd", "P&L", "net P&L", "signed_usd"),
    Column("net_pnl_r", "R", "R", "signed"),
    Column("win_rate", "win\nrate", "win rate", "percent"),
    Column("win_rate_needed", "need-\ned", "needed", "percent"),
    Column("payoff_ratio", "pay-\noff", "payoff", "ratio"),
    Column("hard_stop_share", "hard\nstops", "hard stops", "percent"),
    Column("max_drawdown_pct", "draw-\ndown", "drawdown", "pct"),
    Column("profit_factor", "profit\nfactor", "profit factor", "ratio"),
    Column("avg_trade_usd", "a\ntrade", "a trade", "signed_usd"),
)
EXPLAINED = (
    "R: distance from entry to hard stop. Needed: win rate at which this payoff breaks even. Drawdown: of closed trades. "
    "Stop/trail/flat: trades that ended by hard stop, trail and flat exit; +1: one that ended otherwise, as at the end of the run."
)
SAME_EXPLAINED = "(same): the trades are exactly those of another cell. "
COUNTED_EXITS = ("hard_stop", "atr_trail", "flat_no_move")


def by_score(document: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the cells that ran, best first by the objective; cells without a score last, by P&L."""
    ran = [cell for cell in document["cells"] if cell["problem"] is None]
    return sorted(
        ran,
        key=lambda c: (c["score"] is None, -(c["score"] or 0.0), -c["figures"]["net_pnl_usd"], c["index"]),
    )


def exit_counts(figures: Mapping[str, Any]) -> str:
    """Return the trades that ended by hard stop, trail and flat exit as `3/20/4`, all others as `+2`."""
    exits = figures["exits"]
    counts = [exits.get(reason, {}).get("count", 0) for reason in COUNTED_EXITS]
    others = figures["trades"] - sum(counts)
    return "/".join(str(n) for n in counts) + (f"+{others}" if others else "")
