"""`sigil walkforward`: choose on one window, trade the next, over all of the time."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import rich_click as click
from rich.console import Console
from rich.text import Text

from sigil_ext.entrypoints.cli.options import set_option, variant_option, wide_console
from sigil_ext.entrypoints.cli.research_options import (
    Destination,
    cell_options,
    cell_progress,
    grid_plan,
    market_options,
    result_options,
)
from sigil_ext.entrypoints.cli.tables import add_row, plain_table, print_table
from sigil_ext.research.backtest_format import NOTHING, shown
from sigil_ext.research.grid.cells import short_label
from sigil_ext.settings.environment import load_environment
from sigil_ext.settings.project import find_project


@click.command()
@variant_option(multiple=True)
@set_option()
@market_options()
@cell_options()
@click.option("--train", default="14d", show_default=True, metavar="DURATION", help="Time that cells are judged on.")
@click.option(
    "--trade", default="7d", show_default=True, metavar="DURATION", help="Time that the one chosen then trades."
)
@click.option("--anchored", is_flag=True, help="Judge from the very start on, not over the last --train only.")
@click.option("--stand-aside", is_flag=True, help="Do not trade after a window in which no cell made money.")
@result_options()
def walkforward(
    train: str, trade: str, anchored: bool, stand_aside: bool, json_file: Path | None, html: Path | None, **options: Any
) -> None:
    """Choose the best cell on one window, trade it on the next, roll on; show what came out of sample.

    Cells are kept: the same call goes on where an earlier one was stopped.
    """
    from sigil_ext.research.grid.walk_page import render_walk
    from sigil_ext.services import shelf
    from sigil_ext.services.walkforward import WalkPlan, run_walk

    project = find_project()
    load_environment(project)
    plan = WalkPlan(grid_plan(project, options), train, trade, anchored, stand_aside)
    destination = Destination(json_file, html)
    destination.demand_writable()
    with cell_progress() as (tell, say):
        document = run_walk(project, plan, tell, say)
    page = render_walk(document)
    told = shelf.told(
        project,
        lambda: shelf.put(project, "walkforward", document, title=document["title"], page=page, now=datetime.now(UTC)),
    )
    destination.deliver(document, page, told, lambda: print_walk(wide_console(), document))
    if document["problems"]:
        raise SystemExit(1)


def print_walk(console: Console, document: Mapping[str, Any]) -> None:
    """Print what came out of sample, window by window."""
    console.print(Text(f"Walk-forward {document['title']}", style="bold"))
    start, finish = (document[k].replace("T", " ")[:16] for k in ("start", "finish"))
    console.print(Text(f"{document['engine']} engine, {start} to {finish} UTC, best by {document['objective_words']}"))
    console.print()
    for sentence in document["sentences"]:
        console.print(Text(f"- {sentence}"))
    console.print()
    keys = [axis["key"] for axis in document["axes"]]
    table = plain_table(
        "Windows", "traded from (UTC)", "chosen", "in\ntrades", "in\nP&L", "out\ntrades", "out\nP&L", "win\nrate", "needed",
        "hard\nstops", text=2,
    )  # fmt: skip
    for window in document["windows"]:
        add_row(table, window["trade"].replace("T", " ")[:16], chosen_of(window), *_figures(window))
    print_table(console, table, f"Chosen: variant {' / '.join(keys)}." if keys else "")
    if document["problems"]:
        console.print(Text("Cells without a result", style="bold"))
        for line in document["problems"][:10]:
            console.print(Text(f"- {line['label']}: {line['problem']}"))
        console.print()
    console.print(Text("Notes", style="bold"))
    for note in document["notes"]:
        console.print(Text(f"- {note}"))


def chosen_of(window: Mapping[str, Any]) -> str:
    """Return the short name of the cell chosen for a window."""
    return "none, stood aside" if window["chosen"] is None else short_label(window)


def _figures(window: Mapping[str, Any]) -> list[str]:
    inside, out = window["in"], window["out"]
    return [
        NOTHING if inside is None else shown(inside["trades"], "count"),
        NOTHING if inside is None else shown(inside["net_pnl_usd"], "signed_usd"),
        shown(out["trades"], "count"),
        shown(out["net_pnl_usd"], "signed_usd"),
        shown(out["win_rate"], "percent"),
        shown(out["win_rate_needed"], "percent"),
        shown(out["hard_stop_share"], "percent"),
    ]
