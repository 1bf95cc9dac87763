"""Engines of a grid: each takes runs and a market and gives what every run came to, in the order in which they end.

`jesse` is Jesse's own simulator, in processes of this machine or on a Ray cluster; `kernel` is compiled. Start at `ENGINES`.
"""

from __future__ import annotations

import importlib
import os
import tempfile
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sigil_ext.bridge.simulate import SimulationRequest, SimulationResult
from sigil_ext.bridge.worker import run_each
from sigil_ext.errors import SigilError, UsageError
from sigil_ext.research.kernel.trades import CellTrades, from_records
from sigil_ext.services.market import Market
from sigil_ext.settings.overlays import Variant

Outcome = CellTrades | SigilError
Outcomes = Generator[tuple[int, Outcome], None, None]
Part = Callable[[float], None]  # told of the cells worth of work done since it was told last, parts of a cell too
KERNEL_CHUNK = 256


@dataclass(frozen=True, slots=True)
class Hands:
    """Who does the work: processes or threads of this machine (None: one a processor), or a Ray cluster's address."""

    workers: int | None = None
    ray: str | None = None


def run_jesse(market: Market, runs: Sequence[Variant], hands: Hands, on_part: Part) -> Outcomes:
    """Yield (index, outcome) of each of `runs`, a failed one with its error."""
    if hands.ray is not None:
        yield from _on_ray(market, runs, hands, on_part)
        return
    workers = hands.workers or min(len(runs), os.cpu_count() or 1)
    told = [0.0] * len(runs)

    def progress(index: int, share: float) -> None:
        on_part(share - told[index])
        told[index] = share

    with tempfile.TemporaryDirectory(prefix="sigil-candles-") as folder:
        files = market.write(Path(folder))  # once: every process maps the same pages
        requests = [SimulationRequest(r, files, market.start_ms, market.finish_ms, market.exchange) for r in runs]
        with closing(run_each(requests, workers, progress)) as ended:
            for index, outcome in ended:
                if isinstance(outcome, SigilError):
                    on_part(1 - told[index])
                yield index, _cell(outcome)


def run_kernel(market: Market, runs: Sequence[Variant], hands: Hands, on_part: Part) -> Outcomes:
    """Yield (index, outcome) of each of `runs`.

    Raises:
        UsageError: Ray was asked for. UnsupportedAxis: a key or value that the kernel cannot run.
    """
    if hands.ray is not None:
        raise UsageError("--ray is for --engine jesse; the kernel uses the processors of this machine (--workers)")
    kernel = _kernel()
    prepared = kernel.KernelMarket.of(market.candles, market.start_ms, market.finish_ms)
    for first in range(0, len(runs), KERNEL_CHUNK):
        chunk = runs[first : first + KERNEL_CHUNK]
        done = kernel.run_cells(prepared, [run.settings for run in chunk], workers=hands.workers)
        on_part(float(len(chunk)))
        yield from enumerate(done, start=first)


def _kernel() -> Any:
    kernel = importlib.import_module("sigil_ext.research.kernel")
    if not hasattr(kernel, "run_cells"):
        raise UsageError("the kernel is not in this version; use --engine jesse")
    return kernel


def _on_ray(market: Market, runs: Sequence[Variant], hands: Hands, on_part: Part) -> Outcomes:
    raise UsageError("--ray is not in this version; leave it out, cells are then run in processes of this machine")
    yield  # a generator


def _cell(outcome: SimulationResult | SigilError) -> Outcome:
    if isinstance(outcome, SigilError):
        return outcome
    record = outcome.record
    return from_records(record.trades, outcome.symbols, outcome.final_cash, record.signals_refused)


ENGINES: dict[str, Callable[[Market, Sequence[Variant], Hands, Part], Outcomes]] = {
    "kernel": run_kernel,
    "jesse": run_jesse,
}
