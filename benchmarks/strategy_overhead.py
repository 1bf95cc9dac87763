"""How much the variant strategy costs over a bare Jesse strategy with the same trades: a ratio, both in one process.

The variant runs with its universe and guard wide open, so that both trade alike; it still scans, asks, records and
measures. Six days of the twelve bundled symbols, nine pairs in turn, the median ratio. Aim: not above 1.5.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OPEN_WIDE = [
    "universe.size=1000", "universe.min_quote_volume_usd=0", "universe.max_quote_volume_usd=0",
    "universe.min_atr_pct=0", "universe.max_atr_pct=100", "universe.min_age=1m", "universe.max_tick_pct=100",
    "universe.max_zero_volume_pct=100", "guard.cooldown_hours=0", "guard.max_open_positions=1000", "ban.after=0",
    "breaker.daily_loss_pct=0", "sizing.starting_balance=10000",
]  # fmt: skip
PAIRS = 9


def measure() -> int:
    """Print the ratio; 1 when the trades differ. Runs outside the project folder, where Jesse opens no database."""
    import numpy as np

    from sigil_ext.bridge.candle_files import load_candles
    from sigil_ext.bridge.simulate import SimulationRequest, StrategyRun, simulate
    from sigil_ext.settings.overlays import load_variant

    loaded = load_candles(ROOT / "sample")
    paths = {}
    for symbol, candles in loaded.items():
        paths[symbol] = Path(f"{symbol}.npy").resolve()
        np.save(paths[symbol], candles.candles)
    start = min(c.start_ms for c in loaded.values())
    finish = max(c.finish_ms for c in loaded.values())
    variant = SimulationRequest(load_variant("unhinged", OPEN_WIDE), paths, start, finish)
    bare = SimulationRequest(
        StrategyRun("benchmarks.bare:BareBreakout", "15m", 10_000.0, 0.0015, data_timeframes=("1h",)),
        paths, start, finish,
    )  # fmt: skip

    def timed(request: SimulationRequest) -> tuple[float, list[tuple[str, int, int]], list[float]]:
        began = time.process_time()
        trades = simulate(request).record.trades
        took = time.process_time() - began
        return took, [(t.symbol, t.opened_at_ms, t.closed_at_ms) for t in trades], [t.exit_price for t in trades]

    first, second = timed(variant), timed(bare)  # the first of each compiles and warms up
    if first[1] != second[1] or not np.allclose(first[2], second[2], rtol=1e-9):
        print(f"the trades differ: {len(first[1])} of the variant, {len(second[1])} of the bare strategy")
        return 1
    pairs = [(timed(variant)[0], timed(bare)[0]) for _ in range(PAIRS)]
    ratios = sorted(a / b for a, b in pairs)
    print(f"trades                 {len(first[1])}, equal")
    print(f"variant, CPU seconds   {statistics.median(a for a, _ in pairs):.2f}")
    print(f"bare, CPU seconds      {statistics.median(b for _, b in pairs):.2f}")
    print(f"ratio                  {statistics.median(ratios):.2f} (from {ratios[0]:.2f} to {ratios[-1]:.2f})")
    return 0


def main() -> int:
    """Start the measurement in a folder of its own."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "SIGIL_HOME": str(ROOT)}
        code = "import sys; from benchmarks.strategy_overhead import measure; sys.exit(measure())"
        return subprocess.run([sys.executable, "-c", code], cwd=folder, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
