"""Cells of a grid on Ray: two local workers against one, the same cells, the same trades.

Efficiency is the cells a second of two workers by twice those of one, counted from one finished cell to a later one: after each
worker has run one, which carries its start and imports Jesse, and before the first of them has nothing left to do. Run it on
a machine that does nothing else; the load is printed with it.
"""

from __future__ import annotations

import os
import sys
import time
from statistics import median

from sigil_ext.bridge.ray_runs import run_each_on_ray
from sigil_ext.bridge.simulate import SimulationRequest, SimulationResult
from sigil_ext.services.market import Market, folder_source, read_market
from sigil_ext.settings.overlays import Variant, load_variant
from sigil_ext.settings.project import find_project

MULTIPLIERS = tuple(1.0 + step / 4 for step in range(14))
SYMBOLS = ("TST-USDT", "DOGS-USDT", "HMSTR-USDT", "NFP-USDT")


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    variants = [load_variant("unhinged", [f"hard_stop.multiplier={m}"]) for m in MULTIPLIERS]
    market = read_market(variants, folder_source(find_project().sample, SYMBOLS), None, None, "Binance Spot")
    print(
        f"{len(variants)} cells, {len(SYMBOLS)} symbols, 6 days; load of the machine before: {os.getloadavg()[0]:.1f}"
    )
    ratios = []
    for number in range(1, rounds + 1):
        (one, first), (two, second) = timed(market, variants, 1), timed(market, variants, 2)
        assert first == second, "the cells differ"
        ratios.append(two / (2 * one))
        print(f"round {number}: one worker {one:.3f} cells/s, two {two:.3f}, efficiency {ratios[-1]:.0%}", flush=True)
    print(f"efficiency of two workers, median of {rounds}: {median(ratios):.0%}; load after: {os.getloadavg()[0]:.1f}")


def timed(market: Market, variants: list[Variant], workers: int) -> tuple[float, list[float]]:
    """Return cells a second while every worker is at work, and what each cell left in the wallet."""
    requests = [SimulationRequest(v, {}, market.start_ms, market.finish_ms) for v in variants]
    finished: list[float] = []
    cash: dict[int, float] = {}
    for index, outcome in run_each_on_ray("local", market.candles, requests, workers):
        assert isinstance(outcome, SimulationResult), outcome
        finished.append(time.perf_counter())
        cash[index] = outcome.final_cash
    first, last = 2 * workers - 1, len(finished) - workers
    return (last - first) / (finished[last] - finished[first]), [cash[index] for index in range(len(requests))]


if __name__ == "__main__":
    main()
