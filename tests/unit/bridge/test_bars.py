from __future__ import annotations

import numpy as np
import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from sigil_ext.bridge.bars import closed_bars
from sigil_ext.rules.indicators import WINDOW
from tests.strategies import walk

DAY = 86_400_000


@given(st.integers(0, 500), st.integers(1, 900), st.sampled_from([5, 15, 60]), st.floats(0, 0.6), st.integers(0, 59))
def test_bars_are_what_a_resampling_of_the_observed_minutes_gives(seed, n, length, missing, offset):
    rows = walk(seed, n)
    rows[:, 0] += DAY + offset * 60_000
    rows = rows[np.random.default_rng(seed).random(n) >= missing]
    now = DAY + (n + offset) * 60_000
    frame = pd.DataFrame(rows, columns=["t", "open", "close", "high", "low", "volume"])
    frame["begin"] = frame.t // (length * 60_000) * (length * 60_000)
    expected = frame.groupby("begin").agg(
        open=("open", "first"),
        close=("close", "last"),
        high=("high", "max"),
        low=("low", "min"),
        volume=("volume", "sum"),
    )
    expected = expected[expected.index + length * 60_000 <= now].tail(WINDOW)
    got = closed_bars(rows, length, now)
    np.testing.assert_array_equal(got[:, 0], expected.index)
    np.testing.assert_allclose(got[:, 1:], expected.to_numpy(), rtol=1e-12)


def test_a_bar_that_is_still_forming_is_not_shown():
    rows = walk(1, 30)
    assert len(closed_bars(rows, 15, 29 * 60_000)) == 1
    assert len(closed_bars(rows, 15, 30 * 60_000)) == 2
    assert len(closed_bars(rows[:0], 15, 0)) == 0
