"""How much faster the kernel is than Jesse's own engine and than vectorbt, on the same candles, their trades compared.

    python benchmarks/grid_speed.py [--symbols 20] [--days 90] [--jesse-cells 1] [--vectorbt PYTHON]

64 cells of unhinged (stop x trail x activation, bans and breaker off, which vectorbt's order function does not have). Time
is processor time of one core, so a busy machine changes little; ratios are of this one run. PYTHON is the interpreter of an
environment with vectorbt; without one that column is left out.
"""

from __future__ import annotations

import argparse
import itertools
import os
import pickle
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
OFF = ["ban.after=0", "breaker.daily_loss_pct=0"]
AXES = {
    "hard_stop.multiplier": (1.0, 1.5, 2.5, 4.0),
    "trail.multiplier": (1.0, 1.5, 2.0, 3.0),
    "trail.activation_atr": (0.5, 1.0, 1.5, 2.0),
}


def variants():
    """Return the 64 cells."""
    from sigil_ext.settings.overlays import load_variant

    crossed = itertools.product(*AXES.values())
    return [load_variant("unhinged", OFF + [f"{k}={v}" for k, v in zip(AXES, c, strict=True)]) for c in crossed]


def main() -> int:
    """Print the figures; 1 where trades differ."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--symbols", type=int, default=20)
    parser.add_argument("--days", type=int, default=90)
    parser.add_argument("--jesse-cells", type=int, default=1)
    parser.add_argument("--vectorbt", default=None, metavar="PYTHON")
    options = parser.parse_args()

    from benchmarks.grid_market import BEGIN_MS, generated
    from sigil_ext.research.kernel import KernelMarket, run_cells

    candles, runs = generated(options.symbols, options.days), variants()
    cells = [run.settings for run in runs]
    finish = BEGIN_MS + options.days * 86_400_000
    megabytes = sum(rows.nbytes for rows in candles.values()) / 1e6
    short = {s: rows[:20_000] for s, rows in itertools.islice(candles.items(), 2)}
    run_cells(KernelMarket.of(short, BEGIN_MS, finish), cells[:1], workers=1, on_message=print)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3

    market = KernelMarket.of(candles, BEGIN_MS, finish)
    first = seconds_of(lambda: run_cells(market, cells[:1], workers=1))
    came, again = [], []
    again.append(seconds_of(lambda: came.append(run_cells(market, cells, workers=1))))
    again.append(seconds_of(lambda: run_cells(market, cells, workers=1)))
    whole = first + min(again)
    results = came[0]
    began = time.perf_counter()
    run_cells(KernelMarket.of(candles, BEGIN_MS, finish), cells)
    wall = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3 - before + megabytes
    trades = sum(len(r.trades) for r in results)
    print(
        f"{options.symbols} symbols x {options.days} days of 1m x {len(cells)} cells, {trades} trades; load {os.getloadavg()[0]:.1f}"
    )
    print(f"candles {megabytes:.0f} MB, peak with the kernel's own {peak:.0f} MB ({peak / megabytes:.2f} times)")
    print(
        f"kernel: {whole:.2f} s of one core, {first:.2f} of it what all cells share; {wall:.2f} s by the clock on all cores"
    )
    wrong = jesse_column(candles, runs[: options.jesse_cells], results, len(cells), whole, min(again), finish)
    if options.vectorbt is None:
        print("vectorbt: not measured; give --vectorbt the Python of an environment that has it")
    else:
        wrong |= vectorbt_column(options.vectorbt, market, cells, results, whole, min(again))
    return int(wrong)


def seconds_of(work) -> float:
    """Return the processor time of `work`."""
    began = time.process_time()
    work()
    return time.process_time() - began


# --- Jesse --------------------------------------------------------------------------------------------------------


def jesse_column(candles, runs, results, cells: int, whole: float, alone: float, finish: int) -> bool:
    """Print Jesse's figures; return whether its trades differ."""
    from benchmarks.grid_jesse import first_difference
    from sigil_ext.research.kernel import from_records

    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "in").write_bytes(pickle.dumps((candles, runs)))
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *(p for p in sys.path if p)])}
        subprocess.run(
            [sys.executable, "-c", "from benchmarks.grid_speed import in_jesse; in_jesse()"],
            cwd=folder, env=environment, check=True,
        )  # fmt: skip
        outcomes = pickle.loads(Path(folder, "out").read_bytes())
    seconds = sum(o[0] for o in outcomes) / len(outcomes)
    wrong = False
    for (_, trades, cash, refused), ours in zip(outcomes, results, strict=False):
        # Fast mode leads symbol after symbol through a whole bar: the same trades, in another order of closing, and so
        # the same sum of money in another order of additions.
        theirs = by_closing(from_records(trades, list(candles), cash, refused))
        if abs(theirs.final_equity - ours.final_equity) < 1e-9:
            theirs = replace(theirs, final_equity=ours.final_equity)
        difference = first_difference(by_closing(ours), theirs)
        wrong |= difference is not None
        print(f"Jesse, fast_mode: {len(trades)} trades, {'equal in every field' if difference is None else difference}")
    print(
        f"Jesse, fast_mode: {seconds:.0f} s a cell, so {seconds * cells:.0f} s for {cells}: the kernel is "
        f"{seconds * cells / whole:.0f} times as fast, {seconds * cells / alone:.0f} without what all cells share"
    )
    return wrong


def by_closing(cell):
    """Return a cell with its trades in order of closing and symbol."""
    return replace(cell, trades=cell.trades[np.lexsort((cell.trades["symbol"], cell.trades["closed_at_ms"]))])


def in_jesse() -> None:
    """Run the cells of ./in by `research.backtest(fast_mode=True)`, each in a fork, and leave what came in ./out."""
    import importlib
    import multiprocessing

    importlib.import_module("jesse.research")
    candles, runs = pickle.loads(Path("in").read_bytes())
    with multiprocessing.get_context("fork").Pool(1, maxtasksperchild=1) as pool:
        Path("out").write_bytes(pickle.dumps(pool.starmap(one_in_jesse, [(candles, run) for run in runs])))


def one_in_jesse(candles, run):
    """Return (seconds, trades, cash, refused signals) of one cell under Jesse."""
    from jesse import research
    from jesse.store import store

    from sigil_ext.bridge.routing import data_routes_for, extra_timeframes, jesse_config, routes_for
    from sigil_ext.bridge.session import Session
    from sigil_ext.bridge.strategy import VariantStrategy
    from sigil_ext.db.memory_store import MemoryStore

    exchange, settings, sessions, wallet = "Binance Spot", run.settings, [], {}

    def make_session(tuned, market, pool):
        sessions.append(Session(tuned, MemoryStore(run.name), market, pool, start_ms=0))
        return sessions[-1]

    class Measured(VariantStrategy):
        variant = run.name

        def _on_close_position(self, order) -> None:
            super()._on_close_position(order)
            wallet["cash"] = float(store.exchanges.get_exchange(exchange).wallet_balance)

    Measured.settings, Measured.make_session = settings, staticmethod(make_session)
    symbols = sorted(candles)
    arguments = {
        "config": jesse_config(settings.sizing.starting_balance, settings.costs.rate, "spot", exchange),
        "routes": routes_for(Measured, symbols, settings.signal_timeframe, exchange),
        "data_routes": data_routes_for(symbols, extra_timeframes(settings), exchange),
        "candles": {f"{exchange}-{s}": {"exchange": exchange, "symbol": s, "candles": candles[s]} for s in symbols},
    }
    began = time.process_time()
    research.backtest(**arguments, fast_mode=True)
    seconds = time.process_time() - began
    record = sessions[0].record
    return seconds, record.trades, wallet["cash"], record.signals_refused


# --- vectorbt -----------------------------------------------------------------------------------------------------


def vectorbt_column(python: str, market, cells, results, whole: float, alone: float) -> bool:
    """Print vectorbt's figures; return whether its orders differ."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "in.npz"), Path(folder, "out.npz")
        np.savez(source, **for_vectorbt(market, cells))
        done = subprocess.run(
            [python, str(ROOT / "benchmarks" / "grid_vectorbt.py"), str(source), str(target)], check=False
        )
        if done.returncode:
            print(f"vectorbt: not measured, {python} could not run it (exit status {done.returncode})")
            return False
        came = np.load(target)
        orders, seconds = came["orders"], float(came["seconds"])
    differing = sum(not same_trades(ours, orders[orders[:, 0] == n], market) for n, ours in enumerate(results))
    print(f"vectorbt: {len(orders)} orders, {differing} of {len(cells)} cells with other trades")
    print(
        f"vectorbt: {seconds:.1f} s, given signals, universe and ATR: the kernel is {seconds / alone:.0f} times as fast, "
        f"{seconds / whole:.0f} with all that it makes itself counted in"
    )
    return differing > 0


def for_vectorbt(market, cells):
    """Return minutes, signals, ATR, scans and parameters as arrays."""
    s = cells[0]
    signals = market.signals(s.entry, s.signal_minutes, s.atr_minutes)
    scans = market.scans(s.universe, s.signal_minutes, s.atr_minutes, with_bans=False)
    tape = market.tape(s.signal_minutes, s.atr_minutes, with_closes=False)
    first = market.start_ms // 60_000
    shape = (len(market.candles[0]), len(market.symbols))
    signal, atr, scan_row = np.zeros(shape, np.int8), np.full(shape, np.nan), np.full(shape[0], -1)
    row = tape.slots[signals.slot] - first - 1
    signal[row, signals.symbol] = 1 + scans.accepted[scans.of_slot[signals.slot], signals.symbol]
    atr[row, signals.symbol] = signals.atr
    scan_row[tape.slots - first - 1] = scans.minutes[scans.of_slot] - first - 1
    params = [
        (c.hard_stop.multiplier, c.hard_stop.floor_pct, c.hard_stop.cap_pct, c.trail.activation_atr, c.trail.multiplier,
         c.flat.after.total_seconds() / 60, c.guard.cooldown_hours * 60, c.guard.max_open_positions,
         c.sizing.risk_per_trade_usd, c.sizing.max_position_usd, c.flat.max_move_pct)
        for c in cells
    ]  # fmt: skip
    columns = {"opens": 1, "closes": 2, "highs": 3, "lows": 4}
    return {
        **{name: np.column_stack([rows[:, k] for rows in market.candles]) for name, k in columns.items()},
        "signal": signal, "atr": atr, "scan_row": scan_row, "params": np.array(params), "rate": s.costs.rate,
        "cash": 1e6,
    }  # fmt: skip


def same_trades(ours, orders, market) -> bool:
    """Return whether buys and sells are the same ones: symbol, minute and price, to the last float."""
    first = market.start_ms // 60_000
    last = len(market.candles[0]) - 1
    t = ours.trades
    bought = [
        (a, b // 60_000 - first - 1, p)
        for a, b, p in zip(t["symbol"], t["opened_at_ms"], t["entry_price"], strict=True)
    ]
    sold = [
        (a, b // 60_000 - first - 1, p)
        for a, b, p, reason in zip(t["symbol"], t["closed_at_ms"], t["exit_price"], t["exit_reason"], strict=True)
        if reason != 6  # session_end: vectorbt leaves those open
    ]
    theirs = [[(int(o[1]), int(o[2]), o[3]) for o in orders if o[5] == side] for side in (0, 1)]
    return sorted(bought) == sorted(theirs[0]) and sorted(sold) == sorted(o for o in theirs[1] if o[1] <= last)


if __name__ == "__main__":
    sys.exit(main())
