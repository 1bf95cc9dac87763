"""Grid: variants crossed with axes, every cell run once by the engine asked for, kept, checked and put into one document.

Start at `run_grid`.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

from sigil_ext.errors import SigilError, UsageError
from sigil_ext.research.grid.axes import Axis, cell_count
from sigil_ext.research.grid.cells import cross
from sigil_ext.research.grid.figures import OBJECTIVES, day_count
from sigil_ext.research.grid.report import GridFacts, build_document
from sigil_ext.research.grid.summary import Span, Summary, fold_spans, summarise
from sigil_ext.research.kernel.trades import CellTrades
from sigil_ext.services.cell_store import CellStore, settings_hash
from sigil_ext.services.grid_engines import ENGINES, Hands, Talk
from sigil_ext.services.grid_verify import verify
from sigil_ext.services.market import CandleSource, Market, clock, read_market
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
    demand_size(plan)
    if plan.objective not in OBJECTIVES:
        raise UsageError(f"no objective '{plan.objective}'; known: {', '.join(OBJECTIVES)}")
    cells = cross(plan.variants, plan.axes)
    runs = {cell.index: cell.run for cell in cells if cell.run is not None}
    market = read_market(runs.values(), plan.candles, plan.start_ms, plan.finish_ms, plan.exchange)
    period = (market.start_ms, market.finish_ms)
    folds = _folds(period, plan.folds)
    with CellStore(project, plan.engine, market) as store:
        if plan.fresh:
            store.forget(runs.values())
        tried_before = len(store.known() - {settings_hash(run) for run in runs.values()})
        summaries, failed = _run_cells(market, runs, plan, store, lambda c, r: _summary(c, r, period, folds), tell, say)
        if not summaries:
            raise SigilError(f"no cell could be run; the first one: {next(iter(failed.values()))}")
        verification = None
        if plan.engine == "kernel" and plan.verify:
            ran = {i: runs[i] for i in summaries}
            verification = verify(
                market, ran, plan.verify, store, plan.hands, random.SystemRandom().getrandbits(32), tell
            )
    facts = GridFacts(
        plan.variants, plan.axes, plan.engine, period, tuple(market.symbols), plan.candles_name, plan.exchange,
        market.intervals, plan.objective, plan.least_trades, tuple(folds), verification, tried_before,
    )  # fmt: skip
    problems = {c.index: c.problem for c in cells if c.problem is not None} | failed
    return build_document(facts, cells, summaries, problems)


def demand_size(plan: GridPlan) -> None:
    """Refuse more cells than anybody means.

    Raises:
        UsageError: with the count and the way out.
    """
    count, most = cell_count(len(plan.variants), plan.axes), MOST_CELLS[plan.engine]
    if count > most and not plan.confirmed:
        product = " x ".join(str(n) for n in (len(plan.variants), *(len(axis.values) for axis in plan.axes)))
        raise UsageError(
            f"{count:,d} cells ({product}) are more than --engine {plan.engine} takes unasked ({most:,d}); "
            "name fewer values, or say --yes"
        )


def _folds(period: Span, folds: int) -> list[Span]:
    days = day_count(*period)
    if folds > max(1, days):
        raise UsageError(
            f"--folds {folds} is more than the {days} day(s) from {clock(period[0])} to {clock(period[1])}; take fewer"
        )
    return fold_spans(period, folds)


def _summary(cell: CellTrades, run: Variant, period: Span, folds: Sequence[Span]) -> Summary:
    return summarise(cell, run.settings.sizing.starting_balance, period, folds)


def _run_cells(
    market: Market,
    runs: Mapping[int, Variant],
    plan: GridPlan,
    store: CellStore,
    reduce: Callable[[CellTrades, Variant], Summary],
    tell: Tell,
    say: Say,
) -> tuple[dict[int, Summary], dict[int, str]]:
    """Return the summaries of the cells that ran, now or before, and the sentences of those that failed, by index.

    Cells of the same settings are run once. What is done is kept at once, so that a later call goes on from there.
    """
    by_settings: dict[str, list[int]] = {}
    for index, run in runs.items():
        by_settings.setdefault(settings_hash(run), []).append(index)
    summaries: dict[int, Summary] = {}
    failed: dict[int, str] = {}
    waiting: list[list[int]] = []
    for indices in by_settings.values():
        kept = store.get(runs[indices[0]])
        if kept is None:
            waiting.append(indices)
        else:
            summaries |= dict.fromkeys(indices, reduce(kept, runs[indices[0]]))
    if summaries:
        say(f"{len(summaries):,d} of {len(runs):,d} cells are kept from before (--fresh runs them again)")
    done = float(len(by_settings) - len(waiting))
    what = f"{plan.engine} cells"
    tell(what, done, len(by_settings))

    def part(worth: float) -> None:
        nonlocal done
        done += worth
        tell(what, done, len(by_settings))

    if waiting:
        firsts = [runs[indices[0]] for indices in waiting]
        with closing(ENGINES[plan.engine](market, firsts, plan.hands, Talk(part, say))) as outcomes:
            for number, outcome in outcomes:
                if isinstance(outcome, SigilError):
                    failed |= dict.fromkeys(waiting[number], str(outcome))
                    continue
                store.put(firsts[number], outcome)
                summaries |= dict.fromkeys(waiting[number], reduce(outcome, firsts[number]))
    return summaries, failed
