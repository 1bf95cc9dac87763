from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sigil_ext.rules import stops
from tests.strategies import percents, prices

atrs = st.one_of(st.floats(0, 1e5), st.sampled_from([math.nan, math.inf, 0.0, -1.0]))


@given(atrs, prices, st.floats(0, 20), percents, percents)
def test_the_hard_stop_lies_within_floor_and_cap_whatever_the_atr(atr, entry, multiplier, a, b):
    floor, cap = min(a, b), max(a, b)
    assert floor <= stops.hard_stop_pct(atr, entry, multiplier, floor, cap) <= cap


@pytest.mark.parametrize("atr", [math.nan, math.inf, 0.0, -0.5])
def test_without_a_usable_atr_the_stop_is_the_floor(atr):
    assert stops.hard_stop_pct(atr, 1.0, 2.5, 3.0, 6.0) == 3.0


def test_multiplier_zero_is_the_way_back_to_a_fixed_stop():
    assert stops.hard_stop_pct(0.05, 1.0, 0.0, 3.0, 6.0) == 3.0


@pytest.mark.parametrize(
    ("atr", "multiplier", "expected"), [(0.03, 1.5, 4.5), (0.01, 1.5, 3.0), (0.05, 2.5, 6.0), (0.02, 2.5, 5.0)]
)
def test_between_floor_and_cap_the_stop_is_a_multiple_of_the_atr(atr, multiplier, expected):
    assert stops.hard_stop_pct(atr, 1.0, multiplier, 3.0, 6.0) == pytest.approx(expected)


@given(prices, st.floats(0.5, 1.0), st.floats(1.0, 3.0), atrs, st.floats(0, 5), st.floats(0.1, 5), st.floats(1.0, 2.0))
def test_the_trail_never_moves_down_when_the_high_rises_and_never_below_the_stop(
    entry, stop_share, high_share, atr, activation, multiplier, rise
):
    stop, high = entry * stop_share, entry * high_share
    first = stops.trail_stop(entry, stop, high, atr, activation, multiplier)
    then = stops.trail_stop(entry, first, high * rise, atr, activation, multiplier)
    assert stop <= first <= then


def test_the_trail_is_armed_by_the_activation_and_not_before():
    assert stops.trail_stop(100.0, 96.0, 101.99, 2.0, 1.0, 1.5) == 96.0
    assert stops.trail_stop(100.0, 96.0, 102.0, 2.0, 1.0, 1.5) == 99.0


def test_without_an_atr_there_is_no_trail():
    assert stops.trail_stop(100.0, 97.0, 150.0, math.nan, 1.0, 1.5) == 97.0


@given(prices, st.floats(0.9, 1.1))
def test_a_stop_leaves_at_the_close_where_jesse_would_make_it_a_market_order_or_refuse_it(close, share):
    stop = close * share
    near = abs(1 - stop / close) <= 0.00015
    assert stops.leaves_at_close(stop, close) == (near or stop >= close)


def test_a_position_is_flat_from_the_very_minute_on_and_only_if_it_never_moved_far():
    assert not stops.is_flat(479, 480, 100, 100.5, 99.5, 1.0)
    assert stops.is_flat(480, 480, 100, 100.5, 99.5, 1.0)
    assert not stops.is_flat(480, 480, 100, 101.0, 99.5, 1.0)
    assert not stops.is_flat(480, 480, 100, 100.5, 99.0, 1.0)
    assert not stops.is_flat(480, 480, 100, 100.0, 100.0, 0.0)


@given(prices, percents, atrs, st.floats(0, 5), st.floats(0.1, 5), st.floats(0.5, 2))
def test_compiled_and_interpreted_stops_are_the_same_float(entry, stop_pct, atr, activation, multiplier, share):
    high = entry * share
    pairs = [
        (stops.hard_stop_pct, (atr, entry, multiplier, 3.0, 6.0)),
        (stops.stop_price, (entry, stop_pct)),
        (stops.trail_stop, (entry, entry * 0.9, high, atr, activation, multiplier)),
        (stops.leaves_at_close, (high, entry)),
        (stops.is_flat, (10.0, 5.0, entry, high, entry * 0.9, stop_pct)),
    ]
    for rule, arguments in pairs:
        assert rule(*arguments) == rule.py_func(*arguments)
