"""`sigil compare`: two variants, runs or paper periods, paired by day and by signal."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import rich_click as click
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from sigil_ext.entrypoints.cli.backtest import _jesse_table, _progress
from sigil_ext.entrypoints.cli.options import json_option, print_json, wide_console
from sigil_ext.errors import UsageError
from sigil_ext.research.backtest_format import shown
from sigil_ext.research.comparison_figures import money
from sigil_ext.settings.environment import load_environment
from sigil_ext.settings.project import find_project

MOST_KEYS = 12


@click.command()
@click.argument("a", metavar="A")
@click.argument("b", metavar="B")
@click.option("--start", metavar="DATE", help="First instant, UTC: 2025-06-17 or 2025-06-17T03:15.")
@click.option("--finish", metavar="DATE", help="Instant after the last one, UTC.")
@click.option(
    "--candles", metavar="DIR", type=click.Path(path_type=Path), help="Folder of candle files; default: Jesse's table."
)
@click.option("--symbols", metavar="LIST", help="Only these, separated by commas: TST-USDT,DOGS-USDT.")
@click.option("--exchange", default="Binance Spot", show_default=True, help="Exchange name in Jesse's candle table.")
@click.option(
    "--effect", type=float, metavar="USD", help="A difference a day that would matter.  [default: the one seen]"
)
@click.option("--workers", type=click.IntRange(1, 64), help="Runs at once.  [default: one a processor]")
@json_option()
def compare(
    a: str, b: str, start: str | None, finish: str | None, candles: Path | None, symbols: str | None, exchange: str,
    effect: float | None, workers: int | None, as_json: bool,
) -> None:  # fmt: skip
    """Compare A with B: differences by day and by signal, how sure they are, and how many days a verdict takes.

    A and B are each a variant (baseline), a variant with keys changed (baseline:hard_stop.multiplier=2.5), a result of the
    shelf (backtest-20261121T101500Z-ab12), a file of sigil backtest --json (run.json#baseline), or a paper period
    (paper:baseline@2026-01-01..2026-02-01). Variants are backtested on --candles. The result is kept on the shelf.
    """
    from sigil_ext.services.backtest import folder_source, parse_instant
    from sigil_ext.services.compare import Conditions, keep
    from sigil_ext.services.compare import compare as run_compare

    project = find_project()
    load_environment(project)
    wanted = [s.strip() for s in symbols.split(",") if s.strip()] if symbols is not None else None
    if wanted is not None and not wanted:
        raise UsageError("--symbols names no symbol; example: --symbols TST-USDT,DOGS-USDT")
    if effect is not None and not 0 < effect < 1e9:
        raise UsageError(f"--effect {effect:g} is no difference to look for; write USD a day above 0, like 0.50")
    conditions = Conditions(
        folder_source(candles, wanted) if candles is not None else _jesse_table(exchange, wanted),
        parse_instant(start, "--start") if start else None,
        parse_instant(finish, "--finish") if finish else None,
        exchange,
        workers,
    )
    with _progress([]) as tell:
        document = run_compare(a, b, conditions, project=project, effect_usd=effect, on_progress=tell)
    if as_json:
        print_json(document)
    else:
        print_comparison(wide_console(), document)
    click.echo(f"kept as {keep(project, document).id}", err=True)


def print_comparison(console: Console, c: Mapping[str, Any]) -> None:
    """Print a comparison: the verdict, both sides, the differences, what is confounded."""
    console.print(Text(f"{c['a']['name']} (A) against {c['b']['name']} (B)", style="bold"))
    console.print(f"{c['start'][:16].replace('T', ' ')} to {c['finish'][:16].replace('T', ' ')} UTC, {c['days']} days")
    console.print(c["verdict"]["sentence"])
    console.print(c["settings"]["sentence"])
    console.print()
    tables = [_sides(c), _differences(c)]
    if len(c["settings"]["differing"]) > 1:
        tables.append(_keys(c))
    for table in tables:
        console.print(table)
        console.print()
    for line in (*_power(c), *c["notes"]):
        console.print(f"- {line}")


def _sides(c: Mapping[str, Any]) -> Table:
    table = _table("", "A", "B")
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
    for label, cell in lines:
        table.add_row(label, cell(c["a"]), cell(c["b"]))
    return table


def _differences(c: Mapping[str, Any]) -> Table:
    day, signal = c["by_day"], c["by_signal"]
    table = _table("A - B", "n", "USD, 95 % interval", "R, 95 % interval")
    table.add_row("a day", f"{c['days']}", _interval(day["usd"]), _in_r(day["r"]))
    table.add_row("a trade on the same signal", f"{signal['pairs']}", _interval(signal["usd"]), _in_r(signal["r"]))
    table.add_section()
    table.add_row("in all: same signals", f"{signal['pairs']}", money(signal["difference_usd"]), "")
    for label, key, sign in (("in all: only A took", "only_a", 1), ("in all: only B took", "only_b", -1)):
        table.add_row(label, f"{signal[key]['trades']}", money(sign * signal[key]["pnl_usd"]), "")
    table.add_row("in all", "", money(c["a"]["pnl_usd"] - c["b"]["pnl_usd"]), "")
    return table


def _keys(c: Mapping[str, Any]) -> Table:
    table = _table("differing key", "A", "B")
    rows = c["settings"]["differing"]
    for row in rows[:MOST_KEYS]:
        table.add_row(row["key"], str(row["a"]), str(row["b"]))
    if len(rows) > MOST_KEYS:
        table.add_row(f"and {len(rows) - MOST_KEYS} more", "", "")
    return table


def _power(c: Mapping[str, Any]) -> list[str]:
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


def _table(*columns: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False)
    for index, name in enumerate(columns):
        table.add_column(name, justify="left" if index == 0 else "right")
    return table
