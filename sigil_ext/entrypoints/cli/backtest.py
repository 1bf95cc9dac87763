"""`sigil backtest`: variants or any Jesse strategy over recorded candles."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from sigil_ext.bridge.simulate import StrategyRun
from sigil_ext.entrypoints.cli.options import json_option, print_json, set_option, variant_option, wide_console
from sigil_ext.entrypoints.cli.strategy_options import strategy_options, strategy_run
from sigil_ext.errors import UsageError
from sigil_ext.settings.environment import load_environment
from sigil_ext.settings.files import demand_writable, write_whole
from sigil_ext.settings.overlays import TRADED_VARIANTS, Variant, load_variant
from sigil_ext.settings.project import find_project

if TYPE_CHECKING:
    from sigil_ext.services.backtest import CandleSource


@click.command()
@variant_option(multiple=True)
@click.option("--all", "every", is_flag=True, help="The four variants that trade on paper; the default.")
@click.option("--start", metavar="DATE", help="First instant, UTC: 2025-06-17 or 2025-06-17T03:15.")
@click.option("--finish", metavar="DATE", help="Instant after the last one, UTC.")
@click.option(
    "--candles", metavar="DIR", type=click.Path(path_type=Path), help="Folder of candle files; default: Jesse's table."
)
@click.option("--symbols", metavar="LIST", help="Only these, separated by commas: TST-USDT,DOGS-USDT.")
@click.option("--exchange", default="Binance Spot", show_default=True, help="Exchange name in Jesse's candle table.")
@set_option()
@strategy_options()
@click.option("--workers", type=click.IntRange(1, 64), help="Runs at once.  [default: one a processor]")
@json_option()
@click.option("--html", metavar="FILE", type=click.Path(path_type=Path), help="Write one self-contained page.")
def backtest(
    variants: tuple[str, ...], every: bool, start: str | None, finish: str | None, candles: Path | None,
    symbols: str | None, exchange: str, overrides: tuple[str, ...], strategy: str | None, timeframe: str | None,
    data_timeframes: tuple[str, ...], balance: float | None, cost_pct: float | None, market: str | None,
    workers: int | None, as_json: bool, html: Path | None,
) -> None:  # fmt: skip
    """Backtest variants, or any Jesse strategy, over recorded candles.

    Prints tables, or JSON with --json: one object for one run, an array for several. The result is kept on the shelf.
    """
    from sigil_ext.services import shelf
    from sigil_ext.services.backtest import BacktestPlan, folder_source, keep, parse_instant, run_backtest

    project = find_project()
    load_environment(project)  # a SIGIL_MODE other than paper is refused here too
    wanted = [s.strip() for s in symbols.split(",") if s.strip()] if symbols is not None else None
    if wanted is not None and not wanted:
        raise UsageError("--symbols names no symbol; example: --symbols TST-USDT,DOGS-USDT")
    runs: tuple[Variant | StrategyRun, ...]
    run = strategy_run(strategy, timeframe, data_timeframes, balance, cost_pct, market)
    if run is not None:
        if variants or every or overrides:
            raise UsageError("--strategy cannot be combined with --variant, --all or --set")
        runs = (run,)
    else:
        names = dict.fromkeys([*(TRADED_VARIANTS if every or not variants else ()), *variants])
        runs = tuple(load_variant(name, overrides) for name in names)
    plan = BacktestPlan(
        runs=runs,
        candles=folder_source(candles, wanted) if candles is not None else _jesse_table(exchange, wanted),
        start_ms=parse_instant(start, "--start") if start else None,
        finish_ms=parse_instant(finish, "--finish") if finish else None,
        exchange=exchange,
        workers=workers,
    )
    if html is not None:
        demand_writable(html, "the page")
    with _progress([run.name for run in runs]) as tell:
        reports = run_backtest(plan, tell)
    page = None
    if html is not None:
        from sigil_ext.research.backtest_page import render_page

        page = render_page(reports)
    told = shelf.told(project, lambda: keep(project, reports, overrides=overrides, page=page))
    if as_json:
        print_json(reports[0] if len(reports) == 1 else reports)
    else:
        from sigil_ext.entrypoints.cli.tables import print_backtest

        print_backtest(wide_console(), reports)
    click.echo(told, err=True)
    if html is not None and page is not None:
        write_whole(html, page, "the page")
        click.echo(f"page: {html.resolve()}", err=as_json)


def _jesse_table(exchange: str, symbols: list[str] | None) -> CandleSource:
    from sigil_ext.services.backtest import table_source

    return table_source(exchange, symbols)


@contextmanager
def _progress(labels: list[str]) -> Iterator[Callable[[str, float], None]]:
    """Show a bar a run on a terminal, a line a finished run elsewhere; always on stderr."""
    console = Console(stderr=True)
    if not console.is_terminal:

        def line(label: str, share: float) -> None:
            if share in (0.0, 1.0):
                click.echo(f"{label}: {'simulated' if share else 'waiting'}", err=True)

        yield line
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as bars:
        tasks = {label: bars.add_task(label, total=1.0) for label in labels}
        yield lambda label, share: bars.update(tasks[label], completed=share)
