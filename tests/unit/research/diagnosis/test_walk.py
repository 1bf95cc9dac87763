"""A walk ends a position where a session would have ended it."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sigil_ext.research.diagnosis.entries import Buy, ExitRule
from sigil_ext.research.diagnosis.walk import walk, walk_many
from sigil_ext.settings.overlays import load_variant
from tests.unit.research.diagnosis.conftest import BARE, HOUR, MINUTE, MONDAY, minutes_of, series_of, wandering

ENTRY = (Buy(MONDAY + 15 * MINUTE, 1.0, 100.0),)
BEFORE = [1.0] * 15  # the bar at whose close the entry is made


def after(*closes: float):
    return series_of(minutes_of([*BEFORE, *closes]))


def test_a_touched_stop_fills_at_its_price():
    found = walk(after(0.99, 0.98, 0.965, 0.99), ENTRY, math.nan, BARE)
    assert (found.exit_price, found.reason) == (0.97, "hard_stop")
    assert found.closed_at_ms == MONDAY + 18 * MINUTE


def test_a_minute_that_opens_beyond_the_stop_fills_at_its_open():
    market = minutes_of([*BEFORE, 1.0, 1.0])
    market[16, 1:5] = 0.95, 0.96, 0.96, 0.94
    assert walk(series_of(market), ENTRY, math.nan, BARE).exit_price == 0.95


def test_a_trail_is_raised_at_the_close_of_a_bar_and_fills_from_the_next_minute_on():
    rule = replace(BARE, activation_atr=1.0, trail_multiplier=1.0)
    rise = np.linspace(1.0, 1.05, 16)[1:]
    found = walk(after(*rise, 1.045, 1.02, 1.0), ENTRY, 0.02, rule)
    assert found.reason == "atr_trail"
    assert found.exit_price == pytest.approx(1.03)
    assert found.closed_at_ms == MONDAY + 32 * MINUTE


def test_within_a_bar_the_trail_stands_where_the_last_bar_left_it():
    rule = replace(BARE, activation_atr=1.0, trail_multiplier=1.0)
    found = walk(after(1.05, 1.02, 1.0, 0.99, 0.96), ENTRY, 0.02, rule)
    assert (found.reason, found.exit_price) == ("hard_stop", 0.97)


def test_a_position_that_goes_nowhere_is_left_at_a_close():
    rule = replace(BARE, flat_after_minutes=60.0, flat_max_move_pct=1.5)
    found = walk(after(*[1.001] * 100), ENTRY, math.nan, rule)
    assert (found.reason, found.exit_price) == ("flat_no_move", 1.001)
    assert found.closed_at_ms == ENTRY[0].at_ms + HOUR


def test_what_outlives_the_candles_is_closed_at_the_last_close():
    found = walk(after(1.0, 1.01, 1.02), ENTRY, math.nan, BARE)
    assert (found.reason, found.exit_price) == ("session_end", 1.02)


def test_a_stacked_entry_moves_the_stop_under_the_average_and_never_down():
    second = Buy(MONDAY + 30 * MINUTE, 1.04, 100.0)
    market = after(*np.linspace(1.0, 1.04, 16)[1:], *np.linspace(1.04, 0.95, 30))
    found = walk(market, (*ENTRY, second), math.nan, BARE)
    assert found.buys == 2
    assert found.exit_price == pytest.approx(1.02 * 0.97)
    alone = walk(market, ENTRY, math.nan, BARE)
    assert (alone.buys, alone.exit_price) == (1, 0.97)


def test_a_stacked_entry_after_the_exit_is_not_made():
    late = Buy(MONDAY + 60 * MINUTE, 1.0, 100.0)
    assert walk(after(0.96, *[1.0] * 60), (*ENTRY, late), math.nan, BARE).buys == 1


@settings(max_examples=30)
@given(st.integers(0, 50), st.floats(0.5, 10), st.floats(0.1, 10))
def test_without_a_trail_a_wider_stop_never_ends_a_position_sooner(seed, width, wider):
    market = series_of(wandering(seed, days=1))
    at = 60
    entry = (Buy(MONDAY + at * MINUTE, float(market.minutes[at - 1, 2]), 1.0),)
    near = walk(market, entry, math.nan, BARE.fixed(width))
    far = walk(market, entry, math.nan, BARE.fixed(width + wider))
    assert far.closed_at_ms >= near.closed_at_ms


def test_many_entries_at_once_are_the_same_as_one_by_one():
    market = series_of(wandering(3))
    rule = ExitRule.of(load_variant("unhinged").settings)
    at = market.closes[100:160]
    moves, reasons = walk_many(market, at, rule)
    for i, move, reason in zip(at, moves, reasons, strict=True):
        buy = Buy(int(market.ends_ms[i]), float(market.minutes[i, 2]), 1.0)
        one = walk(market, (buy,), market.atr_at(buy.at_ms), rule)
        assert one.exit_price / buy.price - 1 == pytest.approx(move, abs=1e-12)
        assert one.reason == ("hard_stop", "atr_trail", "flat_no_move", "session_end")[reason]
