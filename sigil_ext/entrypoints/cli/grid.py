"""`sigil grid`: variants crossed with axes, and how sure one may be of the best cell."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import rich_click as click

from sigil_ext.entrypoints.cli.options import set_option, variant_option, wide_console
from sigil_ext.entrypoints.cli.research_options import (
    Destination,
    cell_options,
    cell_progress,
    grid_plan,
    market_options,
    result_options,
)
from sigil_ext.settings.environment import load_environment
from sigil_ext.settings.project import find_project


@click.command()
@variant_option(multiple=True)
@set_option()
@market_options()
@cell_options()
@click.option("--folds", type=click.IntRange(2, 50), help="Parts of the period, each out of sample once.")
@click.option("--top", type=click.IntRange(1, 1000), default=15, show_default=True, help="Cells in the table printed.")
@result_options()
def grid(folds: int | None, top: int, json_file: Path | None, html: Path | None, **options: Any) -> None:
    """Run variants over every combination of axis values, and say how sure one may be of the best.

    Cells are kept: the same call goes on where an earlier one was stopped. Exit status 1 when a cell failed.
    """
    from sigil_ext.research.grid.page import render_page
    from sigil_ext.services import shelf
    from sigil_ext.services.grid import run_grid

    project = find_project()
    load_environment(project)
    plan = grid_plan(project, options, folds or 0)
    destination = Destination(json_file, html)
    destination.demand_writable()
    with cell_progress() as (tell, say):
        document = run_grid(project, plan, tell, say)
    page = render_page(document)
    told = shelf.told(
        project,
        lambda: shelf.put(project, "grid", document, title=document["title"], page=page, now=datetime.now(UTC)),
    )
    destination.deliver(document, page, told, lambda: _print(document, top))
    if document["cells_failed"]:
        raise SystemExit(1)


def _print(document: Mapping[str, Any], top: int) -> None:
    from sigil_ext.entrypoints.cli.grid_tables import print_grid

    print_grid(wide_console(), document, top)
