"""The kernel's trades are Jesse's: the variants and random settings over every key, on the bundled candles and with holes.

The long form, over real candle sets, is benchmarks/grid_parity.py.
"""

from __future__ import annotations

import random

import numpy as np
import pytest

from benchmarks.grid_jesse import first_difference
from benchmarks.grid_settings import random_variant
from sigil_ext.research.kernel import KernelMarket, UnsupportedAxis, from_records, run_cells
from sigil_ext.settings.overlays import load_variant

DAY = 86_400_000
SYMBOLS = ["DOGS-USDT", "NFP-USDT", "ORCA-USDT", "TST-USDT"]


def as_cell(run):
    return from_records(run.record.trades, run.symbols, run.final_cash, run.record.signals_refused)


def test_the_variants_trade_in_the_kernel_as_under_jesse(sample_lab, sample_runs):
    market = KernelMarket.of(sample_lab.candles, sample_lab.start_ms, sample_lab.finish_ms)
    names = sorted(sample_runs)
    made = run_cells(market, [load_variant(name).settings for name in names])
    assert sum(len(cell.trades) for cell in made) > 100
    for name, cell in zip(names, made, strict=True):
        assert first_difference(cell, as_cell(sample_runs[name])) is None, name


def test_random_settings_with_warm_up_and_holes_make_the_same_trades(sample_lab):
    rng = random.Random(5)
    number = np.random.default_rng(5)
    holed = {s: sample_lab.candles[s][number.random(len(sample_lab.candles[s])) > 0.04] for s in SYMBOLS[:2]}
    late = sample_lab.candles["ORCA-USDT"]
    holed["ORCA-USDT"] = late[late[:, 0] >= sample_lab.start_ms + 2 * DAY]
    candles = {s: sample_lab.candles[s] for s in SYMBOLS} | holed
    start = sample_lab.start_ms + DAY + 7 * 3_600_000
    variants = [random_variant(rng) for _ in range(6)]
    requests = [sample_lab.request(v, symbols=SYMBOLS, changed=holed, start_ms=start) for v in variants]
    made = run_cells(KernelMarket.of(candles, start, sample_lab.finish_ms), [v.settings for v in variants])
    assert sum(len(cell.trades) for cell in made) > 30
    for cell, run in zip(made, sample_lab.run(requests), strict=True):
        assert first_difference(cell, as_cell(run)) is None


def test_cells_come_back_in_their_order_whatever_they_share(sample_lab):
    market = KernelMarket.of(sample_lab.candles, sample_lab.start_ms, sample_lab.finish_ms)
    cells = [
        load_variant(name, [f"hard_stop.multiplier={m}", f"guard.max_open_positions={n}"]).settings
        for n in (2, 5)
        for name in ("unhinged", "moderate")
        for m in (1.0, 2.5)
    ]
    told = []
    together = run_cells(market, cells, workers=3, on_progress=lambda done, of: told.append((done, of)))
    assert told[-1] == (8, 8)
    for settings, cell in zip(cells, together, strict=True):
        (alone,) = run_cells(market, [settings], workers=1)
        assert first_difference(cell, alone) is None


def test_what_the_kernel_cannot_run_is_refused_by_its_key_with_the_way_out(sample_lab):
    market = KernelMarket.of(sample_lab.candles, sample_lab.start_ms, sample_lab.finish_ms)
    for override, told in (
        ("sizing.starting_balance=1000000000000", r"sizing\.starting_balance=1e\+12.*--engine jesse"),
        ("sizing.min_notional_usd=0", r"sizing\.min_notional_usd=0: .*--engine jesse"),
    ):
        with pytest.raises(UnsupportedAxis, match=told):
            run_cells(market, [load_variant("unhinged", [override]).settings])
