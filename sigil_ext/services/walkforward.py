"""Walk-forward: every cell over a window, the best one traded in the next, on to the end of the candles.

Start at `run_walk`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sigil_ext.errors import SigilError, UsageError
from sigil_ext.research.grid.cells import Cell, cross
from sigil_ext.research.grid.figures import figures_of
from sigil_ext.research.grid.walk import Walked, WalkFacts, Window, build_walk, choose, windows_of
from sigil_ext.research.kernel import TRADE, CellTrades
from sigil_ext.services.cell_store import CellStore
from sigil_ext.services.grid import GridPlan, Say, Tell, counting, demand_sense
from sigil_ext.services.grid_cells import Workshop, run_kept
from sigil_ext.services.grid_engines import Talk
from sigil_ext.services.market import Market, read_market
from sigil_ext.services.walk_verify import Ran, verify_walk
from sigil_ext.settings.models import format_duration, parse_duration
from sigil_ext.settings.overlays import Variant, flatten, merge
from sigil_ext.settings.project import Project

DUST_USD = 0.01


@dataclass(frozen=True, slots=True)
class WalkPlan:
    """A grid and how it walks: `train` and `trade` are durations like 14d. `stand_aside`: no trading on a lost window."""

    grid: GridPlan
    train: str
    trade: str
    anchored: bool = False
    stand_aside: bool = False


def run_walk(
    project: Project, plan: WalkPlan, tell: Tell = lambda what, done, of: None, say: Say = lambda sentence: None
) -> dict[str, Any]:
    """Walk over the whole period and return the document.

    Raises:
        UsageError: the grid, the durations or the period cannot be. SigilError: the kernel's trades are not Jesse's, or
            nothing could run.
    """
    grid = plan.grid
    demand_sense(grid)
    train_ms, trade_ms = _milliseconds(plan.train, "--train"), _milliseconds(plan.trade, "--trade")
    if grid.start_ms is not None and grid.finish_ms is not None and grid.start_ms < grid.finish_ms:
        # What has no windows is refused before candles are read.
        windows_of((grid.start_ms, grid.finish_ms), train_ms, trade_ms, plan.anchored)
    cells = cross(grid.variants, grid.axes)
    runs = {cell.index: cell.run for cell in cells if cell.run is not None}
    balance = _balance(runs)
    market = read_market(runs.values(), grid.candles, grid.start_ms, grid.finish_ms, grid.exchange)
    windows = windows_of((market.start_ms, market.finish_ms), train_ms, trade_ms, plan.anchored)
    with CellStore(project, grid.engine, market) as store:
        shop = Workshop(grid.engine, grid.hands, store, grid.fresh)
        talk = counting(f"{grid.engine} cells", len(windows) * (len(runs) + 1 + len(grid.variants)), tell, say)
        walked, ran = _walk(plan, shop, market, windows, runs, balance, Talk(talk.part))
        verification = None
        if grid.engine == "kernel" and grid.verify:
            verification = verify_walk(
                shop, runs, ran, grid.verify, counting("checked against Jesse", grid.verify, tell, say)
            )
    facts = WalkFacts(
        grid.variants, grid.axes, grid.engine, tuple(market.symbols), grid.candles_name, grid.exchange, grid.objective,
        grid.least_trades, format_duration(parse_duration(plan.train)), format_duration(parse_duration(plan.trade)),
        plan.anchored, plan.stand_aside, balance, verification, market.finish_ms - windows[-1].finish_ms,
    )  # fmt: skip
    return build_walk(facts, cells, walked) | {"problems": _problems(cells)}


def _walk(
    plan: WalkPlan,
    shop: Workshop,
    market: Market,
    windows: Sequence[Window],
    runs: Mapping[int, Variant],
    balance: float,
    talk: Talk,
) -> tuple[list[Walked], list[Ran]]:
    """Return what came of each window, the account of `balance` USD carried from one to the next, and what was run for it."""
    grid = plan.grid
    walked: list[Walked] = []
    ran: list[Ran] = []
    for window in windows:
        training = market.cut(window.train_ms, window.trade_ms, runs.values())
        figures, failed = run_kept(
            shop, training, runs, lambda cell, run: figures_of(cell.trades, run.settings.sizing.starting_balance), talk
        )
        if not figures:
            raise SigilError(f"no cell could be run; the first one: {next(iter(failed.values()))}")
        chosen = choose(figures, grid.objective, grid.least_trades, plan.stand_aside)
        trading = market.cut(window.trade_ms, window.finish_ms, runs.values())
        own = {v.name: _numbered(_only(shop, trading, v, talk).trades, trading, market) for v in grid.variants}
        trades: NDArray[np.void] = np.empty(0, TRADE)
        traded = _with_balance(runs[chosen], balance) if chosen is not None and balance > DUST_USD else None
        if traded is not None:
            came = _only(shop, trading, traded, talk)
            trades, balance = _numbered(came.trades, trading, market), came.final_equity
        else:
            talk.part(1)
        walked.append(Walked(window, chosen, None if chosen is None else figures[chosen], trades, own, len(figures)))
        ran.append(Ran(training, tuple(figures), trading, traded))
    return walked, ran


def _only(shop: Workshop, market: Market, run: Variant, talk: Talk) -> CellTrades:
    done, failed = run_kept(shop, market, {0: run}, lambda cell, _: cell, talk)
    if failed:
        raise SigilError(failed[0])
    return done[0]


def _numbered(trades: NDArray[np.void], part: Market, whole: Market) -> NDArray[np.void]:
    """Return `trades` with the symbols numbered as in `whole`: a part of the time may lack some."""
    numbers = np.array([whole.symbols.index(symbol) for symbol in part.symbols], dtype=np.int16)
    trades = trades.copy()
    trades["symbol"] = numbers[trades["symbol"]]
    return trades


def _with_balance(run: Variant, balance: float) -> Variant:
    """Return `run` with an account of `balance` USD."""
    return merge(run.name, [("the window before", flatten(run.settings) | {"sizing.starting_balance": balance})])


def _balance(runs: Mapping[int, Variant]) -> float:
    balances = {run.settings.sizing.starting_balance for run in runs.values()}
    if len(balances) > 1:
        raise UsageError("sizing.starting_balance differs between the cells; one account walks, give it one balance")
    return balances.pop()


def _problems(cells: Sequence[Cell]) -> list[dict[str, str]]:
    return [{"label": cell.label, "problem": cell.problem} for cell in cells if cell.problem is not None]


def _milliseconds(text: str, option: str) -> int:
    try:
        length = parse_duration(text)
    except ValueError as error:
        raise UsageError(f"{option} '{text}' {error}") from None
    minutes = length.total_seconds() / 60
    if minutes < 60 or minutes % 60:
        raise UsageError(f"{option} '{text}' must be whole hours or days, like 12h or 14d")
    return int(minutes) * 60_000
