"""`sigil gate`: may a variant graduate from paper?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import rich_click as click
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from sigil_ext.entrypoints.cli.options import json_option, print_json, variant_option, wide_console
from sigil_ext.errors import UsageError
from sigil_ext.research.backtest_format import shown
from sigil_ext.research.comparison_figures import money
from sigil_ext.settings.overlays import TRADED_VARIANTS

if TYPE_CHECKING:
    from sigil_ext.services.gate import GateReport

WORDS = {"pass": "pass", "fail": "FAIL", "not_yet": "not yet"}


@click.command()
@variant_option(multiple=True)
@click.option("--all", "every", is_flag=True, help="The four variants that trade on paper.")
@click.option("--since", metavar="DATE", help="Judge from here on only, UTC.  [default: since these settings trade]")
@json_option()
def gate(variants: tuple[str, ...], every: bool, since: str | None, as_json: bool) -> None:
    """Judge the paper record of a variant: pass, fail or not yet, and what is missing. The verdict is written down.

    Exit status 0: every variant passes; 1: one fails or is not there yet; 2: wrong use.
    """
    from sigil_ext.services.backtest import parse_instant
    from sigil_ext.services.gate import gate as run_gate

    if bool(variants) == every:
        raise UsageError("say which variant: --variant V, or --all for the four")
    names = TRADED_VARIANTS if every else tuple(dict.fromkeys(variants))
    since_ms = parse_instant(since, "--since") if since else None
    reports = [run_gate(name, since_ms=since_ms) for name in names]
    if as_json:
        print_json([r.document() for r in reports] if every or len(reports) > 1 else reports[0].document())
    else:
        console = wide_console()
        for report in reports:
            print_verdict(console, report)
    if any(r.verdict.outcome != "pass" for r in reports):
        raise SystemExit(1)


def print_verdict(console: Console, report: GateReport) -> None:
    """Print a verdict: its word, each criterion, the figures behind it, what is missing."""
    verdict, figures = report.verdict, report.figures
    console.print(Text(f"{report.variant}: {WORDS[verdict.outcome]}", style="bold"))
    if report.since and report.until:
        console.print(
            f"{report.since:%Y-%m-%d %H:%M} to {report.until:%Y-%m-%d %H:%M} UTC; verdict {report.number}, "
            f"asked {report.looks} time(s) about this period"
        )
    if verdict.outcome == "pass" and not verdict.sure:
        console.print("It passes, but an interval reaches over its threshold: luck alone may have done it.")
    table = Table(box=box.SIMPLE_HEAD, show_edge=False)
    for name in ("criterion", "verdict", "needed", "had"):
        table.add_column(name)
    for c in verdict.criteria:
        table.add_row(c.name, WORDS[c.outcome], c.need, c.had)
    console.print(table)
    for line in (*_figures(figures), *(f"missing: {m}" for m in verdict.missing), *report.notes):
        console.print(f"- {line}")
    console.print()


def _figures(figures: Mapping[str, Any]) -> list[str]:
    if not figures or not figures["trades"]:
        return []
    total, rate, by_day = figures["total"], figures["win_rate"], figures["win_rate_by_day"]
    return [
        f"P&L {money(figures['pnl_usd'])} after costs, 95 % interval {_span(total, money)}; {money(figures['before_costs_usd'])} "
        f"before costs of {money(figures['costs_usd'])[1:]}",
        f"win rate {shown(rate['value'], 'share')}, 95 % interval {_span(rate, _percent)} by trade, "
        f"{_span(by_day, _percent)} by day; its payoff needs {shown(figures['win_rate_needed'], 'share')}",
    ]


def _span(estimate: Mapping[str, Any], write: Any) -> str:
    if estimate["low"] is None:
        return f"unknown ({estimate['reason']})"
    return f"{write(estimate['low'])} to {write(estimate['high'])}"


def _percent(share: float) -> str:
    return f"{share:.0%}"
