"""What is derived from candles once: bars, rises, signals, in the order of additions that Jesse's bars have."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sigil_ext.bridge.bars import build_bars
from sigil_ext.research.kernel import bars as made
from sigil_ext.research.kernel import indicators, measures
from sigil_ext.rules.indicators import CLOSE, HIGH, LOW, OPEN, PERIOD, VOLUME, breakout, wilder_atr
from sigil_ext.rules.universe import measure
from tests.strategies import walk

DAY_MS = 86_400_000


def bars_of(minutes: np.ndarray, length: int, start_ms: int = 0):
    n = made.count_bars(minutes, length)
    bars, first, asked = np.empty((n, 6)), np.empty(n, np.int64), np.empty(n, np.bool_)
    made.build(minutes, length, start_ms, bars, first, asked)
    return bars, first, asked


@pytest.mark.parametrize("n", [1, 7, 8, 9, 15, 16, 60, 127, 128, 129, 240, 1000, 1440])
def test_volumes_are_added_in_the_order_of_numpy(n):
    rows = np.random.default_rng(n).lognormal(0, 3, (n, 6))
    assert made.pairwise_volume(rows, 0, n) == rows[:, VOLUME].sum()


@given(st.integers(0, 2**32 - 1), st.sampled_from([1, 3, 5, 15, 45, 60]))
@settings(max_examples=40, deadline=None)
def test_bars_are_those_of_the_bridge_and_are_asked_about_where_their_last_minute_is_there(seed, length):
    rng = np.random.default_rng(seed)
    minutes = walk(seed, 400)
    minutes[:, 0] += DAY_MS
    minutes = minutes[rng.random(400) > 0.3]
    start = int(minutes[len(minutes) // 3, 0])
    bars, first, asked = bars_of(minutes, length, start)
    expected = build_bars(minutes, length * 60_000)
    np.testing.assert_array_equal(bars[:, :VOLUME], expected[:, :VOLUME])
    np.testing.assert_allclose(bars[:, VOLUME], expected[:, VOLUME])
    ends = bars[:, 0] + length * 60_000
    assert asked.tolist() == [e - 60_000 in minutes[:, 0] and e - 60_000 >= start for e in ends]
    assert minutes[first, 0].tolist() == [minutes[minutes[:, 0] >= b][0, 0] for b in bars[:, 0]]


@given(st.integers(0, 2**32 - 1), st.sampled_from([(1, 15), (5, 15), (15, 60), (3, 1440)]))
@settings(max_examples=20, deadline=None)
def test_bars_made_of_finer_ones_are_those_made_of_minutes(seed, lengths):
    fine, coarse = lengths
    minutes = walk(seed, 400)
    minutes[:, 0] += DAY_MS
    minutes = minutes[np.random.default_rng(seed).random(400) > 0.6]
    finer, expected = bars_of(minutes, fine)[0], bars_of(minutes, coarse)[0]
    bars = np.empty((len(finer), 6))
    count = made.merged(finer, coarse, bars)
    np.testing.assert_array_equal(bars[:count, :VOLUME], expected[:, :VOLUME])


@pytest.mark.parametrize("n", [1, 13, 14, 15, 239, 240, 241, 304, 305, 700])
def test_the_atr_of_each_bar_is_the_rules(n):
    bars = walk(n, n)
    atr = np.empty(n)
    indicators.atr_of_each(bars, atr)
    np.testing.assert_array_equal(atr, [wilder_atr(bars[: j + 1], PERIOD) for j in range(n)])


@given(st.integers(0, 2**32 - 1), st.integers(1, 4000), st.sampled_from([0.0, 0.02, 0.5]))
@settings(max_examples=25, deadline=None)
def test_what_a_scan_measures_is_what_the_rule_measures(seed, n, absent):
    rng = np.random.default_rng(seed)
    minutes = walk(seed, n)
    minutes[:, 0] += DAY_MS
    minutes[:, OPEN:VOLUME] = np.maximum(np.round(minutes[:, OPEN:VOLUME] / 0.05), 1) * 0.05
    minutes[rng.random(n) < 0.1, VOLUME] = 0.0
    if n > 3000:
        minutes[1500:, 0] += 3 * DAY_MS  # longer than what a scan looks back on
    minutes = minutes[(rng.random(n) >= absent) | (np.arange(n) == 0)]
    times = np.arange(DAY_MS, int(minutes[-1, 0]) + 120_000, 60_000 * int(rng.integers(1, 200)), dtype=np.int64)
    out = np.empty((len(times), measures.MEASURES))
    measures.measures_of(minutes, times, np.empty((2, n + 5)), out)
    for row, now in zip(out, times, strict=True):
        count, price, volume, tick, empty, change = measure(minutes[minutes[:, 0] < now], now)
        told = [row[k] for k in (measures.PRICE, measures.QUOTE_VOLUME, measures.TICK, measures.EMPTY, measures.CHANGE)]
        assert row[measures.CANDLES] == count
        np.testing.assert_array_equal(told, [price, volume, tick, empty, change])


def test_a_dip_is_the_low_or_an_open_under_it():
    minutes = walk(3, 50)
    minutes[7, OPEN] = minutes[7, LOW] / 2
    dips = np.empty(50)
    made.dips_of(minutes, dips)
    assert dips.tolist() == np.minimum(minutes[:, LOW], minutes[:, OPEN]).tolist()


@given(st.integers(0, 2**32 - 1), st.integers(1, 30), st.sampled_from([0.0, 1.0, 1.5]), st.integers(1, 30))
@settings(max_examples=40, deadline=None)
def test_no_bar_at_which_the_rule_fires_is_passed_over(seed, lookback, factor, volume_lookback):
    minutes = np.round(walk(seed, 300), 2)
    minutes[:, 0] += DAY_MS
    bars, first, asked = bars_of(minutes, 1)
    rises = np.empty(len(bars), np.int16)
    indicators.rises(bars, 200, rises)
    for j in range(1, len(bars)):
        before = bars[max(0, j - 200) : j, HIGH][::-1]
        under = before < bars[j, CLOSE]
        assert rises[j] == (len(before) if under.all() else under.argmin())
    at, gaps = np.empty(len(bars), np.int32), np.empty(len(bars))
    found = indicators.signals_of(
        minutes, bars, first, asked, rises, 1, lookback, factor, volume_lookback, 30.0, 80.0, at, gaps
    )
    rule = [j for j in range(len(bars)) if breakout(bars[: j + 1], lookback, factor, volume_lookback, 30.0, 80.0)[0]]
    assert at[:found].tolist() == rule
