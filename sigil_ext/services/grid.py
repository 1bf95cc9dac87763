"""Grid: variants crossed with axes, every cell run once by the engine asked for, kept, checked and put into one document.

Start at `run_grid`.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from sigil_ext.errors import SigilError, UsageError
from sigil_ext.instants import clock
from sigil_ext.research.backtest_format import counted
from sigil_ext.research.grid.axes import Axis, cell_count
from sigil_ext.research.grid.cells import cross
from sigil_ext.research.grid.figures import OBJECTIVES, day_count
from sigil_ext.research.grid.report import GridFacts, build_document
from sigil_ext.research.grid.summary import Span, Summary, fold_spans, summarise
from sigil_ext.research.kernel.trades import CellTrades
from sigil_ext.services.cell_store import CellStore, settings_hash
from sigil_ext.services.grid_cells import Workshop, run_kept
from sigil_ext.services.grid_engines import Hands, Talk, demand_hands
from sigil_ext.services.grid_verify import verify
from sigil_ext.services.market import CandleSource, read_market
from sigil_ext.services.tried import Tried
from sigil_ext.settings.overlays import Variant
from sigil_ext.settings.project import Project

# More than this is a mistake more often than a wish: an evening of Jesse's time, minutes of the kernel's.
MOST_CELLS = {"jesse": 1_000, "kernel": 50_000}
VERIFIED_CELLS = 2

Tell = Callable[[str, float, int], None]  # (what is being done, cells done, of how many)
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class GridPlan:
    """What was asked for. `verify` is how many cells are re-run by Jesse (kernel only), `confirmed` that the count is meant."""

    variants: tuple[Variant, ...]
    axes: tuple[Axis, ...]
    candles: CandleSource
    candles_name: str
    engine: str = "jesse"
    start_ms: int | None = None
    finish_ms: int | None = None
    exchange: str = "Binance Spot"
    hands: Hands = field(default_factory=Hands)
    folds: int = 0
    verify: int = VERIFIED_CELLS
    fresh: bool = False
    objective: str = "net_pnl"
    least_trades: int = 1
    confirmed: bool = False


def run_grid(
    project: Project, plan: GridPlan, tell: Tell = lambda what, done, of: None, say: Say = lambda sentence: None
) -> dict[str, Any]:
    """Run every cell that is not kept from before and return the document of the grid.

    Args:
        tell: progress. say: sentences for the reader while it runs.
    Raises:
        UsageError: the grid or the period cannot be. SigilError: the kernel's trades are not Jesse's, or nothing could run.
    """
    demand_sense(plan)
    cells = cross(plan.variants, plan.axes)
    runs = {cell.index: cell.run for cell in cells if cell.run is not None}
    market = read_market(runs.values(), plan.candles, plan.start_ms, plan.finish_ms, plan.exchange)
    period = (market.start_ms, market.finish_ms)
    _demand_folds(period, plan.folds)
    folds = fold_spans(period, plan.folds)
    with CellStore(project, plan.engine, market) as store, Tried(project, market) as tried:

        def summary(cell: CellTrades, run: Variant) -> Summary:
            found = summarise(cell, run.settings.sizing.starting_balance, period, folds)
            tried.note(settings_hash(run), store.maker, found.daily)
            return found

        shop = Workshop(plan.engine, plan.hands, store, plan.fresh)
        talk = counting(f"{plan.engine} cells", len(runs), tell, say)
        summaries, failed = run_kept(shop, market, runs, summary, talk)
        if not summaries:
            raise SigilError(f"no cell could be run; the first one: {next(iter(failed.values()))}")
        verification = None
        if plan.engine == "kernel" and plan.verify:
            ran = {index: runs[index] for index in summaries}
            seed = random.SystemRandom().getrandbits(32)
            checking = counting("checked against Jesse", min(plan.verify, len(ran)), tell, say)
            verification = verify(market, ran, plan.verify, store, plan.hands, seed, checking)
        earlier = tried.others({settings_hash(runs[index]) for index in summaries})
    facts = GridFacts(
        plan.variants, plan.axes, plan.engine, period, tuple(market.symbols), plan.candles_name, plan.exchange,
        market.intervals, plan.objective, plan.least_trades, tuple(folds), verification, earlier.count,
        earlier.daily,
    )  # fmt: skip
    problems = {c.index: c.problem for c in cells if c.problem is not None} | failed
    return build_document(facts, cells, summaries, problems)


def counting(what: str, of: int, tell: Tell, say: Say) -> Talk:
    """Return a talk that adds up the parts it is told and tells how much of `of` is done."""
    done = 0.0

    def part(worth: float) -> None:
        nonlocal done
        done += worth
        tell(what, done, of)

    tell(what, done, of)
    return Talk(part, say)


def demand_sense(plan: GridPlan) -> None:
    """Refuse what cannot be meant before anything is read or run: the folds, the count, the objective, the hands.

    Raises:
        UsageError: with the way out.
    """
    if plan.start_ms is not None and plan.finish_ms is not None and plan.start_ms < plan.finish_ms:
        _demand_folds((plan.start_ms, plan.finish_ms), plan.folds)
    if plan.objective not in OBJECTIVES:
        raise UsageError(f"no objective '{plan.objective}'; known: {', '.join(OBJECTIVES)}")
    count, most = cell_count(len(plan.variants), plan.axes), MOST_CELLS[plan.engine]
    if count > most and not plan.confirmed:
        product = " x ".join(str(n) for n in (len(plan.variants), *(len(axis.values) for axis in plan.axes)))
        raise UsageError(
            f"{count:,d} cells ({product}) are more than --engine {plan.engine} takes unasked ({most:,d}); "
            "name fewer values, or say --yes"
        )
    demand_hands(plan.engine, plan.hands)


def _demand_folds(period: Span, folds: int) -> None:
    days = day_count(*period)
    if folds > max(1, days):
        raise UsageError(
            f"--folds {folds} is more than the {counted(days, 'day')} from {clock(period[0])} to {clock(period[1])}; take fewer"
        )
