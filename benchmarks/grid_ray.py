"""Cells of a grid on Ray: two local workers against one, the same cells, the same trades.

Efficiency is the time of one worker by twice the time of two. Both begin after a first round that starts the workers and
imports Jesse, so it is the work that is compared. Run it on a machine that does nothing else; the load is printed with it.
"""

from __future__ import annotations

import os
import time

from sigil_ext.bridge.ray_runs import run_each_on_ray
from sigil_ext.bridge.simulate import SimulationRequest, SimulationResult
from sigil_ext.services.market import folder_source, read_market
from sigil_ext.settings.overlays import load_variant
from sigil_ext.settings.project import find_project

MULTIPLIERS = (1.0, 1.5, 2.0, 2.5, 3.0, 3.5)
SYMBOLS = ("TST-USDT", "DOGS-USDT", "HMSTR-USDT", "NFP-USDT")


def main() -> None:
    variants = [load_variant("unhinged", [f"hard_stop.multiplier={m}"]) for m in MULTIPLIERS]
    market = read_market(variants, folder_source(find_project().sample, SYMBOLS), None, None, "Binance Spot")
    request = lambda v: SimulationRequest(v, {}, market.start_ms, market.finish_ms)  # noqa: E731
    load = os.getloadavg()[0]
    print(f"{len(variants)} cells, {len(SYMBOLS)} symbols, 6 days; load of the machine before: {load:.1f}")
    taken: dict[int, float] = {}
    seen: list[list[float]] = []
    for workers in (1, 2):
        # The first cells of each worker carry its start; the clock runs from the last of them to the end.
        requests = [request(v) for v in (*variants[:workers], *variants)]
        finished: list[float] = []
        cash: dict[int, float] = {}
        for index, outcome in run_each_on_ray("local", market.candles, requests, workers):
            assert isinstance(outcome, SimulationResult), outcome
            finished.append(time.perf_counter())
            cash[index] = outcome.final_cash
        taken[workers] = finished[-1] - finished[workers - 1]
        seen.append([cash[index] for index in range(workers, len(requests))])
        print(f"{workers} worker{'s' if workers > 1 else ''}: {taken[workers]:.1f} s for {len(variants)} cells")
    assert seen[0] == seen[1], "the cells differ"
    print(f"efficiency of two workers: {taken[1] / (2 * taken[2]):.0%}; load after: {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
