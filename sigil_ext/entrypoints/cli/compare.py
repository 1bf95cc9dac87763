"""`sigil compare`: two variants, runs or paper periods, paired by day and by signal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import rich_click as click
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from sigil_ext.entrypoints.cli.backtest import _progress
from sigil_ext.entrypoints.cli.options import json_option, print_json, wide_console
from sigil_ext.entrypoints.cli.research_options import market_options, plain_source
from sigil_ext.errors import UsageError
from sigil_ext.research.comparison_text import difference_rows, power_lines, side_rows
from sigil_ext.settings.environment import load_environment
from sigil_ext.settings.project import find_project

MOST_KEYS = 12


@click.command()
@click.argument("a", metavar="A")
@click.argument("b", metavar="B")
@market_options()
@click.option(
    "--effect", type=float, metavar="USD", help="A difference a day that would matter.  [default: the one seen]"
)
@click.option("--workers", type=click.IntRange(1, 64), help="Runs at once.  [default: one a processor]")
@json_option()
def compare(
    a: str, b: str, start: str | None, finish: str | None, candles: str | None, symbols: str | None, exchange: str,
    effect: float | None, workers: int | None, as_json: bool,
) -> None:  # fmt: skip
    """Compare A with B: differences by day and by signal, how sure they are, and how many days a verdict takes.

    A and B are each a variant (baseline), a variant with keys changed (baseline:hard_stop.multiplier=2.5), a result of the
    shelf (backtest-20261121T101500Z-ab12), a file of sigil backtest --json (run.json#baseline), or a paper period
    (paper:baseline@2026-01-01..2026-02-01). Variants are backtested on --candles. The result is kept on the shelf.
    """
    from sigil_ext.services import shelf
    from sigil_ext.services.backtest import parse_instant
    from sigil_ext.services.compare import Conditions, keep
    from sigil_ext.services.compare import compare as run_compare

    project = find_project()
    load_environment(project)
    source, _ = plain_source(project, candles, symbols, exchange)
    if effect is not None and not 0 < effect < 1e9:
        raise UsageError(f"--effect {effect:g} is no difference to look for; write USD a day above 0, like 0.50")
    conditions = Conditions(
        source,
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
    click.echo(shelf.told(project, lambda: keep(project, document)), err=True)


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
    for line in (*power_lines(c), *c["notes"]):
        console.print(f"- {line}")


def _sides(c: Mapping[str, Any]) -> Table:
    table = _table("", "A", "B")
    for row in side_rows(c):
        table.add_row(*row)
    return table


def _differences(c: Mapping[str, Any]) -> Table:
    table = _table("A - B", "n", "USD, 95 % interval", "R, 95 % interval")
    for number, row in enumerate(difference_rows(c)):
        table.add_row(*row, end_section=number == 1)
    return table


def _keys(c: Mapping[str, Any]) -> Table:
    table = _table("differing key", "A", "B")
    rows = c["settings"]["differing"]
    for row in rows[:MOST_KEYS]:
        table.add_row(row["key"], str(row["a"]), str(row["b"]))
    if len(rows) > MOST_KEYS:
        table.add_row(f"and {len(rows) - MOST_KEYS} more", "", "")
    return table


def _table(*columns: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False)
    for index, name in enumerate(columns):
        table.add_column(name, justify="left" if index == 0 else "right")
    return table
