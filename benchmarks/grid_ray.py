"""Cells of a grid on Ray: two local workers against one, the same cells, the same trades.

Efficiency is the time of one worker by twice the time of two. Both begin after a first round that starts the workers and
imports Jesse, so it is the work that is compared. Run it on a machine that does nothing else; the load is printed with it.
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

MULTIPLIERS = (1.0, 1.5, 2.0, 2.5, 3.0, 3.5)
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
        ratios.append(one / (2 * two))
        print(f"round {number}: one worker {one:.1f} s, two {two:.1f} s, efficiency {ratios[-1]:.0%}", flush=True)
    print(f"efficiency of two workers, median of {rounds}: {median(ratios):.0%}; load after: {os.getloadavg()[0]:.1f}")


def timed(market: Market, variants: list[Variant], workers: int) -> tuple[float, list[float]]:
    """Return seconds for all cells, and what each left in the wallet.

    The first cells of each worker carry its start: the clock runs from the last of them to the end.
    """
    requests = [SimulationRequest(v, {}, market.start_ms, market.finish_ms) for v in (*variants[:workers], *variants)]
    finished: list[float] = []
    cash: dict[int, float] = {}
    for index, outcome in run_each_on_ray("local", market.candles, requests, workers):
        assert isinstance(outcome, SimulationResult), outcome
        finished.append(time.perf_counter())
        cash[index] = outcome.final_cash
    return finished[-1] - finished[workers - 1], [cash[index] for index in range(workers, len(requests))]


if __name__ == "__main__":
    main()
