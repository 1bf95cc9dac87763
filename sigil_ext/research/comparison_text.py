"""A comparison in words and rows, the same in the terminal and in the panel; the document keeps the unrounded figures.

Start at `side_rows`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sigil_ext.research.backtest_format import shown
from sigil_ext.research.comparison_figures import money

Comparison = Mapping[str, Any]


def side_rows(c: Comparison) -> list[tuple[str, str, str]]:
    """Return (figure, of A, of B)."""
    lines: tuple[tuple[str, Callable[[Mapping[str, Any]], str]], ...] = (
        ("trades", lambda s: f"{s['trades']:,d} ({s['trades_per_day']:.1f} a day)"),
        ("net P&L, interval", lambda s: _interval(s["total"])),
        ("P&L before costs", lambda s: shown(s["before_costs_usd"], "signed_usd")),
        ("P&L in R", lambda s: shown(s["pnl_r"], "signed_r")),
        ("win rate had, by trade", lambda s: _share(s["win_rate"])),
        ("win rate had, by day", lambda s: _share(s["win_rate_by_day"])),
        ("win rate needed", lambda s: shown(s["win_rate_needed"], "share")),
        ("hard stops", lambda s: f"{s['hard_stops']:,d} ({shown(s['hard_stop_share'], 'share')})"),
    )
    return [(label, cell(c["a"]), cell(c["b"])) for label, cell in lines]


def difference_rows(c: Comparison) -> list[tuple[str, str, str, str]]:
    """Return (what of A - B, how many, USD, R), the first two with intervals; the last is the sum of the three before."""
    day, signal = c["by_day"], c["by_signal"]
    only_a, only_b = signal["only_a"], signal["only_b"]
    return [
        ("a day", f"{c['days']}", _interval(day["usd"]), _in_r(day["r"])),
        ("a trade on the same signal", f"{signal['pairs']}", _interval(signal["usd"]), _in_r(signal["r"])),
        ("in all: same signals", f"{signal['pairs']}", money(signal["difference_usd"]), ""),
        ("in all: only A took", f"{only_a['trades']}", money(only_a["pnl_usd"]), ""),
        ("in all: only B took", f"{only_b['trades']}", money(-only_b["pnl_usd"]), ""),
        ("in all", "", money(c["a"]["pnl_usd"] - c["b"]["pnl_usd"]), ""),
    ]


def power_lines(c: Comparison) -> list[str]:
    """Return sentences on what so many days can show, and how many more a verdict needs."""
    power = c["power"]
    least, needed = power["minimum_detectable_usd"]["value"], power["days_needed"]["value"]
    lines = []
    if least is not None:
        lines.append(f"{power['days']} days show a true difference of {money(least)[1:]} a day or more, 4 times in 5.")
    if needed is not None:
        lines.append(
            f"A difference of {money(abs(power['effect_usd']))[1:]} a day ({power['effect_is']}) takes {needed:,.0f} days, "
            f"{power['further_days']:,.0f} more than there are; at the present rate {power['trades_needed']:,.0f} trades of both sides."
        )
    if power["effect_is"] == "as seen" and needed is not None:
        lines.append("The difference seen is itself uncertain; --effect USD asks for one that would matter.")
    return lines


def _interval(estimate: Mapping[str, Any]) -> str:
    if estimate["value"] is None:
        return f"n/a: {estimate['reason']}"
    if estimate["low"] is None:
        return money(estimate["value"])
    return f"{money(estimate['value'])} ({money(estimate['low'])} to {money(estimate['high'])})"


def _in_r(estimate: Mapping[str, Any] | None) -> str:
    if estimate is None or estimate["value"] is None:
        return "n/a"
    between = f" ({estimate['low']:+.2f} to {estimate['high']:+.2f})" if estimate["low"] is not None else ""
    return f"{estimate['value']:+.2f}{between}"


def _share(estimate: Mapping[str, Any]) -> str:
    if estimate["value"] is None:
        return "n/a"
    between = f" ({estimate['low']:.0%} to {estimate['high']:.0%})" if estimate["low"] is not None else ""
    return f"{estimate['value']:.1%}{between}"
