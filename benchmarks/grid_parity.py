"""Whether the kernel's trades are Jesse's: random settings over every key, on parts of real candle sets.

    python benchmarks/grid_parity.py [--settings 200] [--seed 1] DIR [DIR ...]

Each batch of settings gets some symbols and some days of one folder, in half of the batches with warm-up before the
start. Prints a line a batch and at the end settings tried, trades compared and settings that differ (0 is the aim).
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from pathlib import Path

from benchmarks.grid_jesse import first_difference, jesse_cells
from benchmarks.grid_settings import random_variant
from sigil_ext.bridge.candle_files import load_candles
from sigil_ext.errors import SigilError
from sigil_ext.research.kernel import KernelMarket, run_cells
from sigil_ext.services.market import read_market
from sigil_ext.settings.overlays import flatten

BATCH = 10
DAYS = 4
SYMBOLS = 6
DAY_MS = 86_400_000


def main() -> int:
    """Print the comparison; 1 where anything differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--settings", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    rng = random.Random(options.seed)
    tried = trades = differing = skipped = 0
    began = time.time()
    while tried + skipped < options.settings:
        folder = options.folders[(tried + skipped) // BATCH % len(options.folders)]
        t, n, d, s = compare_batch(folder, rng, options.workers)
        tried, trades, differing, skipped = tried + t, trades + n, differing + d, skipped + s
    print(
        f"{tried} settings on {len(options.folders)} candle sets, {trades} trades compared in every field, "
        f"{differing} settings differ, {skipped} that Jesse itself could not run; {time.time() - began:.0f} s"
    )
    return int(differing > 0)


def compare_batch(folder: Path, rng: random.Random, workers: int) -> tuple[int, int, int, int]:
    """Return (settings run by both, trades, settings that differ, settings that Jesse could not run)."""
    sets = load_candles(folder)
    chosen = sorted(rng.sample(sorted(sets), min(SYMBOLS, len(sets))))
    first, last = min(sets[s].start_ms for s in chosen), max(sets[s].finish_ms for s in chosen)
    begin = first + rng.randrange(max(1, (last - first - DAYS * DAY_MS) // DAY_MS + 1)) * DAY_MS
    finish = min(last, begin + DAYS * DAY_MS)
    start = begin + DAY_MS + rng.randrange(96) * 900_000 if rng.random() < 0.5 else None
    part = {s: c for s, c in load_candles(folder, None, begin, finish).items() if s in chosen}
    runs = [random_variant(rng) for _ in range(BATCH)]
    market = read_market(runs, lambda a, b: part, start, finish, "Binance Spot")
    kernel = run_cells(KernelMarket.of(market.candles, market.start_ms, market.finish_ms), [r.settings for r in runs])
    trades = differing = skipped = 0
    for run, ours, theirs in zip(runs, kernel, jesse_cells(market, runs, workers), strict=True):
        if isinstance(theirs, SigilError):
            print(f"  Jesse: {theirs}", flush=True)
            skipped += 1
            continue
        trades += len(theirs.trades)
        if (difference := first_difference(ours, theirs)) is not None:
            differing += 1
            print(f"  DIFFERS {difference}\n    {flatten(run.settings)}", flush=True)
    warm = "from the first candle" if start is None else "with warm-up"
    print(f"{folder.name}: {len(part)} symbols, {warm}: {trades} trades, {differing} of {BATCH} differ", flush=True)
    return BATCH - skipped, trades, differing, skipped


if __name__ == "__main__":
    sys.exit(main())
