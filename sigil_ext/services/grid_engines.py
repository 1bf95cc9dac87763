"""Engines of a grid: each takes runs and a market and gives what every run came to, in the order in which they end.

`jesse` is Jesse's own simulator, in processes of this machine or on a Ray cluster; `kernel` is compiled. Start at `ENGINES`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass

from sigil_ext.bridge.ray_runs import demand_cluster, run_each_on_ray
from sigil_ext.bridge.simulate import SimulationRequest, SimulationResult
from sigil_ext.bridge.worker import run_each
from sigil_ext.errors import SigilError, UsageError
from sigil_ext.research.kernel import CellTrades, KernelMarket, from_records
from sigil_ext.research.kernel import run_each as run_each_cell
from sigil_ext.services.market import Market
from sigil_ext.settings.overlays import Variant
from sigil_ext.settings.temporary import temporary_folder

Outcome = CellTrades | SigilError
Outcomes = Generator[tuple[int, Outcome], None, None]


@dataclass(frozen=True, slots=True)
class Talk:
    """Whom an engine tells: `part` of the cells' worth of work done since the last time, `say` of what takes its time."""

    part: Callable[[float], None]
    say: Callable[[str], None] = lambda sentence: None


@dataclass(frozen=True, slots=True)
class Hands:
    """Who does the work: processes or threads of this machine (None: one a processor), or a Ray cluster's address."""

    workers: int | None = None
    ray: str | None = None


def demand_hands(engine: str, hands: Hands) -> None:
    """Refuse hands that cannot do the work, before any work is done.

    Raises:
        UsageError: Ray for the kernel, or no cluster at the address.
    """
    if hands.ray is None:
        return
    if engine == "kernel":
        raise UsageError("--ray is for --engine jesse; the kernel uses the processors of this machine (--workers)")
    demand_cluster(hands.ray)


def run_jesse(market: Market, runs: Sequence[Variant], hands: Hands, talk: Talk) -> Outcomes:
    """Yield (index, outcome) of each of `runs`, a failed one with its error."""
    if hands.ray is not None:
        yield from _on_ray(market, runs, hands, talk)
        return
    workers = hands.workers or min(len(runs), os.cpu_count() or 1)
    told = [0.0] * len(runs)

    def progress(index: int, share: float) -> None:
        talk.part(share - told[index])
        told[index] = share

    with temporary_folder("candles") as folder:
        files = market.write(folder)  # once: every process maps the same pages
        requests = [SimulationRequest(r, files, market.start_ms, market.finish_ms, market.exchange) for r in runs]
        with closing(run_each(requests, workers, progress)) as ended:
            for index, outcome in ended:
                if isinstance(outcome, SigilError):
                    talk.part(1 - told[index])
                yield index, _cell(outcome)


def run_kernel(market: Market, runs: Sequence[Variant], hands: Hands, talk: Talk) -> Outcomes:
    """Yield (index, outcome) of each of `runs`.

    Raises:
        UnsupportedAxis: a key or value that the kernel cannot run.
    """
    prepared = KernelMarket.of(market.candles, market.start_ms, market.finish_ms)
    settings = [run.settings for run in runs]
    for index, outcome in run_each_cell(prepared, settings, workers=hands.workers, on_message=talk.say):
        talk.part(1)
        yield index, outcome


def _on_ray(market: Market, runs: Sequence[Variant], hands: Hands, talk: Talk) -> Outcomes:
    assert hands.ray is not None
    requests = [SimulationRequest(r, {}, market.start_ms, market.finish_ms, market.exchange) for r in runs]
    with closing(run_each_on_ray(hands.ray, market.candles, requests, hands.workers)) as ended:
        for index, outcome in ended:
            talk.part(1)
            yield index, _cell(outcome)


def _cell(outcome: SimulationResult | SigilError) -> Outcome:
    if isinstance(outcome, SigilError):
        return outcome
    record = outcome.record
    return from_records(record.trades, outcome.symbols, outcome.final_cash, record.signals_refused)


ENGINES: dict[str, Callable[[Market, Sequence[Variant], Hands, Talk], Outcomes]] = {
    "kernel": run_kernel,
    "jesse": run_jesse,
}
