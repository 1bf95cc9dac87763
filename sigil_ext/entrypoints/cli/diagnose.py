"""`sigil diagnose`: why something happens, on the candles it happened on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import rich_click as click

from sigil_ext.entrypoints.cli.options import set_option, variant_option, wide_console
from sigil_ext.entrypoints.cli.research_options import (
    Destination,
    cell_progress,
    market_options,
    plain_source,
    result_options,
)
from sigil_ext.errors import UsageError
from sigil_ext.settings.environment import load_environment
from sigil_ext.settings.overlays import TRADED_VARIANTS, load_variant
from sigil_ext.settings.project import find_project


@click.group()
def diagnose() -> None:
    """Why something happens: figures, a page, and sentences that say what they mean."""


@diagnose.command("hard-stops")
@variant_option(multiple=True)
@click.option("--database", is_flag=True, help="What the variants' databases hold, paper and the earlier bot's rows, not a backtest.")  # fmt: skip
@set_option()
@market_options()
@click.option("--seed", type=click.IntRange(0), default=1, show_default=True, help="Of every random draw.")
@click.option("--workers", type=click.IntRange(1, 64), help="Backtests at once.  [default: one a processor]")
@result_options()
def hard_stops(
    variants: tuple[str, ...], database: bool, overrides: tuple[str, ...], start: str | None, finish: str | None,
    candles: str | None, symbols: str | None, exchange: str, seed: int, workers: int | None, json_file: Path | None,
    html: Path | None,
) -> None:  # fmt: skip
    """Why hard stops fire: noise, payoff, repeat offenders, and what other stops would have done to the same entries.

    Backtests the variants (default: legacy and the four that trade) on --candles, or reads their databases with --database,
    on the candles that paper recorded unless --candles names others. The result is kept on the shelf.
    """
    from sigil_ext.research.diagnosis.page import render_page
    from sigil_ext.services import shelf
    from sigil_ext.services.backtest import parse_instant
    from sigil_ext.services.diagnose import Conditions, keep, of_backtests, of_databases

    project = find_project()
    load_environment(project)
    if database and overrides:
        raise UsageError("--set changes a backtest; what a database holds has happened")
    source, name = None, ""
    if not database or candles is not None or symbols is not None:
        if database and candles is None:
            raise UsageError("--symbols chooses candles; with --database add --candles DIR, or leave it out")
        source, name = plain_source(project, candles, symbols, exchange)
    conditions = Conditions(
        source, name, parse_instant(start, "--start") if start else None,
        parse_instant(finish, "--finish") if finish else None, exchange, workers, seed,
    )  # fmt: skip
    destination = Destination(json_file, html)
    destination.demand_writable()
    wanted = tuple(dict.fromkeys(variants))
    with cell_progress() as (tell, _):

        def progress(what: str, share: float) -> None:
            tell(what, share * 100, 100)

        if database:
            document = of_databases(wanted or TRADED_VARIANTS, conditions, project, progress)
        else:
            runs = [load_variant(v, overrides, project) for v in wanted or ("legacy", *TRADED_VARIANTS)]
            document = of_backtests(runs, conditions, project, progress)
    page = render_page(document)
    told = shelf.told(project, lambda: keep(project, document, page))
    destination.deliver(document, page, told, lambda: _print(document), page_on_stderr=True)


def _print(document: Mapping[str, Any]) -> None:
    from sigil_ext.entrypoints.cli.diagnose_tables import print_diagnosis

    print_diagnosis(wide_console(), document)
