from __future__ import annotations

import math
import random
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sigil_ext.rules.universe import (
    ACCEPTED,
    HELD,
    RANKED_OUT,
    UNIVERSE_FILTERS,
    Measures,
    longest_gap_minutes,
    measure,
    scan,
)
from sigil_ext.settings.overlays import load_variant
from tests.strategies import walk

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
LIMITS = load_variant("baseline").settings.universe
GOOD = Measures("TST-USDT", 1440, 500.0, 0.05, 5e6, 2.0, 0.02, 1.0, 3.0)
BAD = {
    "no_candles": {"candles": 0}, "too_young": {"age_hours": 23.9}, "banned": {"banned": True},
    "volume_too_low": {"quote_volume_usd": 499_999.0}, "volume_too_high": {"quote_volume_usd": 100_000_001.0},
    "atr_too_low": {"atr_pct": 0.79}, "atr_too_high": {"atr_pct": 10.1}, "price_too_low": {"price": 0.001},
    "price_too_high": {"price": 9.0}, "tick_too_coarse": {"tick_pct": 0.51},
    "too_many_empty_candles": {"zero_volume_pct": 20.1},
}  # fmt: skip
BANDED = LIMITS.model_copy(update={"min_price": 0.01, "max_price": 5.0})


@pytest.mark.parametrize("reason", UNIVERSE_FILTERS)
def test_each_filter_refuses_for_its_own_reason(reason):
    (row,) = scan([replace(GOOD, **BAD[reason])], BANDED, NOON).rows
    assert (row.accepted, row.reason) == (False, reason)
    assert scan([GOOD], BANDED, NOON).rows[0].reason == ACCEPTED


@pytest.mark.parametrize("field", ["quote_volume_usd", "atr_pct"])
def test_what_is_unknown_is_never_accepted(field):
    assert not scan([replace(GOOD, **{field: math.nan})], LIMITS, NOON).accepted


measured = st.builds(
    lambda number, volume, atr, change, held, banned: replace(
        GOOD, symbol=f"C{number}-USDT", quote_volume_usd=volume, atr_pct=atr, change_pct=change, held=held, banned=banned
    ),
    st.integers(0, 40), st.floats(1e5, 2e8), st.floats(0.1, 12), st.floats(-50, 50), st.booleans(), st.booleans(),
)  # fmt: skip
pools = st.lists(measured, max_size=40, unique_by=lambda m: m.symbol)


@given(pools, st.integers(1, 12), st.randoms(use_true_random=False))
def test_a_scan_does_not_depend_on_the_order_of_the_pool(pool, size, rng: random.Random):
    limits = LIMITS.model_copy(update={"size": size})
    shuffled = pool.copy()
    rng.shuffle(shuffled)
    assert scan(pool, limits, NOON) == scan(shuffled, limits, NOON)


@given(pools, st.integers(1, 12))
def test_every_symbol_has_one_row_with_a_reason_and_only_held_ones_exceed_the_size(pool, size):
    rows = scan(pool, LIMITS.model_copy(update={"size": size}), NOON).rows
    assert sorted(row.symbol for row in rows) == sorted(m.symbol for m in pool)
    assert {row.reason for row in rows} <= {*UNIVERSE_FILTERS, ACCEPTED, HELD, RANKED_OUT}
    assert sum(row.reason == ACCEPTED for row in rows) <= size
    assert {m.symbol for m in pool if m.held} <= {row.symbol for row in rows if row.accepted}
    assert all(row.accepted == (row.reason in (ACCEPTED, HELD)) for row in rows)


def test_the_better_in_all_three_ranks_comes_first_and_ties_go_by_name():
    strong = replace(GOOD, symbol="Z-USDT", atr_pct=5.0, quote_volume_usd=9e7, change_pct=30.0)
    weak = [replace(GOOD, symbol=f"{name}-USDT") for name in "BA"]
    result = scan([*weak, strong], LIMITS.model_copy(update={"size": 2}), NOON)
    assert [(row.symbol, row.reason) for row in result.rows] == [
        ("Z-USDT", ACCEPTED), ("A-USDT", ACCEPTED), ("B-USDT", RANKED_OUT),
    ]  # fmt: skip


@given(st.integers(0, 500), st.integers(1, 200))
def test_measures_equal_a_plain_calculation(seed, n):
    rows = walk(seed, n)
    rows[::7, 5] = 0.0
    now = int(rows[-1, 0]) + 60_000
    count, price, volume, tick_pct, empty_pct, change_pct = measure(rows, now)
    opened, close, high, low = rows[:, 1], rows[:, 2], rows[:, 3], rows[:, 4]
    steps = np.concatenate([high - low, np.abs(close - opened), high - close, high - opened])
    assert (count, price) == (n, close[-1])
    assert volume == pytest.approx((rows[:, 5] * (high + low + close) / 3).sum())
    assert tick_pct == pytest.approx(steps[steps > 0].min() / price * 100)
    assert empty_pct == pytest.approx((rows[:, 5] <= 0).mean() * 100)
    assert change_pct == pytest.approx((close[-1] / opened[0] - 1) * 100)


def test_only_the_last_24_hours_are_measured():
    rows = walk(3, 2000)
    now = int(rows[-1, 0]) + 60_000
    assert measure(rows, now) == measure(rows[-1440:], now)
    assert measure(rows, now)[0] == 1440
    assert measure(rows, now + 3 * 86_400_000)[0] == 0


def test_the_longest_gap_is_found_inside_and_at_the_end_of_the_hour():
    rows = walk(1, 120)
    now = int(rows[-1, 0]) + 60_000
    assert longest_gap_minutes(rows, now, 3_600_000) == 0
    holed = np.delete(rows, slice(100, 104), axis=0)
    assert longest_gap_minutes(holed, now, 3_600_000) == 4
    assert longest_gap_minutes(rows, now + 7 * 60_000, 3_600_000) == 7
    assert longest_gap_minutes(rows, now + 10 * 3_600_000, 3_600_000) == 60
    assert longest_gap_minutes(np.delete(rows, slice(10, 20), axis=0), now, 3_600_000) == 0
    assert longest_gap_minutes(rows[:0], now, 3_600_000) == math.inf
