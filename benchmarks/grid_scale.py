"""What a large grid costs in the kernel, and how the cost grows with cells, symbols and days. Candles are generated.

    python benchmarks/grid_scale.py [--cells 10000] [--symbols 100] [--days 365] [--workers N] [--table]

With --table smaller grids are measured too, one of the three numbers changed at a time. A cell is one of a grid over stop,
trail, activation, flat exit, size and number of positions.
"""

from __future__ import annotations

import argparse
import itertools
import os
import resource
import sys
import time

from benchmarks.grid_market import BEGIN_MS, generated
from sigil_ext.research.kernel import KernelMarket, run_cells, run_each
from sigil_ext.research.kernel.trades import CellTrades
from sigil_ext.settings.overlays import load_variant

AXES: dict[str, tuple[object, ...]] = {
    "hard_stop.multiplier": tuple(0.5 + 0.25 * n for n in range(10)),
    "trail.multiplier": tuple(0.5 + 0.5 * n for n in range(10)),
    "trail.activation_atr": (0.5, 1.0, 1.5, 2.0, 3.0),
    "flat.after": ("4h", "8h"),
    "sizing.max_position_usd": (40, 50, 60, 80, 100),
    "guard.max_open_positions": (10, 5),
}
SMALL = (200, 20, 30)


def cells(count: int):
    """Return the first `count` cells of the grid."""
    crossed = itertools.islice(itertools.product(*reversed(AXES.values())), count)
    names = list(reversed(AXES))
    return [load_variant("unhinged", [f"{k}={v}" for k, v in zip(names, c, strict=True)]).settings for c in crossed]


def measure(candles, count: int, workers: int | None) -> str:
    """Return a row of the table."""
    days = len(next(iter(candles.values()))) // 1440
    runs = cells(count)
    market = KernelMarket.of(candles, BEGIN_MS, BEGIN_MS + days * 86_400_000)
    wall, cpu = time.perf_counter(), time.process_time()
    run_cells(market, runs[:1], workers=workers)
    shared = time.process_time() - cpu
    # As `sigil grid` does: what a cell came to is taken in and let go.
    trades = 0
    for _, cell in run_each(market, runs, workers=workers):
        assert isinstance(cell, CellTrades)
        trades += len(cell.trades)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return (
        f"| {count} | {len(candles)} | {days} | {trades} | {shared:.2f} | {(cpu - shared) / count * 1000:.2f} "
        f"| {cpu:.1f} | {wall:.1f} |"
    )


def main() -> int:
    """Print a Markdown table, then candles and peak memory."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, default=10_000)
    parser.add_argument("--symbols", type=int, default=100)
    parser.add_argument("--days", type=int, default=365)
    parser.add_argument("--workers", type=int, default=None)
    parser.add_argument("--table", action="store_true")
    options = parser.parse_args()
    few = generated(2, 15)
    run_cells(KernelMarket.of(few, BEGIN_MS, BEGIN_MS + 15 * 86_400_000), cells(1), workers=1, on_message=print)
    print(f"{os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}\n")
    print("| cells | symbols | days | trades | shared, s CPU | a cell, ms CPU | all, s CPU | all, s by the clock |")
    print("|---|---|---|---|---|---|---|---|")
    if options.table:
        count, symbols, days = SMALL
        for c, s, d in (SMALL, (4 * count, symbols, days), (count, 2 * symbols, days), (count, 4 * symbols, days),
                        (count, symbols, 2 * days), (count, symbols, 4 * days)):  # fmt: skip
            print(measure(generated(s, d), c, options.workers), flush=True)
    candles = generated(options.symbols, options.days)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(measure(candles, options.cells, options.workers), flush=True)
    gigabytes = sum(rows.nbytes for rows in candles.values()) / 1e9
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(
        f"\ncandles {gigabytes:.2f} GB; peak of the process {peak:.2f} GB ({peak / gigabytes:.2f} times), {before:.2f} of it before"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
