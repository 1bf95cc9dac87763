"""Backtest reports as text: one summary side by side, then details; compact for several runs, full for one.

It only prints what a report holds. Nothing is said by colour alone. Start at `print_backtest`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from sigil_ext.research.backtest_format import NOTHING, shown
from sigil_ext.research.backtest_report import compare_reports, refused_lines, verdict

Report = Mapping[str, Any]
BEST_AND_WORST = 10
FEW = 3
MOST_DAYS = 16
EXITS_EXPLAINED = "R is the distance from entry to hard stop; MAE and MFE are how far a trade went against and for it."
REFUSED_EXPLAINED = "Signals: entries that the rule wanted. Bars: bars at which the guard was shut."


def print_backtest(console: Console, reports: Sequence[Report]) -> None:
    """Print `reports`: a summary of all, then the details of one, or what matters most of several."""
    if not reports:
        console.print("no run, nothing to show")
        return
    console.print(Text(_headline(reports), style="bold"))
    console.print(Text(verdict(reports)))
    console.print()
    print_table(console, _summary(reports))
    if len(reports) == 1:
        _print_full(console, reports[0])
    else:
        _print_compact(console, reports)
    _print_notes(console, reports)


def _print_full(console: Console, report: Report) -> None:
    if report["trades"]:
        print_table(console, _exits([report], full=True), EXITS_EXPLAINED)
        print_table(console, _symbols(report))
        print_table(console, _periods(report, "by_day", "day"))
        if len(report["by_week"]) > 1:
            print_table(console, _periods(report, "by_week", "week"))
        print_table(console, _hours(report))
    if report["refused"]:
        print_table(console, _refused_of_one(report), REFUSED_EXPLAINED)


def _print_compact(console: Console, reports: Sequence[Report]) -> None:
    if any(r["trades"] for r in reports):
        print_table(console, _exits(reports, full=False), EXITS_EXPLAINED)
        print_table(console, _few_symbols(reports))
        print_table(console, _days_side_by_side(reports))
    if any(r["refused"] for r in reports):
        print_table(console, _refused_of_many(reports))


# --- tables -------------------------------------------------------------------------------------------------------


def _headline(reports: Sequence[Report]) -> str:
    periods = {(r["start"], r["finish"]) for r in reports}
    pools = {tuple(r["symbols"]) for r in reports}
    start, finish = (_clock(t) for t in sorted(periods)[0])
    symbols = sorted(pools)[0]
    named = ", ".join(symbols) if len(symbols) <= 6 else f"{len(symbols)} symbols"
    return f"Backtest {start} to {finish} UTC, {named}"


def _summary(reports: Sequence[Report]) -> Table:
    rows = [row for row in compare_reports(reports) if any(value is not None for value in row["values"])]
    cells = [[row["label"], *(shown(value, row["kind"]) for value in row["values"])] for row in rows]
    if len(reports) > 1:
        table = plain_table("", "", *(r["variant"] for r in reports))
        for line in cells:
            add_row(table, *line)
        return table
    half = (len(cells) + 1) // 2  # one run alone: two columns of figures, half the height
    table = plain_table("", "", reports[0]["variant"], "   ", "")
    table.columns[2].justify = "left"
    for left, right in zip(cells[:half], [*cells[half:], ["", ""]], strict=False):
        add_row(table, *left, f"   {right[0]}", right[1])
    return table


def _exits(reports: Sequence[Report], full: bool) -> Table:
    columns: list[tuple[str, Callable[[Mapping[str, Any]], str]]] = [
        ("n", lambda e: shown(e["count"], "count")),
        ("share", lambda e: f"{e['share']:.0%}"),
        ("P&L", lambda e: shown(e["pnl_usd"], "signed_usd")),
        ("avg", lambda e: shown(e["avg_pnl_usd"], "signed_usd")),
        ("win\nrate", lambda e: shown(e["win_rate"], "share")),
    ]
    if full:
        columns += [
            ("win/draw\n/loss", _win_draw_loss),
            ("MAE R\nmean/med.", lambda e: _two(e["mae_r_mean"], e["mae_r_median"])),
            ("MFE R\nmean/med.", lambda e: _two(e["mfe_r_mean"], e["mfe_r_median"])),
            ("24h after\nhigh/low %", lambda e: _two(e["next_24h_high_pct"], e["next_24h_low_pct"], "{:+.1f}")),
            ("hours\nheld", lambda e: NOTHING if e["avg_minutes"] is None else f"{e['avg_minutes'] / 60:.1f}"),
        ]
    else:
        columns += [
            ("avg\nwin", lambda e: shown(e["avg_win_usd"], "signed_usd")),
            ("avg\nloss", lambda e: shown(e["avg_loss_usd"], "signed_usd")),
            ("MAE\nR", lambda e: shown(e["mae_r_mean"], "ratio")),
            ("MFE\nR", lambda e: shown(e["mfe_r_mean"], "ratio")),
        ]
    several = len(reports) > 1
    named = ["variant", "exit"] if several else ["exit"]
    table = plain_table("Exits by reason", *named, *(name for name, _ in columns), text=len(named))
    for report in reports:
        lines = [*report["by_exit_reason"].items(), ("TOTAL", report["totals"])]
        for index, (reason, line) in enumerate(lines):
            first = [report["variant"] if index == 0 else ""] if several else []
            add_row(table, *first, reason, *(write(line) for _, write in columns))
        table.add_section()
    return table


def _symbols(report: Report) -> Table:
    rows = list(report["by_symbol"].items())
    cut = len(rows) > 2 * BEST_AND_WORST
    title = f"Symbols, best and worst {BEST_AND_WORST} of {len(rows)} by P&L" if cut else "Symbols by P&L"
    table = plain_table(title, "symbol", "n", "P&L", "win rate", "win/draw/loss", "hard stops")
    for symbol, line in rows[:BEST_AND_WORST] if cut else rows:
        add_row(table, symbol, *_short(line))
    if cut:
        table.add_section()
        for symbol, line in rows[-BEST_AND_WORST:]:
            add_row(table, symbol, *_short(line))
    return table


def _few_symbols(reports: Sequence[Report]) -> Table:
    table = plain_table(f"Best and worst {FEW} symbols by P&L (trades)", "variant", "best", "worst", text=3)
    for column in table.columns[1:]:
        column.no_wrap = False
    for report in reports:
        rows = list(report["by_symbol"].items())
        best = [(s, e) for s, e in rows[:FEW] if e["pnl_usd"] > 0]
        worst = [(s, e) for s, e in reversed(rows[-FEW:]) if e["pnl_usd"] < 0]
        add_row(
            table, report["variant"], *(", ".join(_named(s, e) for s, e in group) or "none" for group in (best, worst))
        )
    return table


def _periods(report: Report, key: str, name: str) -> Table:
    table = plain_table(f"By {name} of the close (UTC)", name, "n", "P&L", "win rate", "win/draw/loss", "hard stops")
    for line in report[key]:
        if line["count"]:
            add_row(table, line[name], *_short(line))
    return table


def _hours(report: Report) -> Table:
    table = plain_table("By hour of the entry (UTC)", "hour", "n", "P&L", "win rate", "win/draw/loss", "hard stops")
    for line in report["by_hour"]:
        if line["count"]:
            add_row(table, f"{line['hour']:02d}:00", *_short(line))
    return table


def _days_side_by_side(reports: Sequence[Report]) -> Table:
    key, name = ("by_day", "day") if len(reports[0]["by_day"]) <= MOST_DAYS else ("by_week", "week")
    table = plain_table(f"P&L and trades by {name} of the close (UTC)", name, *(r["variant"] for r in reports))
    lines = [{line[name]: line for line in r[key]} for r in reports]
    for period in sorted({period for found in lines for period in found}):
        cells = [found.get(period) for found in lines]
        add_row(table, period, *(_pnl_and_count(c) for c in cells))
    return table


def _refused_of_one(report: Report) -> Table:
    table = plain_table("Refused entries", "reason", "signals", "bars")
    for reason, signals, bars in refused_lines(report):
        add_row(table, reason, shown(signals, "count"), "" if bars is None else shown(bars, "count"))
    return table


def _refused_of_many(reports: Sequence[Report]) -> Table:
    table = plain_table("Refused entry signals", "reason", *(r["variant"] for r in reports))
    found = [{reason: signals for reason, signals, _ in refused_lines(r)} for r in reports]
    order: dict[str, None] = {}  # not_in_universe keeps its own reasons beneath it
    for report in sorted(reports, key=lambda r: -r["totals"]["signals_refused"]):
        order |= dict.fromkeys(reason for reason, signals, _ in refused_lines(report) if signals)
    inside = [reason for reason in order if reason.startswith("·")]
    for reason in [r for r in order if r not in inside]:
        for line in [reason, *(inside if reason == "not_in_universe" else [])]:
            add_row(table, line, *(shown(signals.get(line, 0), "count") for signals in found))
    return table


def _print_notes(console: Console, reports: Sequence[Report]) -> None:
    console.print(Text("Size cap and real risk", style="bold"))
    for report in reports:
        console.print(Text(f"- {report['variant']}: {report['cap']['sentence']}"))
    console.print()
    console.print(Text("Notes", style="bold"))
    shared = [n for n in reports[0]["notes"] if len(reports) > 1 and all(n in r["notes"] for r in reports)]
    for report in reports:
        for note in report["notes"]:
            if note not in shared:
                prefix = "" if len(reports) == 1 or note.startswith(report["variant"]) else f"{report['variant']}: "
                console.print(Text(f"- {prefix}{note}"))
    for note in shared:
        console.print(Text(f"- {note}"))


# --- parts --------------------------------------------------------------------------------------------------------


def print_table(console: Console, table: Table, explained: str = "") -> None:
    """Print a table, the sentence that explains it, and an empty line."""
    console.print(table)
    if explained:
        console.print(Text(explained, style="italic"))
    console.print()


def plain_table(title: str, *columns: str, text: int = 1) -> Table:
    """Return an empty table; the first `text` columns hold text, the others figures, aligned right."""
    table = Table(
        title=Text(title) if title else None,
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )
    for index, name in enumerate(columns):
        is_text = index < text
        table.add_column(Text(name), justify="left" if is_text else "right", vertical="top", no_wrap=True)
    return table


def add_row(table: Table, *cells: str) -> None:
    """Add a row of plain text."""
    table.add_row(*(Text(cell) for cell in cells))  # Text: nothing in a name is markup


def _short(line: Mapping[str, Any]) -> list[str]:
    return [
        shown(line["count"], "count"),
        shown(line["pnl_usd"], "signed_usd"),
        shown(line["win_rate"], "share"),
        _win_draw_loss(line),
        shown(line["hard_stops"], "count"),
    ]


def _win_draw_loss(line: Mapping[str, Any]) -> str:
    return f"{line['wins']}/{line['draws']}/{line['losses']}"


def _pnl_and_count(line: Mapping[str, Any] | None) -> str:
    return f"{shown(line['pnl_usd'], 'signed_usd')} {line['count']:>3}" if line and line["count"] else "-   -"


def _named(symbol: str, line: Mapping[str, Any]) -> str:
    return f"{symbol} {shown(line['pnl_usd'], 'signed_usd')} ({line['count']})"


def _two(first: float | None, second: float | None, pattern: str = "{:.2f}") -> str:
    if first is None or second is None:
        return NOTHING
    return f"{pattern.format(first)}/{pattern.format(second)}"


def _clock(text: str) -> str:
    return text.replace("T", " ")[:16]
