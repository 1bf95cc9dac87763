"""Cells run by Jesse's own simulator, and where their trades are not those of the kernel."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sigil_ext.bridge.simulate import SimulationRequest
from sigil_ext.bridge.worker import run_each
from sigil_ext.errors import SigilError
from sigil_ext.research.kernel import EXIT_REASONS, TRADE, CellTrades, from_records
from sigil_ext.services.market import Market
from sigil_ext.settings.overlays import Variant


def jesse_cells(market: Market, runs: Sequence[Variant], workers: int) -> list[CellTrades | SigilError]:
    """Return what each of `runs` comes to under Jesse, or why Jesse broke off."""
    cells: dict[int, CellTrades | SigilError] = {}
    with tempfile.TemporaryDirectory(prefix="sigil-candles-") as folder:
        files = market.write(Path(folder))
        requests = [SimulationRequest(run, files, market.start_ms, market.finish_ms) for run in runs]
        for index, outcome in run_each(requests, workers):
            if isinstance(outcome, SigilError):
                cells[index] = outcome
            else:
                record = outcome.record
                cells[index] = from_records(record.trades, outcome.symbols, outcome.final_cash, record.signals_refused)
    return [cells[index] for index in range(len(runs))]


def first_difference(kernel: CellTrades, jesse: CellTrades) -> str | None:
    """Return where the two part first, None where they are equal to the last float (NaN equals NaN)."""
    for number, (ours, theirs) in enumerate(zip(kernel.trades, jesse.trades, strict=False)):
        for name in TRADE.names or ():
            a, b = ours[name], theirs[name]
            if a != b and not (np.isnan(a) and np.isnan(b)):
                said = (EXIT_REASONS[a], EXIT_REASONS[b]) if name == "exit_reason" else (a, b)
                return f"trade {number} of symbol {theirs['symbol']}: {name} {said[0]}, Jesse's {said[1]}"
    if len(kernel.trades) != len(jesse.trades):
        return f"{len(kernel.trades)} trades, Jesse {len(jesse.trades)}"
    if kernel.final_equity != jesse.final_equity:
        return f"final equity {kernel.final_equity!r}, Jesse's {jesse.final_equity!r}"
    if kernel.signals_refused != jesse.signals_refused:
        return f"refused {kernel.signals_refused}, Jesse {jesse.signals_refused}"
    return None
