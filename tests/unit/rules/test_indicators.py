from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sigil_ext.rules import indicators
from sigil_ext.rules.indicators import WINDOW, breakout, wilder_atr, wilder_rsi
from tests.strategies import bars, walk

ROOT = Path(__file__).resolve().parents[3]


def test_atr_and_rsi_equal_jesses_own_on_the_same_rows(tmp_path):
    """Asked outside pytest and outside a project, where Jesse is itself."""
    script = (
        "import json, numpy as np\n"
        "import jesse.indicators as ta\n"
        "from tests.strategies import walk\n"
        "print(json.dumps([[float(ta.atr(walk(s, n), 14)), float(ta.rsi(walk(s, n), 14))]"
        " for s in range(20) for n in (15, 16, 40, 240)]))\n"
    )
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST")} | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    theirs = json.loads(done.stdout.strip().splitlines()[-1])
    ours = [[wilder_atr(walk(s, n), 14), wilder_rsi(walk(s, n), 14)] for s in range(20) for n in (15, 16, 40, 240)]
    np.testing.assert_allclose(ours, theirs, rtol=1e-9)


@given(st.integers(0, 1000), st.integers(1, 300))
def test_an_older_past_changes_no_float(seed, older):
    recent = walk(seed, WINDOW)
    longer = np.vstack([walk(seed + 1, older), recent])
    assert wilder_atr(longer, 14) == wilder_atr(recent, 14)
    assert wilder_rsi(longer, 14) == wilder_rsi(recent, 14)


@given(bars(min_size=1, max_size=80))
def test_compiled_and_interpreted_indicators_are_the_same_float(rows):
    for rule, arguments in (
        (wilder_atr, (rows, 14)),
        (wilder_rsi, (rows, 14)),
        (breakout, (rows, 5, 1.0, 5, 20.0, 100.0)),
    ):
        np.testing.assert_array_equal(rule(*arguments), rule.py_func(*arguments))


@given(bars(max_size=14))
def test_too_few_bars_give_no_rsi_and_no_signal(rows):
    assert math.isnan(wilder_rsi(rows, 14))
    assert not breakout(rows, 1, 0.0, 1, 0.0, 100.0)[0]


@given(bars(min_size=15, max_size=60))
def test_rsi_lies_between_0_and_100_and_atr_is_not_negative(rows):
    assert 0 <= wilder_rsi(rows, 14) <= 100
    assert wilder_atr(rows, 14) >= 0


def test_a_price_that_never_moved_is_neither_strong_nor_weak():
    still = np.column_stack([np.arange(20) * 60_000.0, *[np.full(20, 5.0)] * 4, np.ones(20)])
    assert wilder_rsi(still, 14) == 50.0


def rising() -> np.ndarray:
    """Twenty quiet bars, then one that breaks out on three times the volume."""
    rows = np.column_stack(
        [np.arange(21) * 900_000.0, np.full(21, 10.0), 10 + 0.01 * (np.arange(21) % 2), np.full(21, 10.05),
         np.full(21, 9.95), np.full(21, 100.0)]
    )  # fmt: skip
    rows[-1, 1:] = [10.0, 10.4, 10.5, 10.0, 300.0]
    return rows


def test_a_breakout_on_volume_fires_with_its_figures():
    fired, highest, ratio, rsi = breakout(rising(), 20, 2.0, 20, 50.0, 100.0)
    assert fired
    assert (highest, ratio) == (10.05, 3.0)
    assert 50 < rsi <= 100


@pytest.mark.parametrize(
    ("column", "value"), [(indicators.CLOSE, 10.05), (indicators.VOLUME, 199.0), (indicators.VOLUME, 0.0)]
)
def test_a_close_at_the_high_or_too_little_volume_does_not_fire(column, value):
    rows = rising()
    rows[-1, column] = value
    assert not breakout(rows, 20, 2.0, 20, 0.0, 100.0)[0]


def test_an_rsi_outside_its_band_does_not_fire():
    assert not breakout(rising(), 20, 2.0, 20, 0.0, 50.0)[0]
    assert not breakout(rising(), 20, 2.0, 20, 99.9, 100.0)[0]


def test_the_signal_bar_is_part_of_neither_the_highest_high_nor_the_mean_volume():
    rows = rising()
    rows[-1, indicators.HIGH], rows[-1, indicators.VOLUME] = 50.0, 1e9
    fired, highest, ratio, _ = breakout(rows, 20, 2.0, 20, 0.0, 100.0)
    assert fired
    assert (highest, ratio) == (10.05, 1e7)


def test_only_the_bars_looked_back_at_count():
    rows = rising()
    rows[4, indicators.HIGH] = 99.0
    assert not breakout(rows, 20, 2.0, 20, 0.0, 100.0)[0]
    assert breakout(rows, 15, 2.0, 20, 0.0, 100.0)[0]
