"""`sigil grid`: variants crossed with axes, and how sure one may be of the best cell."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import rich_click as click

from sigil_ext.entrypoints.cli.options import json_text, print_json, set_option, variant_option, wide_console
from sigil_ext.entrypoints.cli.research_options import cell_progress, market_options, plain_source
from sigil_ext.errors import UsageError
from sigil_ext.settings.environment import load_environment
from sigil_ext.settings.files import demand_writable, write_whole
from sigil_ext.settings.overlays import load_variant
from sigil_ext.settings.project import find_project


@click.command()
@variant_option(multiple=True)
@click.option(
    "--axis", "axes", multiple=True, metavar="KEY=VALUES",
    help="A setting and its values: hard_stop.multiplier=1.0:4.0:0.25 or flat.after=4h,8h. Repeatable.",
)  # fmt: skip
@set_option()
@market_options()
@click.option(
    "--engine", type=click.Choice(["kernel", "jesse"]), default="kernel", show_default=True,
    help="The compiled engine, or Jesse's own.",
)  # fmt: skip
@click.option("--workers", type=click.IntRange(1, 1024), help="Cells at once.  [default: one a processor]")
@click.option(
    "--ray", metavar="ADDRESS", help="Jesse's cells as tasks of a Ray cluster: HOST:PORT, or local to start one."
)
@click.option("--folds", type=click.IntRange(2, 50), help="Parts of the period, each out of sample once.")
@click.option("--objective", default="net_pnl", show_default=True, metavar="NAME", help="What best means: net_pnl, avg_r, profit_factor, pnl_by_drawdown.")  # fmt: skip
@click.option("--least-trades", type=click.IntRange(1), default=1, show_default=True, help="A cell with fewer is never the best.")  # fmt: skip
@click.option("--verify", type=click.IntRange(1, 1000), default=2, show_default=True, help="Cells of the kernel that Jesse runs again.")  # fmt: skip
@click.option("--no-verify", is_flag=True, help="Trust the kernel unchecked; the result says so.")
@click.option("--fresh", is_flag=True, help="Run every cell, also those kept from before.")
@click.option("--yes", is_flag=True, help="A huge number of cells is meant.")
@click.option("--top", type=click.IntRange(1, 1000), default=15, show_default=True, help="Cells in the table printed.")
@click.option("--json", "json_file", metavar="FILE", type=click.Path(path_type=Path, allow_dash=True), help="Write everything as JSON; - prints it instead of tables.")  # fmt: skip
@click.option("--html", metavar="FILE", type=click.Path(path_type=Path), help="Write one self-contained page.")
def grid(
    variants: tuple[str, ...], axes: tuple[str, ...], overrides: tuple[str, ...], start: str | None, finish: str | None,
    candles: str | None, symbols: str | None, exchange: str, engine: str, workers: int | None, ray: str | None,
    folds: int | None, objective: str, least_trades: int, verify: int, no_verify: bool, fresh: bool, yes: bool, top: int,
    json_file: Path | None, html: Path | None,
) -> None:  # fmt: skip
    """Run variants over every combination of axis values, and say how sure one may be of the best.

    Cells are kept: the same call goes on where an earlier one was stopped. Exit status 1 when a cell failed.
    """
    from sigil_ext.research.grid.axes import parse_axes
    from sigil_ext.research.grid.page import render_page
    from sigil_ext.services import shelf
    from sigil_ext.services.backtest import parse_instant
    from sigil_ext.services.grid import GridPlan, run_grid
    from sigil_ext.services.grid_engines import Hands

    project = find_project()
    load_environment(project)
    if not variants:
        raise UsageError(
            "--variant is missing; example: sigil grid --variant baseline --axis hard_stop.multiplier=1:4:0.5"
        )
    source, source_name = plain_source(project, candles, symbols, exchange)
    plan = GridPlan(
        variants=tuple(load_variant(name, overrides) for name in dict.fromkeys(variants)),
        axes=parse_axes(axes),
        candles=source,
        candles_name=source_name,
        engine=engine,
        start_ms=parse_instant(start, "--start") if start else None,
        finish_ms=parse_instant(finish, "--finish") if finish else None,
        exchange=exchange,
        hands=Hands(workers, ray),
        folds=folds or 0,
        verify=0 if no_verify else verify,
        fresh=fresh,
        objective=objective,
        least_trades=least_trades,
        confirmed=yes,
    )
    to_stdout = json_file is not None and str(json_file) == "-"
    for path, what in ((json_file, "the result"), (html, "the page")):
        if path is not None and not (path is json_file and to_stdout):
            demand_writable(path, what)
    with cell_progress() as (tell, say):
        document = run_grid(project, plan, tell, say)
    page = render_page(document)
    kept = shelf.put(project, "grid", document, title=document["title"], page=page, now=datetime.now(UTC))
    if to_stdout:
        print_json(document)
    else:
        from sigil_ext.entrypoints.cli.grid_tables import print_grid

        print_grid(wide_console(), document, top)
    if json_file is not None and not to_stdout:
        write_whole(json_file, json_text(document), "the result")
        click.echo(f"JSON: {json_file.resolve()}", err=True)
    if html is not None:
        write_whole(html, page, "the page")
        click.echo(f"page: {html.resolve()}", err=to_stdout)
    click.echo(f"kept as {kept.id}", err=True)
    if document["cells_failed"]:
        raise SystemExit(1)
