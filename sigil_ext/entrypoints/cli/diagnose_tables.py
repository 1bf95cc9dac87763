"""A diagnosis as text: what it says in sentences, then the tables behind them. Start at `print_diagnosis`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from sigil_ext.research.backtest_format import shown
from sigil_ext.research.diagnosis.summary import figures_for

Document = Mapping[str, Any]
WORST_SYMBOLS = 12
LADDER = "noise: share of random entries that such a stop is touched by; R: mean result by unit of risk, same sizes."
# What is printed of the ladders where several runs are; --json and the page hold all of it.
SHORT = frozenset({
    "as set", "fixed 3 %", "fixed 6 %", "fixed 10 %", "1.5 ATR, 3 to 6 %", "2.5 ATR, 3 to 6 %", "4 ATR", "8 ATR",
    "trail 0.5 ATR", "trail 1 ATR", "trail 3 ATR", "trail 6 ATR", "no trail",
})  # fmt: skip


def print_diagnosis(console: Console, document: Document) -> None:
    """Print a diagnosis: all runs side by side, then run by run."""
    console.print(
        Text(f"Hard stops: {document['source']}, {document['start'][:10]} to {document['finish'][:10]}", "bold")
    )
    runs = [r for r in document["runs"] if r["positions"]]
    if not runs:
        console.print("No position was closed: there is nothing to diagnose.")
        return
    console.print()
    _print(console, _side_by_side(runs))
    _print(
        console,
        _parts(runs),
        "Each part is what is left when it is taken off, in this order; another order cuts otherwise.",
    )
    if document["together"]:
        _print(console, _together(document["together"]))
    for run in runs:
        console.print(Text(run["name"], "bold"))
        for sentence in run["sentences"]:
            console.print(f"- {sentence}")
        console.print()
        short = len(runs) > 1
        _print(console, _ladder("The same entries under other stops, trail as set", run["ladder"], short=short), LADDER)
        _print(console, _ladder("The same entries under other trails, stop as set", run["trails"], short=short))
        _print(console, _symbols(run))
        for note in run["notes"]:
            console.print(f"note: {note}")
        console.print()


def _print(console: Console, table: Table, below: str = "") -> None:
    console.print(table)
    if below:
        console.print(Text(below, "dim"))
    console.print()


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    for i, name in enumerate(columns):
        table.add_column(name, justify="left" if i == 0 else "right", no_wrap=i == 0)
    return table


def _side_by_side(runs: Sequence[Mapping[str, Any]]) -> Table:
    table = _table("Side by side", "", *(r["name"] for r in runs))
    for figure in figures_for("terminal"):
        table.add_row(figure.short or figure.heading, *(shown(figure.of(r), figure.kind) for r in runs))
    return table


def _parts(runs: Sequence[Mapping[str, Any]]) -> Table:
    table = _table("Where the money went (95 % by day)", "part", *(r["name"] for r in runs))
    names = list(dict.fromkeys(p["name"] for r in runs for p in r["parts"]["parts"]))
    for name in names:
        cells = []
        for r in runs:
            part = next((p for p in r["parts"]["parts"] if p["name"] == name), None)
            cells.append("n/a" if part is None else shown(part["usd"], "signed_usd") + _interval(part["interval"]))
        table.add_row(name.replace("_", " "), *cells)
    table.add_row("net P&L", *(shown(r["parts"]["net_usd"], "signed_usd") for r in runs), style="bold")
    return table


def _together(found: Mapping[str, Any]) -> Table:
    title = f"Entries made together: {found['entries']:,d} entries are {found['distinct']:,d} of a symbol at a close"
    table = _table(title, "run", "entries", "also another run's", "own at the same close")
    for line in found["runs"]:
        n = line["entries"] or 1
        table.add_row(
            line["run"], f"{line['entries']:,d}", f"{line['shared']:,d} ({line['shared'] / n * 100:.0f} %)",
            f"{line['same_close_own']:,d} ({line['same_close_own'] / n * 100:.0f} %)",
        )  # fmt: skip
    return table


def _ladder(title: str, lines: Sequence[Mapping[str, Any]], *, short: bool) -> Table:
    table = _table(title, "rule", "stop", "hard stops", "noise", "won", "needed", "net P&L", "R", "against as set")
    for line in lines:
        if short and line["label"] not in SHORT:
            continue
        gap = line["against_as_set"]
        table.add_row(
            line["label"], shown(line["stop_pct"], "pct"), shown(line["hard_stop_share"], "share"),
            shown(line["noise_share"], "share"), shown(line["win_rate"], "share"), shown(line["win_rate_needed"], "share"),
            shown(line["net_usd"], "signed_usd"), shown(line["mean_r"], "ratio"),
            "" if line["kind"] == "set" else shown(gap["value"], "signed_usd") + _interval(gap),
        )  # fmt: skip
    return table


def _symbols(run: Mapping[str, Any]) -> Table:
    lines = run["by_symbol"]
    few = lines[:WORST_SYMBOLS]
    table = _table(
        f"Symbols, the largest loss to hard stops first ({len(few)} of {len(lines)}); net P&L as it was, at 1.5 and at 2.5 ATR "
        "within 3 and 6 %", "symbol", "trades", "hard stops", "lost", "net", "1.5 ATR", "2.5 ATR", "stop, ATRs", "random",
        "own",
    )  # fmt: skip
    for s in few:
        table.add_row(
            s["symbol"], f"{s['positions']:,d}", f"{s['hard_stops']:,d}", shown(s["hard_stop_usd"], "signed_usd"),
            shown(s["net_usd"], "signed_usd"), shown(s["at_1_5_atr_usd"], "signed_usd"),
            shown(s["at_2_5_atr_usd"], "signed_usd"), shown(s["stop_atr"], "ratio"), shown(s["noise_random"], "share"),
            shown(s["noise_own"], "share"),
        )  # fmt: skip
    return table


def _interval(found: Mapping[str, Any]) -> str:
    if found["low"] is None:
        return ""
    return f" ({found['low']:+,.0f} to {found['high']:+,.0f})"
