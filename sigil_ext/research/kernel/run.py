"""Many cells on one market: what they share is made once, each group of equal exits goes to one of several threads.

Start at `run_each`.
"""

from __future__ import annotations

import os
from collections import defaultdict, deque
from collections.abc import Callable, Generator, Hashable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta

import numpy as np
from numpy.typing import NDArray

from sigil_ext.errors import SimulationFailed
from sigil_ext.research.kernel import cell as compiled_cell
from sigil_ext.research.kernel.compiling import is_compiled
from sigil_ext.research.kernel.market import KernelMarket
from sigil_ext.research.kernel.shapes import CELL, OUTCOME, REFUSALS, Signals
from sigil_ext.research.kernel.trades import TRADE, CellTrades, UnsupportedAxis
from sigil_ext.research.kernel.world import world_of
from sigil_ext.rules.protections import ban_hours
from sigil_ext.rules.types import REFUSAL_REASONS
from sigil_ext.settings.models import VariantSettings

SMALLEST_ORDER = 0.01  # USD; under it what is left of a wallet has more decimals than Jesse's 28
LARGEST_BALANCE = 1e9  # above it a wallet's cents and millionths do not fit the 96 bits of Jesse's decimals
MOST_TOGETHER = 128  # cells of one part
FIRST_ROOM = 1024  # trades of one part, to begin with
MICROSECOND = timedelta(microseconds=1)
COMPILING = "compiling the kernel, which takes about a minute and is done once; the machine code is kept on disk"


def run_cells(
    market: KernelMarket,
    cells: Sequence[VariantSettings],
    *,
    workers: int | None = None,
    on_progress: Callable[[int, int], None] = lambda done, of: None,
    on_message: Callable[[str], None] = lambda sentence: None,
) -> list[CellTrades]:
    """Return what each of `cells` comes to on `market`, in their order: the trades that Jesse makes, to the last float.

    Args:
        workers: threads; None takes as many as there are processors.
        on_progress: called with the number of cells done and of all. on_message: with what takes its time.
    Raises:
        UnsupportedAxis: a cell has a value that the kernel cannot run.
        SimulationFailed: a sum of money needs more digits than Jesse's decimals have.
    """
    results: dict[int, CellTrades] = {}
    for number, outcome in run_each(market, cells, workers=workers, on_message=on_message):
        if isinstance(outcome, SimulationFailed):
            raise outcome
        results[number] = outcome
        on_progress(len(results), len(cells))
    return [results[number] for number in range(len(cells))]


def run_each(
    market: KernelMarket,
    cells: Sequence[VariantSettings],
    *,
    workers: int | None = None,
    on_message: Callable[[str], None] = lambda sentence: None,
) -> Generator[tuple[int, CellTrades | SimulationFailed], None, None]:
    """Yield (index, what it comes to) of each of `cells` as they end, no more of them held than are being run.

    Raises:
        UnsupportedAxis: a cell has a value that the kernel cannot run.
    """
    for settings in cells:
        demand_support(settings)
    workers = max(1, workers or len(os.sched_getaffinity(0)))
    if not is_compiled(compiled_cell.simulate):
        on_message(COMPILING)
    market.workers = workers
    with ThreadPoolExecutor(workers) as pool:
        for members in _grouped(range(len(cells)), lambda n: _signal_key(cells[n])):
            settings = cells[members[0]]
            signals = market.signals(settings.entry, settings.signal_minutes, settings.atr_minutes)
            waiting = deque(_parts(members, cells, workers))
            running: deque[Future[list[tuple[int, CellTrades | SimulationFailed]]]] = deque()
            try:
                while waiting or running:
                    while waiting and len(running) < 2 * workers:
                        part = waiting.popleft()
                        running.append(pool.submit(_run_part, market, signals, part, [cells[n] for n in part]))
                    yield from running.popleft().result()
            finally:
                for future in running:
                    future.cancel()


def demand_support(settings: VariantSettings) -> None:
    """Raise UnsupportedAxis where the kernel cannot run a variant of these settings."""
    balance, least = settings.sizing.starting_balance, settings.sizing.min_notional_usd
    if least < SMALLEST_ORDER:
        why = f"positions of less than {SMALLEST_ORDER:g} USD need more digits than its sums keep"
        raise UnsupportedAxis("sizing.min_notional_usd", f"{least:g}", why)
    if balance > LARGEST_BALANCE:
        raise UnsupportedAxis(
            "sizing.starting_balance", f"{balance:g}", f"its sums are exact up to {LARGEST_BALANCE:g}"
        )


def _signal_key(settings: VariantSettings) -> Hashable:
    return settings.signal_timeframe, settings.atr_timeframe, settings.entry


def _part_key(settings: VariantSettings) -> Hashable:
    """Return what cells that are run together have in common: their exits, scans and bans."""
    return settings.hard_stop, settings.trail, settings.flat, settings.universe, settings.ban


def _grouped(numbers: Sequence[int], key: Callable[[int], Hashable]) -> list[list[int]]:
    groups: dict[Hashable, list[int]] = defaultdict(list)
    for n in numbers:
        groups[key(n)].append(n)
    return list(groups.values())


def _parts(members: Sequence[int], cells: Sequence[VariantSettings], workers: int) -> list[list[int]]:
    """Return the cells that are run together, those with equal guards next to each other.

    Groups are cut where there are fewer of them than workers, and where they are large: results wait for their part.
    """
    groups = _grouped(members, lambda n: _part_key(cells[n]))
    parts = []
    for group in groups:
        ordered = [n for alike in _grouped(group, lambda n: cells[n].guard) for n in alike]
        size = min(MOST_TOGETHER, -(-len(ordered) // -(-workers // len(groups))))
        parts += [ordered[k : k + size] for k in range(0, len(ordered), size)]
    return parts


def _run_part(
    market: KernelMarket, signals: Signals, numbers: Sequence[int], cells: Sequence[VariantSettings]
) -> list[tuple[int, CellTrades | SimulationFailed]]:
    """Run cells of equal signals, exits, scans and bans, one after the other, on one thread."""
    first = cells[0]
    length, atr_minutes = first.signal_minutes, first.atr_minutes
    places = min(max(c.guard.max_open_positions for c in cells), len(market.symbols)) + 1
    rows = np.zeros(len(cells), CELL)
    for row, settings in zip(rows, cells, strict=True):
        _fill(row, settings)
    like_before = np.array([n > 0 and c.guard == cells[n - 1].guard for n, c in enumerate(cells)])
    outcomes, refused = np.zeros(len(cells), OUTCOME), np.zeros((len(cells), REFUSALS), np.int64)
    tape = market.tape(
        length,
        atr_minutes,
        with_closes=any(_asks_equity(c) for c in cells),
        with_clock=any(c.breaker.consecutive_losses for c in cells),
    )
    scans = market.scans(first.universe, length, atr_minutes, with_bans=first.ban.after > 0)
    world, arrays = world_of(tape, scans, signals, rows, _bans(first), refused, places)
    trades = compiled_cell.simulate(world, like_before, outcomes, np.empty(FIRST_ROOM, TRADE))
    del arrays  # until here their addresses were read
    ends = [0, *outcomes["end"].tolist()]
    return [(n, _outcome(trades[ends[k] : ends[k + 1]], outcomes[k], refused[k])) for k, n in enumerate(numbers)]


def _outcome(trades: NDArray[np.void], outcome: np.void, refused: NDArray[np.int64]) -> CellTrades | SimulationFailed:
    if outcome["status"] != compiled_cell.DONE:
        return SimulationFailed("a sum of money needs more digits than the kernel keeps; use --engine jesse")
    reasons: dict[str, int] = {r: n for r, n in zip(REFUSAL_REASONS, refused.tolist(), strict=True) if n}
    return CellTrades(trades, float(outcome["cash"]), reasons)


def _asks_equity(settings: VariantSettings) -> bool:
    breaker = settings.breaker
    return bool(
        breaker.daily_loss_pct
        or breaker.max_drawdown_pct
        or breaker.consecutive_losses
        or settings.sizing.risk_per_trade_usd == 0
    )


def _fill(row: np.void, s: VariantSettings) -> None:
    """Write settings into a row of CELL."""
    for name, value in (
        ("multiplier", s.hard_stop.multiplier), ("floor_pct", s.hard_stop.floor_pct), ("cap_pct", s.hard_stop.cap_pct),
        ("activation_atr", s.trail.activation_atr), ("trail_multiplier", s.trail.multiplier),
        ("flat_after", s.flat.after.total_seconds() / 60), ("flat_max_move_pct", s.flat.max_move_pct),
        ("starting_balance", s.sizing.starting_balance), ("risk_per_trade_usd", s.sizing.risk_per_trade_usd),
        ("max_position_usd", s.sizing.max_position_usd), ("position_pct", s.sizing.position_pct),
        ("min_notional_usd", s.sizing.min_notional_usd), ("cost_rate", s.costs.rate),
        ("max_gap", s.guard.max_gap.total_seconds() / 60), ("daily_loss_pct", s.breaker.daily_loss_pct),
        ("max_drawdown_pct", s.breaker.max_drawdown_pct), ("consecutive_losses", s.breaker.consecutive_losses),
        ("max_open_positions", s.guard.max_open_positions),
        ("cooldown_us", timedelta(hours=s.guard.cooldown_hours) // MICROSECOND),
        ("cooldown_from_close", s.guard.cooldown_from == "close"), ("ban_window_us", s.ban.window // MICROSECOND),
        ("stacks", not s.guard.one_position_per_symbol),
    ):  # fmt: skip
        row[name] = value


def _bans(settings: VariantSettings) -> NDArray[np.int64]:
    """Return the length in microseconds of the ban that violation number n brings, the last for all further ones."""
    ban = settings.ban
    lengths = [0]
    while ban.after and (len(lengths) <= ban.after or lengths[-1] < timedelta(hours=ban.max_hours) // MICROSECOND):
        lengths.append(timedelta(hours=ban_hours(len(lengths), ban)) // MICROSECOND)
    return np.array(lengths, dtype=np.int64)
