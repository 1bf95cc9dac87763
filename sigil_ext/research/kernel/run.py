"""Many cells on one market: what they share is made once, each group of equal exits goes to one of several threads.

Start at `run_cells`.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import numpy as np
from numpy.typing import NDArray

from sigil_ext.errors import SimulationFailed
from sigil_ext.research.kernel import cell as compiled_cell
from sigil_ext.research.kernel.compiling import is_compiled
from sigil_ext.research.kernel.market import KernelMarket
from sigil_ext.research.kernel.paths import PATH
from sigil_ext.research.kernel.shapes import ACCOUNT, CELL, POSITION, STANDING, Signals
from sigil_ext.research.kernel.trades import TRADE, CellTrades, UnsupportedAxis
from sigil_ext.rules.protections import ban_hours
from sigil_ext.rules.types import REFUSAL_REASONS
from sigil_ext.settings.models import VariantSettings

SMALLEST_ORDER = 0.01  # USD; under it what is left of a wallet has more decimals than Jesse's 28
LARGEST_BALANCE = 1e9  # above it a wallet's cents and millionths do not fit the 96 bits of Jesse's decimals
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
    for settings in cells:
        demand_support(settings)
    workers = max(1, workers or len(os.sched_getaffinity(0)))
    if not is_compiled(compiled_cell.simulate):
        on_message(COMPILING)
    market.workers = workers
    results: list[CellTrades | None] = [None] * len(cells)
    done = 0
    with ThreadPoolExecutor(workers) as pool:
        for members in _grouped(range(len(cells)), lambda n: _signal_key(cells[n])):
            settings = cells[members[0]]
            signals = market.signals(settings.entry, settings.signal_minutes, settings.atr_minutes)
            for part, came in pool.map(
                lambda part, signals=signals: (part, _run_part(market, signals, [cells[n] for n in part])),
                _parts(members, cells, workers),
            ):
                for n, result in zip(part, came, strict=True):
                    results[n] = result
                done += len(part)
                on_progress(done, len(cells))
    return [r for r in results if r is not None]


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


def _path_key(settings: VariantSettings) -> Hashable:
    return settings.hard_stop, settings.trail, settings.flat


def _grouped(numbers: Sequence[int], key: Callable[[int], Hashable]) -> list[list[int]]:
    groups: dict[Hashable, list[int]] = defaultdict(list)
    for n in numbers:
        groups[key(n)].append(n)
    return list(groups.values())


def _parts(members: Sequence[int], cells: Sequence[VariantSettings], workers: int) -> list[list[int]]:
    """Return the cells that share a path together, such groups cut where there are fewer of them than workers."""
    groups = _grouped(members, lambda n: _path_key(cells[n]))
    pieces = -(-workers // len(groups))
    return [list(g[i::pieces]) for g in groups for i in range(min(pieces, len(g)))]


def _run_part(market: KernelMarket, signals: Signals, cells: Sequence[VariantSettings]) -> list[CellTrades]:
    """Run cells of equal signals and paths, one after the other, on one thread."""
    shared = np.zeros(len(signals.slot), PATH)
    return [
        _run_cell(
            market,
            signals,
            # A position that is increased takes another way out, so a cell that stacks knows no one else's.
            shared if settings.guard.one_position_per_symbol else np.zeros(len(signals.slot), PATH),
            settings,
        )
        for settings in cells
    ]


def _run_cell(market: KernelMarket, signals: Signals, paths: NDArray[np.void], settings: VariantSettings) -> CellTrades:
    signal_minutes, atr_minutes = settings.signal_minutes, settings.atr_minutes
    breaker = settings.breaker
    asks_equity = bool(breaker.daily_loss_pct or breaker.max_drawdown_pct or settings.sizing.risk_per_trade_usd == 0)
    symbols = len(market.symbols)
    refused = np.zeros(compiled_cell.REFUSALS, np.int64)
    room = min(settings.guard.max_open_positions, symbols) + 1
    trades, cash, status = compiled_cell.simulate(
        market.tape(signal_minutes, atr_minutes, with_closes=asks_equity),
        market.scans(settings.universe, signal_minutes, atr_minutes),
        signals, _numbers(settings)[0], _bans(settings), paths, np.empty(0, TRADE),
        np.zeros(1, ACCOUNT), np.zeros(room, POSITION), np.zeros(symbols, STANDING), refused, np.zeros(symbols, np.bool_),
    )  # fmt: skip
    if status != compiled_cell.DONE:
        raise SimulationFailed("a sum of money needs more digits than the kernel keeps; use --engine jesse")
    return CellTrades(trades, float(cash), {r: int(n) for r, n in zip(REFUSAL_REASONS, refused, strict=True) if n})


def _numbers(settings: VariantSettings) -> NDArray[np.void]:
    """Return the settings as the one row of CELL."""
    s = settings
    row = np.zeros(1, CELL)
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
    return row


def _bans(settings: VariantSettings) -> NDArray[np.int64]:
    """Return the length in microseconds of the ban that violation number n brings, the last for all further ones."""
    ban = settings.ban
    lengths = [0]
    while ban.after and (len(lengths) <= ban.after or lengths[-1] < timedelta(hours=ban.max_hours) // MICROSECOND):
        lengths.append(timedelta(hours=ban_hours(len(lengths), ban)) // MICROSECOND)
    return np.array(lengths, dtype=np.int64)
