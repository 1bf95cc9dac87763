"""The noise band: what chance alone does to a stop."""

from __future__ import annotations

import numpy as np
import pytest

from sigil_ext.research.diagnosis.candles import Candles
from sigil_ext.research.diagnosis.noise import drawable, measure_noise
from tests.unit.research.diagnosis.conftest import (
    DAY,
    HOUR,
    MINUTE,
    MONDAY,
    candles_of,
    minutes_of,
    position,
    wandering,
)


def held(hour: float, **more):
    """A position that was not stopped, so that its holding time counts."""
    return position(hour, pnl=1.0, reason="atr_trail", **more)


def test_it_is_what_every_possible_entry_counted_one_by_one_gives():
    minutes = wandering(1, days=20)
    candles = candles_of(minutes)
    positions = [held(h, held_hours=3.0, entry=float(minutes[int(h * 60) - 1, 2])) for h in (30.0, 100.25, 200.5)]
    found = measure_noise(positions, candles, seed=1, draws=3000)
    expected = []
    for p in positions:
        touched = []
        for i in drawable(p, candles):
            entry, end = minutes[i, 2], minutes[i, 0] + 3 * HOUR
            after = minutes[i + 1 :]
            lows = after[after[:, 0] <= end, 4]
            touched.append(bool((lows <= entry * 0.98).any()))
        expected.append(np.mean(touched))
    random = found.touched(np.full(3, 2.0))[0]
    assert random == pytest.approx(np.mean(expected), abs=0.03)
    assert 0.02 < random < 0.98


def test_a_driftless_walk_is_touched_as_often_as_the_reflection_principle_says():
    """P(min of a Brownian motion over T <= -a) = 2 P(N <= -a / (sigma sqrt T)); watched each minute, a little less."""
    from statistics import NormalDist

    minutes = minutes_of(np.exp(np.cumsum(np.random.default_rng(2).normal(0, 0.001, 1440 * 60))))
    positions = [
        held(24 * d + 5, held_hours=4.0, entry=float(minutes[int((24 * d + 5) * 60) - 1, 2])) for d in range(50)
    ]
    found = measure_noise(positions, candles_of(minutes), seed=1)
    expected = 2 * NormalDist().cdf(-np.log(1 / 0.98) / (0.001 * np.sqrt(240)))
    assert found.touched(np.full(50, 2.0))[0] == pytest.approx(expected, abs=0.05)


def test_entries_are_drawn_on_the_same_symbol_in_the_same_hour_of_the_day():
    quiet, wild = minutes_of(np.ones(1440 * 5)), wandering(3, days=5)
    candles = Candles({"A-USDT": quiet, "B-USDT": wild}, MONDAY, MONDAY + 5 * DAY, 15, 60)
    found = measure_noise([held(7.25, symbol="A-USDT")], candles, seed=1)
    assert found.random.max() == 0.0
    hours = {int(candles.of("B-USDT").ends_ms[i]) // HOUR % 24 for i in drawable(held(7.25, symbol="B-USDT"), candles)}
    assert hours == {7}


def test_an_hour_that_is_wild_every_day_is_not_taken_for_luck():
    closes = np.ones(1440 * 6)
    closes[np.arange(len(closes)) % 1440 // 60 == 12] = 0.95
    found = measure_noise(
        [held(12.0 - 0.25, held_hours=1.0), held(3.0, held_hours=1.0)], candles_of(minutes_of(closes)), seed=1
    )
    touched = (found.random >= 3.0).mean(axis=0)
    assert touched[0] == pytest.approx(
        0.75, abs=0.1
    )  # of 11:00, :15, :30 and :45 the first ends before noon does its harm
    assert touched[1] == 0.0


def test_the_entrys_own_fall_is_measured_from_its_own_price_over_the_holding_times():
    closes = [1.0] * 60 + [0.96] * 30 + [1.0] * 600
    found = measure_noise([held(1.0, held_hours=2.0)], candles_of(minutes_of(closes)), seed=1)
    assert found.own == pytest.approx(4.0)
    assert found.touched(np.array([3.9]))[3] == 1.0
    assert found.touched(np.array([4.1]))[3] == 0.0


def test_holding_times_are_those_of_positions_that_were_not_stopped():
    found = measure_noise(
        [held(1.0, held_hours=5.0), position(2.0, held_hours=0.5)], candles_of(wandering(1, days=2)), seed=1
    )
    assert set(found.holding_minutes) == {300.0}


def test_where_all_were_stopped_their_own_times_must_do():
    found = measure_noise([position(2.0, held_hours=0.5)], candles_of(wandering(1, days=2)), seed=1)
    assert set(found.holding_minutes) == {30.0}


def test_a_wider_stop_is_never_touched_more_often():
    found = measure_noise([held(h) for h in range(5, 60)], candles_of(wandering(4)), seed=1)
    shares = [found.touched(np.full(55, w))[0] for w in (0.5, 1.0, 2.0, 4.0, 8.0)]
    assert shares == sorted(shares, reverse=True)


def test_the_same_seed_draws_the_same_entries():
    positions, candles = [held(h) for h in range(5, 20)], candles_of(wandering(4))
    one, same, other = (measure_noise(positions, candles, seed=s).random for s in (1, 1, 2))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


def test_positions_without_candles_are_left_out():
    later = held(24 * 100)
    found = measure_noise([held(5.0), held(6.0, symbol="X-USDT"), later], candles_of(wandering(5)), seed=1)
    assert found.places.tolist() == [0]


def test_without_any_candles_nothing_is_known():
    found = measure_noise([held(5.0)], Candles({}, MONDAY, MONDAY + DAY, 15, 60), seed=1)
    assert np.isnan(found.touched(np.empty(0))).all()
    assert found.curve() == {"pct": [], "atr": []}


def test_the_atr_at_an_instant_is_that_of_the_last_closed_bar():
    from sigil_ext.bridge.bars import closed_bars
    from sigil_ext.rules.indicators import wilder_atr

    minutes = wandering(6)
    series = candles_of(minutes).of("TST-USDT")
    for at in (MONDAY + 40 * HOUR, MONDAY + 40 * HOUR + 15 * MINUTE, MONDAY + 280 * HOUR):
        known = minutes[minutes[:, 0] < at]
        assert series.atr_at(at) == wilder_atr(closed_bars(known, 60, at), 14)
    assert np.isnan(series.atr_at(MONDAY + 2 * HOUR))
