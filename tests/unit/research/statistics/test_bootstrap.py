"""Intervals by the stationary block bootstrap."""

from __future__ import annotations

import numpy as np
import pytest
from arch.bootstrap import StationaryBootstrap, optimal_block_length

from sigil_ext.research.statistics import (
    block_length,
    bootstrap_mean,
    bootstrap_ratio,
    bootstrap_sharpe,
    bootstrap_total,
    bootstrap_win_rate,
    proportion,
)


def noise(days: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(0.3, 1.0, days)


def swings(days: int, seed: int = 2) -> np.ndarray:
    """Days that hang together: each keeps 80 % of the one before."""
    shocks = np.random.default_rng(seed).normal(0, 1, days)
    daily = np.empty(days)
    daily[0] = shocks[0]
    for i in range(1, days):
        daily[i] = 0.8 * daily[i - 1] + shocks[i]
    return daily


def test_the_interval_is_the_one_of_arch_on_the_same_seed():
    daily = noise(120)
    ours = bootstrap_mean(daily, seed=7, reps=300)
    arch = StationaryBootstrap(ours.block_days, daily, seed=np.random.default_rng(7))
    low, high = arch.conf_int(lambda x: np.array([x.mean()]), reps=300, method="percentile")[:, 0]
    assert (ours.low, ours.high) == pytest.approx((low, high), rel=1e-12)
    assert ours.value == daily.mean()


def test_of_independent_days_the_interval_is_that_of_the_normal_distribution():
    daily = noise(400)
    found = bootstrap_mean(daily, seed=3, reps=4000)
    half = 1.96 * daily.std(ddof=1) / 20
    assert (found.low, found.high) == pytest.approx((daily.mean() - half, daily.mean() + half), abs=0.25 * half)


def test_days_that_hang_together_make_the_interval_wider_than_days_in_any_order():
    daily = swings(400)
    shuffled = np.random.default_rng(5).permutation(daily)
    together, apart = bootstrap_mean(daily, seed=3), bootstrap_mean(shuffled, seed=3)
    # In theory sqrt((1 + 0.8) / (1 - 0.8)) = 3 times; blocks see less than all of it.
    assert together.high - together.low > 1.7 * (apart.high - apart.low)


def test_the_total_is_the_mean_times_the_days():
    daily = noise(60)
    mean, total = bootstrap_mean(daily, seed=1), bootstrap_total(daily, seed=1)
    assert (total.value, total.low, total.high) == pytest.approx((mean.value * 60, mean.low * 60, mean.high * 60))


def test_the_interval_of_the_sharpe_ratio_holds_the_sharpe_ratio():
    daily = noise(200)
    found = bootstrap_sharpe(daily, seed=1)
    assert found.value == pytest.approx(daily.mean() / daily.std(ddof=1))
    assert found.low < found.value < found.high


def test_the_same_seed_gives_the_same_interval_and_another_seed_another():
    daily = noise(50)
    assert bootstrap_mean(daily, seed=4) == bootstrap_mean(daily, seed=4)
    assert bootstrap_mean(daily, seed=4).low != bootstrap_mean(daily, seed=5).low


def test_the_block_length_is_archs_from_thirty_days_on_and_the_cube_root_before():
    daily = swings(90)
    assert block_length(daily) == pytest.approx(float(optimal_block_length(daily)["stationary"].iloc[0]))
    assert block_length(daily[:27]) == pytest.approx(3.0)
    assert block_length(np.ones(1000)) == pytest.approx(10.0)
    assert block_length(daily[:1]) == 1.0


@pytest.mark.parametrize("of", [bootstrap_mean, bootstrap_total, bootstrap_sharpe])
def test_without_a_day_nothing_is_known(of):
    found = of(np.empty(0), seed=1)
    assert np.isnan([found.value, found.low, found.high]).all()
    assert "day" in found.reason


def test_one_day_has_a_mean_but_no_interval():
    found = bootstrap_mean(np.array([3.0]), seed=1)
    assert found.value == 3.0
    assert np.isnan([found.low, found.high]).all()
    assert found.reason == "1 day is too few for an interval; it needs 8"


@pytest.mark.parametrize("daily", [np.zeros(40), np.full(40, 0.1)])
def test_a_constant_series_has_no_interval_and_no_sharpe_ratio(daily):
    mean, ratio = bootstrap_mean(daily, seed=1), bootstrap_sharpe(daily, seed=1)
    assert np.isnan([mean.low, mean.high, ratio.value, ratio.low, ratio.high]).all()
    assert "same P&L" in mean.reason
    assert "no spread" in ratio.reason


def test_a_nan_among_the_days_is_refused_and_not_passed_on():
    with pytest.raises(ValueError, match="finite"):
        bootstrap_mean(np.array([1.0, np.nan] * 10), seed=1)


def test_a_confidence_that_is_no_share_is_refused():
    with pytest.raises(ValueError, match="confidence must lie between 0 and 1, was 95"):
        bootstrap_mean(noise(30), seed=1, confidence=95)


def test_where_a_day_is_won_or_lost_as_a_whole_the_win_rate_is_less_sure_than_wilson_says():
    days = np.random.default_rng(8).random(100) < 0.6
    trades, wins = np.full(100, 10.0), np.where(days, 10.0, 0.0)
    found = bootstrap_win_rate(wins, trades, seed=1)
    wilson = proportion(int(wins.sum()), 1000)
    assert found.value == wilson.value
    # Ten trades that are one bet: sqrt(10) = 3.2 times as wide.
    assert 2.2 < (found.high - found.low) / (wilson.high - wilson.low) < 4.5


def test_of_independent_trades_the_win_rate_is_as_sure_as_wilson_says():
    rng = np.random.default_rng(8)
    trades = rng.integers(0, 12, 200).astype(float)
    wins = rng.binomial(trades.astype(int), 0.6).astype(float)
    found = bootstrap_win_rate(wins, trades, seed=1)
    wilson = proportion(int(wins.sum()), int(trades.sum()))
    assert (found.high - found.low) / (wilson.high - wilson.low) == pytest.approx(1.0, abs=0.3)


def test_no_trade_has_no_win_rate():
    found = bootstrap_win_rate(np.zeros(30), np.zeros(30), seed=1)
    assert np.isnan(found.value)
    assert found.reason == "no trade was closed"


def test_a_win_rate_of_always_has_no_interval_here():
    found = bootstrap_win_rate(np.full(30, 2.0), np.full(30, 2.0), seed=1)
    assert found.value == 1.0
    assert np.isnan([found.low, found.high]).all()
    assert found.reason


def test_more_wins_than_trades_are_refused():
    with pytest.raises(ValueError, match="0 <= wins <= trades"):
        bootstrap_win_rate(np.array([2.0]), np.array([1.0]), seed=1)


def test_with_one_value_a_day_a_ratio_is_the_mean():
    daily = noise(80)
    ratio, mean = bootstrap_ratio(daily, np.ones(80), seed=6), bootstrap_mean(daily, seed=6)
    assert (ratio.value, ratio.low, ratio.high) == pytest.approx((mean.value, mean.low, mean.high))


def test_a_ratio_of_nothing_is_unknown():
    assert bootstrap_ratio(np.zeros(30), np.zeros(30), seed=1).reason == "no value was counted"
